"""Matches: what a hit of the pool was close to, which is public to the pool and therefore computed again, not proved.

A match names a released item, proves it in the release that the hit's receipt names, and says on which of the item's
questions, and on which vector, the decision fell. Evolution: the keys are closed; another key or meaning is another
format. Format: docs/formats.md, "Pool match v1".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from ..canonical import JsonValue
from ..closed import Reader, read_hex_32, read_integer, read_list, read_record, refused_as
from ..errors import EncodingError, VerificationError
from ..merkle import leaf_hash, verify_inclusion
from ..release import PoolItem, Release, read_item
from ..similarity import COMPONENT_MAX, NORM_BOUND_SQUARED, satisfies

REASON: Final = "match_invalid"
PATH_HASHES_MAX: Final = 63
COMPONENTS_MAX: Final = 65_536


@dataclass(frozen=True, slots=True)
class PoolMatch:
    """A question of a released *item*, whose *path* proves it at *position* of its release, and the vector compared."""

    alias: str
    item: PoolItem
    path: tuple[bytes, ...]
    position: int
    vector: tuple[int, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the match as an object; raises `VerificationError` for what `read_match` would refuse."""
        value: dict[str, JsonValue] = {
            "alias": self.alias,
            "item": self.item.to_json(),
            "path": [sibling.hex() for sibling in self.path],
            "position": self.position,
            "vector": list(self.vector),
        }
        read_match(value)
        return value


@refused_as(REASON)
def read_match(value: JsonValue) -> PoolMatch:
    """Read a match; raises `VerificationError` (`match_invalid`)."""
    return PoolMatch(**read_record(value, "the match", _MATCH))


@refused_as(REASON)
def verify_match(match: PoolMatch, release: Release) -> None:
    """Check that *match* is of something that *release* released; raises `VerificationError` (`match_invalid`).

    Whether its vector is what the embedder makes of the alias is not asked: that takes the embedder.
    """
    leaf, tree = leaf_hash(match.item.to_payload()), release.items
    try:
        verify_inclusion(match.position, tree.count, leaf, match.path, tree.root)
    except VerificationError as error:
        raise EncodingError(f"the item is not in the release: {error}") from None
    digest = "sha256:" + hashlib.sha256(match.alias.encode("utf-8")).hexdigest()
    if digest not in match.item.aliases:
        raise EncodingError("the alias is not one of the item's")
    if not satisfies(match.vector, match.vector, 0):
        raise EncodingError("the vector is zero or beyond the bounds")


@refused_as(REASON)
def verify_query(match: PoolMatch, query: Sequence[int], tau: int) -> None:
    """Check that the vector of *match* reaches *tau* with *query*; raises `VerificationError` (`match_invalid`)."""
    if not 0 <= tau <= NORM_BOUND_SQUARED or not satisfies(query, match.vector, tau):
        raise EncodingError("the query is beyond the bounds, or does not reach τ with the vector")


def _read_alias(value: JsonValue, where: str) -> Any:
    """Read a question as its author wrote it: an opened value, which need not be in NFC."""
    if not isinstance(value, str):
        raise EncodingError(f"{where} is not a text")
    return value


def _read_path(value: JsonValue, where: str) -> Any:
    return tuple(read_hex_32(item, where) for item in read_list(value, where, PATH_HASHES_MAX))


def _read_vector(value: JsonValue, where: str) -> Any:
    read = partial(read_integer, least=-COMPONENT_MAX, most=COMPONENT_MAX)
    return tuple(read(item, where) for item in read_list(value, where, COMPONENTS_MAX))


_MATCH: Final[Mapping[str, Reader]] = {
    "alias": _read_alias,
    "item": read_item,
    "path": _read_path,
    "position": read_integer,
    "vector": _read_vector,
}
