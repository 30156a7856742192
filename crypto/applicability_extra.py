"""What a proof file shows of a hit by meaning: the two proofs about its entry's vector, or what it matched in the pool.

Envelope, match and release stay JSON, for their own readers to check. Format: docs/formats.md, "Proof files".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from .applicability.documents import read_proof
from .applicability.encoding import APPLICABILITY_BYTES, WELL_FORMEDNESS_BYTES
from .applicability_lines import read_vector
from .bundle_lines import PATH_HASHES_MAX, JsonObject, read_hashes, read_index, write_hashes
from .canonical import JsonValue
from .closed import read_hex_32, read_object
from .errors import EncodingError

_QUERY_KEYS: Final = frozenset({"salt", "vector"})
_MATCH_KEYS: Final = frozenset({"match", "query", "release"})
_PROOF_KEYS: Final = frozenset({"embedding", "embedding_index", "embedding_path", "proof", "query", "well_formedness"})


@dataclass(frozen=True, slots=True)
class QueryOpening:
    """The salt and the vector that open a hit's `query_vector`."""

    salt: bytes
    vector: tuple[int, ...]

    def to_json(self) -> JsonObject:
        """Return the object."""
        return {"salt": self.salt.hex(), "vector": list(self.vector)}


@dataclass(frozen=True, slots=True)
class ShownProof:
    """Both proofs of a hit of the tier `private`, and the embedding statement whose leaf *embedding_path* proves."""

    embedding: JsonObject
    embedding_index: int
    embedding_path: tuple[bytes, ...]
    proof: bytes
    well_formedness: bytes
    query: QueryOpening | None = None

    def to_json(self) -> JsonObject:
        """Return the object."""
        return {
            "embedding": self.embedding,
            "embedding_index": self.embedding_index,
            "embedding_path": write_hashes(self.embedding_path),
            "proof": self.proof.hex(),
            "query": None if self.query is None else self.query.to_json(),
            "well_formedness": self.well_formedness.hex(),
        }


@dataclass(frozen=True, slots=True)
class ShownMatch:
    """What a hit of the tier `pool` matched, in which release."""

    match: JsonObject
    release: JsonObject
    query: QueryOpening | None = None

    def to_json(self) -> JsonObject:
        """Return the object."""
        query = None if self.query is None else self.query.to_json()
        return {"match": self.match, "query": query, "release": self.release}


Shown: TypeAlias = ShownProof | ShownMatch


def read_shown(value: JsonValue) -> Shown:
    """Read either object; raises `EncodingError`."""
    if isinstance(value, dict) and "match" in value:
        found = read_object(value, "what is shown", _MATCH_KEYS)
        return ShownMatch(_object(found, "match"), _object(found, "release"), _read_query(found["query"]))
    found = read_object(value, "what is shown", _PROOF_KEYS)
    return ShownProof(
        embedding=_object(found, "embedding"),
        embedding_index=read_index(found["embedding_index"]),
        embedding_path=read_hashes(found["embedding_path"], "the embedding_path", PATH_HASHES_MAX),
        proof=read_proof(found["proof"], "the proof", APPLICABILITY_BYTES),
        well_formedness=read_proof(found["well_formedness"], "the well_formedness", WELL_FORMEDNESS_BYTES),
        query=_read_query(found["query"]),
    )


def _read_query(value: JsonValue) -> QueryOpening | None:
    if value is None:
        return None
    found = read_object(value, "the query", _QUERY_KEYS)
    return QueryOpening(
        read_hex_32(found["salt"], "the query's salt"), read_vector(found["vector"], "the query's vector")
    )


def _object(value: JsonObject, key: str) -> JsonObject:
    found = value[key]
    if not isinstance(found, dict):
        raise EncodingError(f"{key} is not an object")
    return found
