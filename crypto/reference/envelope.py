"""Reads DSSE envelopes and checks their signatures."""

from __future__ import annotations

from dataclasses import dataclass

from . import ed25519, shape
from .errors import NotInForm
from .json_text import Json

IN_TOTO = "application/vnd.in-toto+json"
TRUST = "application/vnd.hitproof.trust+json"
BUNDLE = "application/vnd.hitproof.bundle+json"
RECEIPT_BATCH = "application/vnd.hitproof.receipt-batch+json"
#: Every payload, and the text of an envelope that stands alone.
PAYLOAD_BYTES_MAX = 2**20
ENVELOPE_BYTES_MAX = 2**21
LOG = "application/vnd.hitproof.log+json"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload of a type, with the key id and bytes of every signature."""

    payload_type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]

    @property
    def key_id(self) -> str:
        """Whose signature the first is."""
        return self.signatures[0][0]

    @property
    def signature(self) -> bytes:
        """The first signature."""
        return self.signatures[0][1]


def read_envelope(value: Json, count_max: int = 1, count_min: int = 1) -> Envelope:
    """The envelope in a JSON value, with so many signatures; raises NotInForm."""
    found = shape.closed(value, "payload", "payloadType", "signatures")
    signatures = []
    for item in shape.items(found["signatures"], count_max):
        signature = shape.closed(item, "keyid", "sig")
        key = shape.unhex(signature["keyid"], 32).hex()
        signed = shape.unbase64(signature["sig"])
        if len(signed) != ed25519.SIGNATURE_BYTES:
            raise NotInForm("a signature has 64 bytes")
        signatures.append((key, signed))
    if len(signatures) < count_min:
        raise NotInForm("an envelope without a signature")
    payload = shape.short(shape.unbase64(found["payload"]), PAYLOAD_BYTES_MAX)
    return Envelope(shape.text(found["payloadType"]), payload, tuple(signatures))


def is_signed(envelope: Envelope, public_key: bytes, place: int = 0) -> bool:
    """Whether the signature at *place* is by this key, under the key's own id."""
    key, signature = envelope.signatures[place]
    message = pre_authentication(envelope.payload_type, envelope.payload)
    return key == ed25519.key_id(public_key) and ed25519.is_valid(public_key, message, signature)


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """PAE of DSSE v1: what is signed."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
