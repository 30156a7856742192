"""Releases of the pool: what became public to it at once, and where every organisation's ledger stood at that moment.

A release binds its items and the heads of all ledgers by the roots of two RFC 6962 trees, so that one organisation can be
shown its own head without a word about the others. Evolution: the keys are closed; another key or meaning is another
schema. Format: docs/formats.md, "Pool release v1".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from .canonical import JsonValue, digest_fields
from .charges import Charge, GaussianEmbedding, GaussianSelection, GaussianSum, LaplaceSelection
from .closed import (
    Reader,
    encode_closed,
    one_of,
    or_null,
    parse_closed,
    read_digest,
    read_hex_32,
    read_integer,
    read_list,
    read_pseudonym,
    read_record,
    read_text,
    refuse_unsorted,
    refused_as,
    write_record,
)
from .errors import EncodingError
from .merkle import MemoryTree, inclusion_proof, leaf_hash
from .spending import UNITS, Unit

#: Schema of a release, and domain of its digest.
SCHEMA: Final = "hitproof/release/v1"
HEAD_SCHEMA: Final = "hitproof/ledger-head/v1"
ITEM_SCHEMA: Final = "hitproof/pool-item/v1"
#: `type` of the evidence by which a receipt of the pool names its release.
EVIDENCE_TYPE: Final = "pool-release"
RELEASE_BYTES_MAX: Final = 2**16
ALIASES_MAX: Final = 16

Mode: TypeAlias = Literal["pooled", "noised"]
State: TypeAlias = Literal["released", "void"]
VectorSource: TypeAlias = Literal["released_text", "dp_mean", "noised"]


@dataclass(frozen=True, slots=True)
class Tree:
    """How many leaves an RFC 6962 tree has, and its root."""

    count: int
    root: bytes


@dataclass(frozen=True, slots=True)
class LedgerHead:
    """The newest spending of one organisation when a release was made, by number and digest."""

    number: int
    organisation: str
    spending: str

    def to_payload(self) -> bytes:
        """Return the head in canonical JSON, the data of its leaf; raises `EncodingError` where it is malformed."""
        value = write_record(self) | {"schema": HEAD_SCHEMA}
        read_record(value, "the head of a ledger", _HEAD)
        return encode_closed(value)


@dataclass(frozen=True, slots=True)
class PoolItem:
    """One thing that was released: digests of its aliases, sorted, the name of its profile, its vector's digest."""

    aliases: tuple[str, ...]
    profile: str
    vector: str

    @classmethod
    def of(cls, texts: Iterable[str], profile: str, vector: bytes) -> PoolItem:
        """Return the item of alias *texts* and the quantised *vector*, one signed byte per component."""
        aliases = {_digest(text.encode("utf-8")) for text in texts}
        return cls(tuple(sorted(aliases)), profile, _digest(vector))

    def to_json(self) -> dict[str, JsonValue]:
        """Return the item as an object; raises `EncodingError` where it is malformed."""
        value = write_record(self) | {"schema": ITEM_SCHEMA}
        read_item(value, "an item of the pool")
        return value

    def to_payload(self) -> bytes:
        """Return the item in canonical JSON, the data of its leaf; raises `EncodingError` where it is malformed."""
        return encode_closed(self.to_json())


@dataclass(frozen=True, slots=True)
class Release:
    """Release number *number* of the pool; *items* and *ledger* are the trees of what came out and of all heads."""

    at_ms: int
    epoch: int
    items: Tree
    ledger: Tree
    mode: Mode
    number: int
    organisations: int
    previous: str | None
    state: State
    unit: Unit
    vector_source: VectorSource

    def to_json(self) -> dict[str, JsonValue]:
        """Return the release as an object; raises `EncodingError` for what `parse_release` would refuse."""
        value = write_record(self) | {"schema": SCHEMA}
        _read(value)
        return value

    def to_payload(self) -> bytes:
        """Return the release in canonical JSON; raises `EncodingError` for what `parse_release` would refuse."""
        return encode_closed(self.to_json())

    def is_paid_by(self, charges: Sequence[Charge]) -> bool:
        """Say whether the mechanisms that made this are among *charges*: embeddings, or a selection and perhaps its sums."""
        if self.mode == "noised":
            return any(isinstance(charge, GaussianEmbedding) for charge in charges)
        selected = [one.keys_max for one in charges if isinstance(one, LaplaceSelection | GaussianSelection)]
        summed = [one.keys_max for one in charges if isinstance(one, GaussianSum)]
        return bool(selected) and (self.vector_source != "dp_mean" or max(summed, default=0) >= max(selected))

    def digest(self) -> str:
        """Return `sha256:…`, what the body of its leaf, the next release and the pool's receipts carry."""
        return "sha256:" + digest_fields(SCHEMA, self.to_payload()).hex()


