"""The two documents that carry proofs, and whose digests are logged as evidence.

Format: docs/formats.md, "Well-formedness v1" and "Applicability v1". Evolution: the keys are closed; another key or
meaning is another schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ..canonical import JsonValue, digest_fields
from ..closed import Reader, encode_closed, one_of, read_digest, read_record, read_text
from ..errors import EncodingError
from ..hit import read_hit_id
from .encoding import APPLICABILITY_BYTES, WELL_FORMEDNESS_BYTES

KIND_WELL_FORMEDNESS: Final = "well-formedness"
KIND_APPLICABILITY: Final = "applicability"
WELL_FORMEDNESS_SCHEMA: Final = "hitproof/well-formedness/v1"
APPLICABILITY_SCHEMA: Final = "hitproof/applicability/v1"


@dataclass(frozen=True, slots=True)
class WellFormedness:
    """A well-formedness proof of the commitment that the embedding statement with the digest *embedding* names."""

    embedding: str
    proof: bytes
    suite: str

    @property
    def kind(self) -> str:
        """What its leaf calls it."""
        return KIND_WELL_FORMEDNESS

    def to_json(self) -> dict[str, JsonValue]:
        """Return the object; raises `EncodingError` for what `read_document` would refuse."""
        value: dict[str, JsonValue] = {
            "embedding": self.embedding,
            "proof": self.proof.hex(),
            "schema": WELL_FORMEDNESS_SCHEMA,
            "suite": self.suite,
        }
        read_document(value)
        return value

    def to_payload(self) -> bytes:
        """Return the canonical JSON."""
        return encode_closed(self.to_json())

    def digest(self) -> str:
        """Return what the leaf's body carries."""
        return "sha256:" + digest_fields(WELL_FORMEDNESS_SCHEMA, self.to_payload()).hex()


@dataclass(frozen=True, slots=True)
class Applicability:
    """An applicability proof of one hit, under the commitment of one embedding statement."""

    embedding: str
    hit: str
    proof: bytes
    suite: str

    @property
    def kind(self) -> str:
        """What its leaf calls it."""
        return KIND_APPLICABILITY

    def to_json(self) -> dict[str, JsonValue]:
        """Return the object; raises `EncodingError` for what `read_document` would refuse."""
        value: dict[str, JsonValue] = {
            "embedding": self.embedding,
            "hit": self.hit,
            "proof": self.proof.hex(),
            "schema": APPLICABILITY_SCHEMA,
            "suite": self.suite,
        }
        read_document(value)
        return value

    def to_payload(self) -> bytes:
        """Return the canonical JSON."""
        return encode_closed(self.to_json())

    def digest(self) -> str:
        """Return what the leaf's body carries."""
        return "sha256:" + digest_fields(APPLICABILITY_SCHEMA, self.to_payload()).hex()


ProofDocument: TypeAlias = WellFormedness | Applicability


def read_document(value: JsonValue) -> ProofDocument:
    """Read either document; raises `EncodingError`. The proof in it is not looked into."""
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema == APPLICABILITY_SCHEMA:
        found = read_record(value, "the applicability document", _APPLICABILITY)
        del found["schema"]
        return Applicability(**found)
    found = read_record(value, "the well-formedness document", _WELL_FORMEDNESS)
    del found["schema"]
    return WellFormedness(**found)


def read_proof(value: JsonValue, where: str, length: int) -> bytes:
    """Read a proof of *length* bytes in lower-case hexadecimal; raises `EncodingError`."""
    if isinstance(value, str) and len(value) == 2 * length and set(value) <= _HEX:
        return bytes.fromhex(value)
    raise EncodingError(f"{where} is not {length} bytes in lower-case hexadecimal")


_HEX: Final = frozenset("0123456789abcdef")


def _read_applicability(value: JsonValue, where: str) -> Any:
    return read_proof(value, where, APPLICABILITY_BYTES)


def _read_well_formedness(value: JsonValue, where: str) -> Any:
    return read_proof(value, where, WELL_FORMEDNESS_BYTES)


_WELL_FORMEDNESS: Final[Mapping[str, Reader]] = {
    "embedding": read_digest,
    "proof": _read_well_formedness,
    "schema": one_of(WELL_FORMEDNESS_SCHEMA),
    "suite": read_text,
}
_APPLICABILITY: Final[Mapping[str, Reader]] = {
    "embedding": read_digest,
    "hit": read_hit_id,
    "proof": _read_applicability,
    "schema": one_of(APPLICABILITY_SCHEMA),
    "suite": read_text,
}
