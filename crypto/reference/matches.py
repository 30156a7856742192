"""Checks what hits of the pool matched: all of it is public to the pool, so it is looked up and computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import json_text, shape
from .errors import NotInForm
from .hashing import HASH_BYTES, digest_text, inclusion_root, leaf_hash, sha256
from .json_text import Json
from .ledger_documents import Release

ALIASES_MAX = 16
PATH_MAX = 63
COMPONENT_MAX = 127
COMPONENTS_MAX = 65_536
#: U: no longer vector may be matched by meaning.
NORM_SQUARED_MAX = 260_100


@dataclass(frozen=True, slots=True)
class Match:
    """A question that is public to the pool, the released item that it is of, and the vector that was compared."""

    alias: str
    item: bytes
    #: Digests of the item's questions.
    questions: tuple[str, ...]
    position: int
    path: tuple[bytes, ...]
    vector: tuple[int, ...]


def read_match(value: Json) -> Match:
    """A match; raises NotInForm."""
    found = shape.closed(value, "alias", "item", "path", "position", "vector")
    alias = found["alias"]
    if not isinstance(alias, str):
        raise NotInForm("an alias is a text, as it was written")
    json_text.check_normal(found["item"])
    item = shape.closed(found["item"], "schema", "aliases", "profile", "vector")
    shape.one_of(item["schema"], "hitproof/pool-item/v1")
    shape.text(item["profile"])
    shape.undigest(item["vector"])
    questions = tuple(digest_text(shape.undigest(one)) for one in shape.items(item["aliases"], ALIASES_MAX))
    shape.check_ascending(questions)
    if not questions:
        raise NotInForm("an item without a question")
    return Match(
        alias=alias,
        item=json_text.write(found["item"]),
        questions=questions,
        position=shape.integer(found["position"]),
        path=tuple(shape.unhex(one, HASH_BYTES) for one in shape.items(found["path"], PATH_MAX)),
        vector=tuple(
            shape.integer(one, -COMPONENT_MAX, COMPONENT_MAX) for one in shape.items(found["vector"], COMPONENTS_MAX)
        ),
    )


def check_match(match: Match, release: Release, query: Sequence[int] | None, tau: int) -> None:
    """Accept what was matched in a release and, where the query is known, that it came so close; raises NotInForm."""
    count, root = release.items
    if inclusion_root(match.position, count, leaf_hash(match.item), match.path) != root:
        raise NotInForm("the item is none of the release")
    if digest_text(sha256(match.alias.encode("utf-8"))) not in match.questions:
        raise NotInForm("the alias is none of the item's questions")
    _check_length(match.vector)
    if query is None:
        return
    if len(query) != len(match.vector) or max(map(abs, query)) > COMPONENT_MAX:
        raise NotInForm("the query is of another space than the vector")
    _check_length(query)
    if not 0 <= tau <= NORM_SQUARED_MAX or _product(query, match.vector) < tau:
        raise NotInForm("the query is not as close to the vector as it had to be")


def _check_length(vector: Sequence[int]) -> None:
    if not 0 < _product(vector, vector) <= NORM_SQUARED_MAX:
        raise NotInForm("a vector of no length, or longer than the bound")


def _product(left: Sequence[int], right: Sequence[int]) -> int:
    total = 0
    for place, component in enumerate(left):
        total += component * right[place]
    return total
