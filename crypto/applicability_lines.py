"""The lines of a bundle that show that hits were close: proofs, opened queries, and what a hit of the pool matched.

Reading raises `EncodingError`, as for every other line; whether a proof holds is asked much later.
Format: docs/formats.md, "Bundle v1".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .applicability.documents import ProofDocument, read_document
from .bundle_lines import JsonObject, read_index
from .canonical import JsonValue
from .closed import read_hex_32, read_list, read_object
from .errors import EncodingError
from .hit import read_hit_id

VECTOR_LENGTH_MAX: Final = 65_536


@dataclass(frozen=True, slots=True)
class ProofLine:
    """A document with a proof in it, and the index of the leaf that stands for it."""

    index: int
    document: ProofDocument

    def to_json(self) -> JsonObject:
        """Return the line's object."""
        return {"document": self.document.to_json(), "index": self.index}

    @classmethod
    def read(cls, value: JsonValue) -> ProofLine:
        """Read the line's object."""
        found = read_object(value, "the line", frozenset({"document", "index"}))
        return cls(read_index(found["index"]), read_document(found["document"]))


@dataclass(frozen=True, slots=True)
class QueryLine:
    """The salt and the vector that open a hit's `query_vector`."""

    hit: str
    salt: bytes
    vector: tuple[int, ...]

    def to_json(self) -> JsonObject:
        """Return the line's object."""
        return {"hit": self.hit, "salt": self.salt.hex(), "vector": list(self.vector)}

    @classmethod
    def read(cls, value: JsonValue) -> QueryLine:
        """Read the line's object."""
        found = read_object(value, "the line", frozenset({"hit", "salt", "vector"}))
        hit = read_hit_id(found["hit"], "the line's hit")
        return cls(
            hit, read_hex_32(found["salt"], "the line's salt"), read_vector(found["vector"], "the line's vector")
        )


@dataclass(frozen=True, slots=True)
class MatchLine:
    """Why a hit of the pool was one; the match is read where it is checked, so that one bad one is named."""

    hit: str
    match: JsonObject

    def to_json(self) -> JsonObject:
        """Return the line's object."""
        return {"hit": self.hit, "match": self.match}

    @classmethod
    def read(cls, value: JsonValue) -> MatchLine:
        """Read the line's object."""
        found = read_object(value, "the line", frozenset({"hit", "match"}))
        if not isinstance(found["match"], dict):
            raise EncodingError("the line's match is not an object")
        return cls(read_hit_id(found["hit"], "the line's hit"), found["match"])


def read_vector(value: JsonValue, where: str) -> tuple[int, ...]:
    """Return the integers of *value*, a list of at most `VECTOR_LENGTH_MAX`; whether each is a component is not asked."""
    items = read_list(value, where, VECTOR_LENGTH_MAX)
    numbers = tuple(item for item in items if type(item) is int)
    if len(numbers) != len(items):
        raise EncodingError(f"{where} is not a list of integers")
    return numbers
