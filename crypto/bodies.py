"""Bodies of log leaves: what the log says in its own name, and what a runner says of a batch.

    >>> parse_body(LeafKind.ERASURE, payload)
    Erasure(at_ms=…, nonce=…, tenant='…')

Every body states its schema, so that no body can be read as one of another kind. Evolution: the keys are closed; another
key or meaning is another schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias

from .canonical import JsonValue
from .closed import (
    Reader,
    encode_closed,
    one_of,
    or_null,
    parse_closed,
    read_digest,
    read_hex_32,
    read_integer,
    read_key_id,
    read_pseudonym,
    read_record,
    read_text,
    refused_as,
    write_record,
)
from .errors import EncodingError, VerificationError
from .leaf import LeafKind

BODY_BYTES_MAX: Final = 2**16

KeyEventName: TypeAlias = Literal["added", "retired", "compromised"]
Role: TypeAlias = Literal["runner", "gateway"]
ModelStatusName: TypeAlias = Literal["active", "superseded", "revoked"]


class _Body:
    """What all bodies share: the schema they state, the readers of their fields, and how they are written."""

    __slots__ = ()
    SCHEMA: ClassVar[str]
    KIND: ClassVar[LeafKind]
    READERS: ClassVar[Mapping[str, Reader]]

    def to_payload(self) -> bytes:
        """Return the body in canonical JSON; raises `EncodingError` for what `parse_body` would refuse."""
        value = write_record(self) | {"schema": self.SCHEMA}
        _read(type(self), value)
        return encode_closed(value)

    def refuse_contradictions(self) -> None:
        """Raise `EncodingError` where two fields contradict each other."""


@dataclass(frozen=True, slots=True)
class HitBatch(_Body):
    """RFC 6962 *root* over the *count* hit records that one tenant's hits left."""

    SCHEMA = "hitproof/hit-batch/v1"
    KIND = LeafKind.HIT_BATCH
    READERS: ClassVar[Mapping[str, Reader]] = {
        "at_ms": read_integer,
        "count": read_integer,
        "nonce": read_hex_32,
        "root": read_hex_32,
        "tenant": read_pseudonym,
    }
    at_ms: int
    count: int
    nonce: bytes
    root: bytes
    tenant: str


@dataclass(frozen=True, slots=True)
class KeyEvent(_Body):
    """A signer's key came, was retired or was compromised; what it signed counts below *since_index*."""

    SCHEMA = "hitproof/key-event/v1"
    KIND = LeafKind.KEY_EVENT
    READERS: ClassVar[Mapping[str, Reader]] = {
        "at_ms": read_integer,
        "event": one_of("added", "retired", "compromised"),
        "key_id": read_key_id,
        "nonce": read_hex_32,
        "role": one_of("runner", "gateway"),
        "since_index": or_null(read_integer),
        "status_list": read_digest,
    }
    at_ms: int
    event: KeyEventName
    key_id: str
    nonce: bytes
    role: Role
    since_index: int | None
    status_list: str


@dataclass(frozen=True, slots=True)
class ModelStatus(_Body):
    """A model version's standing changed; with both fields null the status list is only restated."""

    SCHEMA = "hitproof/model-status/v1"
    KIND = LeafKind.MODEL_STATUS
    READERS: ClassVar[Mapping[str, Reader]] = {
        "at_ms": read_integer,
        "model_version": or_null(read_digest),
        "nonce": read_hex_32,
        "status": or_null(one_of("active", "superseded", "revoked")),
        "status_list": read_digest,
    }
    at_ms: int
    model_version: str | None
    nonce: bytes
    status: ModelStatusName | None
    status_list: str

    def refuse_contradictions(self) -> None:
        """Raise `EncodingError` for a model without a status, or a status of no model."""
        if (self.model_version is None) != (self.status is None):
            raise EncodingError("the body names a model version without a status, or a status alone")


@dataclass(frozen=True, slots=True)
class PolicyEvent(_Body):
    """From this leaf on, *policy* is what *tenant* reuses by; *version* numbers its policies."""

    SCHEMA = "hitproof/policy-event/v1"
    KIND = LeafKind.POLICY
    READERS: ClassVar[Mapping[str, Reader]] = {
        "at_ms": read_integer,
        "nonce": read_hex_32,
        "policy": read_digest,
        "tenant": read_pseudonym,
        "version": read_integer,
    }
    at_ms: int
    nonce: bytes
    policy: str
    tenant: str
    version: int


