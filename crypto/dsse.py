"""DSSE envelopes: signed bytes, and the type that says how to read them.

The signature covers PAE(type, payload), so a payload signed as one type is never taken for another. Source: the DSSE v1
protocol of secure-systems-lab; docs/formats.md narrows it to canonical JSON, canonical base64 and one signature.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .canonical import JsonValue
from .closed import encode_closed, parse_closed, read_base64, read_key_id, read_list, read_object, refuse_unsorted
from .ed25519 import Signer, key_id, verify_signature
from .errors import EncodingError, VerificationError

PAYLOAD_IN_TOTO: Final = "application/vnd.in-toto+json"
PAYLOAD_RECEIPT_BATCH: Final = "application/vnd.hitproof.receipt-batch+json"
PAYLOAD_TRUST: Final = "application/vnd.hitproof.trust+json"
PAYLOAD_BUNDLE: Final = "application/vnd.hitproof.bundle+json"
#: Nothing signs under this type: it says in a leaf that the log itself asserts the body.
PAYLOAD_LOG: Final = "application/vnd.hitproof.log+json"
PAYLOAD_BYTES_MAX: Final = 2**20
SIGNATURE_BYTES: Final = 64

_ENVELOPE_BYTES_MAX: Final = 2 * PAYLOAD_BYTES_MAX
_KEYS: Final = frozenset({"payload", "payloadType", "signatures"})
_SIGNATURE_KEYS: Final = frozenset({"keyid", "sig"})
#: Characters of base64 behind which a longer payload stands.
_PAYLOAD_TEXT_MAX: Final = 4 * ((PAYLOAD_BYTES_MAX + 2) // 3)


@dataclass(frozen=True, slots=True)
class EnvelopeSignature:
    """A signature of 64 bytes and the id of the key that is said to have made it."""

    key_id: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, its type and its signatures, in form but not yet verified."""

    payload_type: str
    payload: bytes
    signatures: tuple[EnvelopeSignature, ...]

    @property
    def signature(self) -> EnvelopeSignature:
        """The only signature; `VerificationError` (`signature_invalid`) where there are none or several."""
        if len(self.signatures) != 1:
            message = f"the envelope has {len(self.signatures)} signatures where exactly one counts"
            raise VerificationError(message, reason="signature_invalid")
        return self.signatures[0]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the envelope as the JSON object that `parse_envelope` reads."""
        signatures: list[JsonValue] = [
            {"keyid": signature.key_id, "sig": _base64(signature.signature)} for signature in self.signatures
        ]
        return {"payload": _base64(self.payload), "payloadType": self.payload_type, "signatures": signatures}

    def encode(self) -> bytes:
        """Return the envelope in canonical JSON."""
        return encode_closed(self.to_json())


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that a signature covers: DSSE's pre-authentication encoding."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_envelope(payload_type: str, payload: bytes, signer: Signer) -> Envelope:
    """Return *payload* under *signer*'s one signature; raises `EncodingError` above `PAYLOAD_BYTES_MAX`."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise EncodingError(f"the payload is longer than {PAYLOAD_BYTES_MAX} bytes")
    return Envelope(payload_type, payload, (make_signature(payload_type, payload, signer),))


def make_signature(payload_type: str, payload: bytes, signer: Signer) -> EnvelopeSignature:
    """Return *signer*'s signature over *payload* as *payload_type*."""
    return EnvelopeSignature(signer.key_id, signer.sign(pae(payload_type, payload)))


def parse_envelope(
    value: JsonValue | bytes, *, payload_type: str, signatures_max: int = 1, reason: str = "malformed"
) -> Envelope:
    """Read an envelope of *payload_type*, from canonical JSON where *value* is bytes.

    One signature is asked for where *signatures_max* is 1; else there may be none up to that many, ascending by key id.
    Raises `VerificationError` with *reason* for anything but the one form. No signature is verified here.
    """
    try:
        return _parse_envelope(value, payload_type, signatures_max)
    except EncodingError as error:
        raise VerificationError(str(error), reason=reason) from None


def verify_envelope(envelope: Envelope, public_key: bytes) -> None:
    """Check that *envelope* has exactly one signature, under the id of *public_key*, and that it is that key's.

    Raises `VerificationError` with reason `signature_invalid`.
    """
    found = envelope.signature
    expected = key_id(public_key)
    if found.key_id != expected:
        message = "the envelope names another key than the one it is verified with"
        raise VerificationError(message, reason="signature_invalid", expected=expected, actual=found.key_id)
    verify_signature(public_key, pae(envelope.payload_type, envelope.payload), found.signature)


def _parse_envelope(value: JsonValue | bytes, payload_type: str, signatures_max: int) -> Envelope:
    found = read_object(parse_closed(value, _ENVELOPE_BYTES_MAX, "the envelope"), "the envelope", _KEYS)
    if found["payloadType"] != payload_type:
        raise EncodingError(f"the envelope's payloadType is not {payload_type}")
    payload = read_base64(found["payload"], "the envelope's payload", _PAYLOAD_TEXT_MAX)
    signatures = _read_signatures(read_list(found["signatures"], "the envelope's signatures", signatures_max))
    if signatures_max == 1 and not signatures:
        raise EncodingError("the envelope has no signature")
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise EncodingError(f"the envelope's payload is longer than {PAYLOAD_BYTES_MAX} bytes")
    return Envelope(payload_type, payload, signatures)


def _read_signatures(values: Sequence[JsonValue]) -> tuple[EnvelopeSignature, ...]:
    signatures = tuple(_read_signature(value) for value in values)
    refuse_unsorted([signature.key_id for signature in signatures], "the envelope's signatures")
    return signatures


def _read_signature(value: JsonValue) -> EnvelopeSignature:
    found = read_object(value, "a signature of the envelope", _SIGNATURE_KEYS)
    signature = read_base64(found["sig"], "a signature of the envelope", 88)
    if len(signature) != SIGNATURE_BYTES:
        raise EncodingError(f"a signature of the envelope has {len(signature)} bytes, not {SIGNATURE_BYTES}")
    return EnvelopeSignature(read_key_id(found["keyid"], "a keyid of the envelope"), signature)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
