"""Log leaves: 74 bytes that stand for a body without showing it.

A leaf names its kind, its time, whose word it is and the digest of what was said. The body's nonce makes the digest
hide the body; the kind keeps one body from being passed off as another.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from .canonical import INTEGER_MAX, digest_fields
from .closed import refused_as
from .dsse import PAYLOAD_IN_TOTO, PAYLOAD_LOG, PAYLOAD_RECEIPT_BATCH, Envelope
from .ed25519 import key_id
from .errors import EncodingError

LEAF_BYTES: Final = 74

_VERSION: Final = 1
_DOMAIN: Final = "hitproof/leaf-body/v1"


class LeafKind(IntEnum):
    """What a leaf is about."""

    RECEIPT = 1
    HIT_BATCH = 2
    KEY_EVENT = 3
    MODEL_STATUS = 4
    POLICY = 5
    RECEIPT_BATCH = 6
    EVIDENCE = 7
    PRIVACY_SPENDING = 8
    POOL_RELEASE = 9
    ERASURE = 10


#: The payload type of each kind that somebody other than the log signs; evidence comes in both ways.
_ENVELOPE_TYPES: Final = {
    LeafKind.RECEIPT: PAYLOAD_IN_TOTO,
    LeafKind.RECEIPT_BATCH: PAYLOAD_RECEIPT_BATCH,
    LeafKind.EVIDENCE: PAYLOAD_IN_TOTO,
}
#: The kinds that the log itself asserts.
BODY_KINDS: Final = frozenset(LeafKind) - {LeafKind.RECEIPT, LeafKind.RECEIPT_BATCH}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf taken apart; *time_ms* is the body's own claim, *key_id* the 32 bytes of its key's id."""

    kind: LeafKind
    time_ms: int
    key_id: bytes
    body_digest: bytes

    def encode(self) -> bytes:
        """Return the 74 bytes; raises `EncodingError` where a field does not fit."""
        if not 0 <= self.time_ms <= INTEGER_MAX or len(self.key_id) != 32 or len(self.body_digest) != 32:
            raise EncodingError("a leaf's time or one of its digests is out of bounds")
        return bytes((_VERSION, self.kind)) + self.time_ms.to_bytes(8, "big") + self.key_id + self.body_digest


@refused_as("malformed")
def parse_leaf(data: bytes) -> Leaf:
    """Read a leaf; raises `VerificationError` (`malformed`) for another length, version, kind or an impossible time."""
    if len(data) != LEAF_BYTES:
        raise EncodingError(f"a leaf has {LEAF_BYTES} bytes, not {len(data)}")
    if data[0] != _VERSION:
        raise EncodingError(f"a leaf of version {data[0]} is unknown")
    time_ms = int.from_bytes(data[2:10], "big")
    if time_ms > INTEGER_MAX:
        raise EncodingError("a leaf's time is beyond 2^53 - 1")
    return Leaf(_kind(data[1]), time_ms, data[10:42], data[42:])


@refused_as("leaf_kind")
def envelope_leaf(kind: LeafKind, envelope: Envelope, time_ms: int) -> Leaf:
    """Return the leaf of what *envelope*'s only signer says; *time_ms* is the statement's own.

    Raises `VerificationError`: `leaf_kind` for a kind that does not come in an envelope of this payload type,
    `signature_invalid` for several signatures. Whether the payload is what *kind* says, its own reader decides.
    """
    if _ENVELOPE_TYPES.get(kind) != envelope.payload_type:
        raise EncodingError(f"no leaf of kind {kind:d} stands for an envelope of {envelope.payload_type}")
    signature = envelope.signature
    digest = _body_digest(envelope.payload_type, envelope.payload, signature.signature)
    return Leaf(kind, time_ms, bytes.fromhex(signature.key_id), digest)


@refused_as("leaf_kind")
def body_leaf(kind: LeafKind, payload: bytes, time_ms: int, log_public_key: bytes) -> Leaf:
    """Return the leaf of what the log itself says in *payload*; *time_ms* is the body's own.

    Raises `VerificationError` (`leaf_kind`) for a kind that the log does not assert.
    """
    if kind not in BODY_KINDS:
        raise EncodingError(f"a leaf of kind {kind:d} stands for an envelope, not for the log's own word")
    return Leaf(kind, time_ms, bytes.fromhex(key_id(log_public_key)), _body_digest(PAYLOAD_LOG, payload, b""))


def _body_digest(payload_type: str, payload: bytes, signature: bytes) -> bytes:
    return digest_fields(_DOMAIN, payload_type.encode("ascii"), payload, signature)


def _kind(number: int) -> LeafKind:
    try:
        return LeafKind(number)
    except ValueError:
        raise EncodingError(f"a leaf of kind {number} is unknown") from None
