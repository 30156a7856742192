"""A release of five items, a match of one of them, and everything that may be changed about either."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any, Final

from crypto.applicability.match import PoolMatch
from crypto.canonical import canonical_json
from crypto.merkle import EMPTY_ROOT
from crypto.release import PoolItem, Release, Tree, item_paths, items_root
from crypto.similarity import inner_product

DIMENSION: Final = 24
ALIAS: Final = "When does the cafe\u0301 open?"  # as its author wrote it: not in NFC
OTHER_ALIAS: Final = "When does it close?"
VECTOR: Final = tuple(100 if place % 2 else -100 for place in range(DIMENSION))
QUERY: Final = (*VECTOR[:-1], 99)
SCORE: Final = inner_product(QUERY, VECTOR)
ITEMS: Final = [
    PoolItem.of([ALIAS, OTHER_ALIAS], "plain", b"\7" * DIMENSION),
    *(PoolItem.of([f"question {number}"], "plain", bytes([number])) for number in range(4)),
]


def release_of(items: list[PoolItem], **changes: Any) -> Release:
    """Return the first release, of *items*."""
    released = Release(
        at_ms=5,
        epoch=2,
        items=items_root(items),
        ledger=Tree(0, EMPTY_ROOT),
        mode="pooled",
        number=1,
        organisations=50,
        previous=None,
        state="released",
        unit="question",
        vector_source="released_text",
    )
    return replace(released, **changes)


RELEASE: Final = release_of(ITEMS)
POSITION, PATH = item_paths(ITEMS)[0]
MATCH: Final = PoolMatch(ALIAS, ITEMS[0], PATH, POSITION, VECTOR)


def match_vectors() -> dict[str, Any]:
    """A match, the release it is of, and the query that reached its threshold to the last unit."""
    return {
        "match": canonical_json(MATCH.to_json()).decode(),  # type: ignore[arg-type]  # there are no floats in it
        "release": RELEASE.to_payload().decode(),
        "query": list(QUERY),
        "tau": SCORE,
    }


MATCH_MAKERS: Final = {"pool_match": match_vectors}


def _set(*place: str | int, to: Any) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        for key in place[:-1]:
            value = value[key]
        value[place[-1]] = to

    return change


def _remove(*place: str | int) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        for key in place[:-1]:
            value = value[key]
        del value[place[-1]]

    return change


#: Changes of the match's object after which it is in no form at all.
MALFORMED: Final[Mapping[str, Callable[[Any], None]]] = {
    "an alias that is no text": _set("alias", to=7),
    "no alias": _remove("alias"),
    "something more": _set("score", to=1),
    "an item of another schema": _set("item", "schema", to="hitproof/pool-item/v2"),
    "an item with something more": _set("item", "text", to=ALIAS),
    "an item without aliases": _set("item", "aliases", to=[]),
    "aliases in no order": lambda value: value["item"]["aliases"].reverse(),
    "an alias's digest twice": lambda value: value["item"]["aliases"].insert(0, value["item"]["aliases"][0]),
    "more aliases than an item has": _set("item", "aliases", to=[f"sha256:{one:064x}" for one in range(17)]),
    "a profile that is not in NFC": _set("item", "profile", to="cafe\u0301"),
    "a profile too long": _set("item", "profile", to="p" * 1_025),
    "a digest in capitals": _set("item", "vector", to="sha256:" + "AB" * 32),
    "a path that is no list": _set("path", to="00" * 32),
    "a path of bytes": _set("path", 0, to="zz" * 32),
    "a shorter hash": _set("path", 0, to="00" * 31),
    "a path of more hashes than any tree has": _set("path", to=["00" * 32] * 64),
    "a position before the first": _set("position", to=-1),
    "a position that is true": _set("position", to=True),
    "no position": _set("position", to=None),
    "a component that is no integer": _set("vector", 0, to="100"),
    "a component that is true": _set("vector", 0, to=True),
    "a component above 127": _set("vector", 0, to=128),
    "a component below -127": _set("vector", 0, to=-128),
    "a vector of more components than any has": _set("vector", to=[0] * 65_537),
    "a vector that is no list": _set("vector", to=None),
}

#: Changes after which it is in form and of nothing that was released.
UNTRUE: Final[Mapping[str, Callable[[Any], None]]] = {
    "another alias": _set("alias", to="When does it open?"),
    "the alias in another normal form": _set("alias", to="When does the café open?"),
    "an empty alias": _set("alias", to=""),
    "a digest more": lambda value: value["item"]["aliases"].append("sha256:" + "f" * 64),
    "a digest less": _remove("item", "aliases", 0),
    "another profile": _set("item", "profile", to="polite"),
    "another released vector": _set("item", "vector", to="sha256:" + "0" * 64),
    "the next position": _set("position", to=(POSITION + 1) % 5),
    "a position beyond the release": _set("position", to=5),
    "a position far beyond": _set("position", to=2**53 - 1),
    "a hash less": _remove("path", -1),
    "a hash more": lambda value: value["path"].append("00" * 32),
    "no path": _set("path", to=[]),
    "a flipped bit in the path": _set("path", 0, to=f"{PATH[0][0] ^ 1:02x}{PATH[0][1:].hex()}"),
    "no vector": _set("vector", to=[]),
    "a vector of no length": _set("vector", to=[0] * DIMENSION),
    "a vector longer than the bound": _set("vector", to=[127] * DIMENSION),
}

#: Releases that the match is not of.
OTHER_RELEASES: Final[Mapping[str, Release]] = {
    "without the item": release_of(ITEMS[1:]),
    "with one item more": release_of([*ITEMS, PoolItem.of(["one more"], "plain", b"\1")]),
    "of nothing": release_of([]),
    "void": release_of([], state="void"),
    "with another count": replace(RELEASE, items=replace(RELEASE.items, count=9)),
    "of the item alone": release_of(ITEMS[:1]),
}

#: Queries and thresholds that the match does not answer.
OTHER_QUERIES: Final[Mapping[str, tuple[tuple[int, ...], int]]] = {
    "a higher threshold by one": (QUERY, SCORE + 1),
    "a threshold that no product reaches": (QUERY, 260_101),
    "a threshold below none": (QUERY, -1),
    "another query": (tuple(-part for part in QUERY), 1),
    "a query of one component less": (QUERY[:-1], 0),
    "a query of one component more": ((*QUERY, 0), 0),
    "no query": ((), 0),
    "a query of no length": ((0,) * DIMENSION, 0),
    "a query longer than the bound": (tuple(127 if part > 0 else -127 for part in VECTOR), 0),
    "a query with a component beyond 127": ((-128, *(0,) * (DIMENSION - 1)), 0),
}


def changed(change: Callable[[Any], None]) -> Any:
    """Return the match's object after *change*."""
    value = deepcopy(MATCH.to_json())
    change(value)
    return value