@dataclass(frozen=True, slots=True)
class ReceiptBatch(_Body):
    """RFC 6962 *root* over *count* statement payloads, signed once by the runner whose key is *signer*."""

    SCHEMA = "hitproof/receipt-batch/v1"
    KIND = LeafKind.RECEIPT_BATCH
    READERS: ClassVar[Mapping[str, Reader]] = {
        "at_ms": read_integer,
        "count": read_integer,
        "nonce": read_hex_32,
        "root": read_hex_32,
        "signer": read_key_id,
    }
    at_ms: int
    count: int
    nonce: bytes
    root: bytes
    signer: str


@dataclass(frozen=True, slots=True)
class Evidence(_Body):
    """Evidence of *kind* about *statement* exists and has *digest*."""

    SCHEMA = "hitproof/evidence/v1"
    KIND = LeafKind.EVIDENCE
    READERS: ClassVar[Mapping[str, Reader]] = {
        "at_ms": read_integer,
        "digest": read_digest,
        "kind": read_text,
        "nonce": read_hex_32,
        "statement": read_digest,
    }
    at_ms: int
    digest: str
    kind: str
    nonce: bytes
    statement: str


@dataclass(frozen=True, slots=True)
class PrivacySpending(_Body):
    """An organisation's spending number *number*, without gaps, has the digest *spending*."""

    SCHEMA = "hitproof/privacy-spending/v1"
    KIND = LeafKind.PRIVACY_SPENDING
    READERS: ClassVar[Mapping[str, Reader]] = {
        "at_ms": read_integer,
        "nonce": read_hex_32,
        "number": read_integer,
        "organisation": read_pseudonym,
        "spending": read_digest,
    }
    at_ms: int
    nonce: bytes
    number: int
    organisation: str
    spending: str


@dataclass(frozen=True, slots=True)
class PoolRelease(_Body):
    """Release number *number* of the pool, made for *epoch*, has the digest *release*."""

    SCHEMA = "hitproof/pool-release/v1"
    KIND = LeafKind.POOL_RELEASE
    READERS: ClassVar[Mapping[str, Reader]] = {
        "at_ms": read_integer,
        "epoch": read_integer,
        "nonce": read_hex_32,
        "number": read_integer,
        "release": read_digest,
    }
    at_ms: int
    epoch: int
    nonce: bytes
    number: int
    release: str


@dataclass(frozen=True, slots=True)
class Erasure(_Body):
    """What was kept of *tenant* was erased."""

    SCHEMA = "hitproof/erasure/v1"
    KIND = LeafKind.ERASURE
    READERS: ClassVar[Mapping[str, Reader]] = {"at_ms": read_integer, "nonce": read_hex_32, "tenant": read_pseudonym}
    at_ms: int
    nonce: bytes
    tenant: str


Body: TypeAlias = (
    HitBatch | KeyEvent | ModelStatus | PolicyEvent | ReceiptBatch | Evidence | PrivacySpending | PoolRelease | Erasure
)

_TYPES: Final[tuple[type[Body], ...]] = (
    HitBatch,
    KeyEvent,
    ModelStatus,
    PolicyEvent,
    ReceiptBatch,
    Evidence,
    PrivacySpending,
    PoolRelease,
    Erasure,
)
_BY_SCHEMA: Final[Mapping[str, type[Body]]] = {body.SCHEMA: body for body in _TYPES}


def kind_of_body(value: JsonValue) -> LeafKind:
    """Return the kind of leaf that a body of this schema has; raises `VerificationError` (`malformed`) for none."""
    schema = value.get("schema") if isinstance(value, dict) else None
    if not isinstance(schema, str) or schema not in _BY_SCHEMA:
        raise VerificationError("the body's schema is unknown", reason="malformed")
    return _BY_SCHEMA[schema].KIND


@refused_as("malformed")
def parse_body(kind: LeafKind, value: JsonValue | bytes) -> Body:
    """Read the body of a leaf of *kind*, from canonical JSON where *value* is bytes.

    Raises `VerificationError`: `leaf_kind` where the body is that of another kind, `malformed` for anything else.
    """
    found = parse_closed(value, BODY_BYTES_MAX, "the body")
    actual = kind_of_body(found)
    if actual is not kind:
        message = f"the body belongs to a leaf of kind {actual:d}, not {kind:d}"
        raise VerificationError(message, reason="leaf_kind", expected=int(kind), actual=int(actual))
    body: Body = _read(next(body for body in _TYPES if body.KIND is kind), found)
    return body


def _read(body_type: type[_Body], value: JsonValue) -> Any:
    found = read_record(value, "the body", {**body_type.READERS, "schema": one_of(body_type.SCHEMA)})
    del found["schema"]
    body = body_type(**found)
    body.refuse_contradictions()
    return body