def items_root(items: Iterable[PoolItem]) -> Tree:
    """Return the tree of *items* in the order of their canonical JSON."""
    return _tree(sorted(item.to_payload() for item in items))


def item_paths(items: Sequence[PoolItem]) -> list[tuple[int, tuple[bytes, ...]]]:
    """Return the position of each of *items* in the tree of `items_root`, and its inclusion path."""
    payloads = [item.to_payload() for item in items]
    order = sorted(range(len(items)), key=payloads.__getitem__)
    tree = MemoryTree(leaf_hash(payloads[place]) for place in order)
    position_of = {place: position for position, place in enumerate(order)}
    return [
        (position_of[place], tuple(inclusion_proof(position_of[place], tree.size, tree.node)))
        for place in range(len(items))
    ]


def heads_root(heads: Iterable[LedgerHead]) -> Tree:
    """Return the tree of *heads* by organisation; raises `EncodingError` where one organisation has two."""
    return _tree([head.to_payload() for head in _ordered(heads)])


def head_path(heads: Iterable[LedgerHead], organisation: str) -> tuple[int, tuple[bytes, ...]]:
    """Return the position of *organisation*'s head among *heads* and its inclusion path.

    Raises `EncodingError` where it has no head, or one organisation has two.
    """
    ordered = _ordered(heads)
    positions = [place for place, head in enumerate(ordered) if head.organisation == organisation]
    if not positions:
        raise EncodingError("the organisation has no head among these")
    tree = MemoryTree(leaf_hash(head.to_payload()) for head in ordered)
    return positions[0], tuple(inclusion_proof(positions[0], tree.size, tree.node))


def read_item(value: JsonValue, where: str) -> PoolItem:
    """Read an item of the pool, called *where* in messages; raises `EncodingError`."""
    found = read_record(value, where, _ITEM)
    del found["schema"]
    return PoolItem(**found)


@refused_as("malformed")
def parse_release(value: JsonValue | bytes) -> Release:
    """Read a release, from canonical JSON where *value* is bytes; raises `VerificationError` (`malformed`)."""
    return _read(parse_closed(value, RELEASE_BYTES_MAX, "the release"))


def _read(value: JsonValue) -> Release:
    found = read_record(value, "the release", _RELEASE)
    del found["schema"]
    release = Release(**found)
    if (release.previous is None) != (release.number == 1):
        raise EncodingError("the release names the one before it exactly unless it is number 1")
    if release.state == "void" and release.items.count:
        raise EncodingError("a void release has no items")
    if len({release.mode == "noised", release.unit == "entry", release.vector_source == "noised"}) != 1:
        raise EncodingError("the unit entry and noised vectors belong to the mode noised, and to no other")
    return release


def _ordered(heads: Iterable[LedgerHead]) -> list[LedgerHead]:
    ordered = sorted(heads, key=lambda head: head.organisation)
    refuse_unsorted([head.organisation for head in ordered], "the heads of ledgers")
    return ordered


def _tree(payloads: list[bytes]) -> Tree:
    tree = MemoryTree(map(leaf_hash, payloads))
    return Tree(tree.size, tree.root())


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _read_tree(value: JsonValue, where: str) -> Any:
    return Tree(**read_record(value, where, {"count": read_integer, "root": read_hex_32}))


def _read_aliases(value: JsonValue, where: str) -> Any:
    aliases = tuple(read_digest(item, where) for item in read_list(value, where, ALIASES_MAX))
    if not aliases:
        raise EncodingError(f"{where} are none")
    refuse_unsorted(aliases, where)
    return aliases


_HEAD: Final[Mapping[str, Reader]] = {
    "schema": one_of(HEAD_SCHEMA),
    "number": partial(read_integer, least=1),
    "organisation": read_pseudonym,
    "spending": read_digest,
}
_ITEM: Final[Mapping[str, Reader]] = {
    "schema": one_of(ITEM_SCHEMA),
    "aliases": _read_aliases,
    "profile": read_text,
    "vector": read_digest,
}
_RELEASE: Final[Mapping[str, Reader]] = {
    "schema": one_of(SCHEMA),
    "at_ms": read_integer,
    "epoch": read_integer,
    "items": _read_tree,
    "ledger": _read_tree,
    "mode": one_of("pooled", "noised"),
    "number": partial(read_integer, least=1),
    "organisations": read_integer,
    "previous": or_null(read_digest),
    "state": one_of("released", "void"),
    "unit": one_of(*UNITS),
    "vector_source": one_of("released_text", "dp_mean", "noised"),
}
