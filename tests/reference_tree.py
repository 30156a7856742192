"""Merkle trees straight from RFC 6962's definitions, and a tree too large for memory; both for tests only.

`MTH`, `PATH`, `PROOF` and `SUBPROOF` are written as RFC 6962 §2.1 writes them, on lists, and compute everything anew.
`SparseTree` has up to 2^63 - 1 leaves that are all alike but for a few, so that every subtree can be computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def _sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def _largest_power_of_two_below(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def tree_hash(entries: list[bytes]) -> bytes:
    """MTH(D[n])."""
    if not entries:
        return _sha256()
    if len(entries) == 1:
        return _sha256(b"\x00", entries[0])
    k = _largest_power_of_two_below(len(entries))
    return _sha256(b"\x01", tree_hash(entries[:k]), tree_hash(entries[k:]))


def audit_path(m: int, entries: list[bytes]) -> list[bytes]:
    """PATH(m, D[n])."""
    if len(entries) == 1:
        return []
    k = _largest_power_of_two_below(len(entries))
    if m < k:
        return [*audit_path(m, entries[:k]), tree_hash(entries[k:])]
    return [*audit_path(m - k, entries[k:]), tree_hash(entries[:k])]


def consistency(m: int, entries: list[bytes]) -> list[bytes]:
    """PROOF(m, D[n])."""
    return _subproof(m, entries, True)


def _subproof(m: int, entries: list[bytes], whole: bool) -> list[bytes]:
    if m == len(entries):
        return [] if whole else [tree_hash(entries)]
    k = _largest_power_of_two_below(len(entries))
    if m <= k:
        return [*_subproof(m, entries[:k], whole), tree_hash(entries[k:])]
    return [*_subproof(m - k, entries[k:], False), tree_hash(entries[:k])]


def multiproof(indexes: set[int], entries: list[bytes], start: int = 0) -> list[bytes]:
    """The walk of docs/formats.md, on lists: the hashes for *indexes* among *entries*, which begin at *start*."""
    if not any(start <= index < start + len(entries) for index in indexes):
        return [tree_hash(entries)]
    if len(entries) == 1:
        return []
    k = _largest_power_of_two_below(len(entries))
    return [*multiproof(indexes, entries[:k], start), *multiproof(indexes, entries[k:], start + k)]


def changed_lists(hashes: list[bytes]) -> dict[str, list[bytes]]:
    """Everything that can happen to a list of hashes: one bit flipped, one taken, one added, two exchanged."""
    changed = {}
    for place, item in enumerate(hashes):
        changed[f"flipped {place}"] = [*hashes[:place], bytes([item[0] ^ 1]) + item[1:], *hashes[place + 1 :]]
        changed[f"removed {place}"] = hashes[:place] + hashes[place + 1 :]
        changed[f"shortened {place}"] = [*hashes[:place], item[:-1], *hashes[place + 1 :]]
        changed[f"exchanged {place}"] = [*hashes[:place], *reversed(hashes[place : place + 2]), *hashes[place + 2 :]]
    for place in range(len(hashes) + 1):
        changed[f"added {place}"] = [*hashes[:place], bytes(32), *hashes[place:]]
    return {name: value for name, value in changed.items() if value != hashes}


class SparseTree:
    """A tree of any size whose leaf hashes are *ordinary* but for those *marked*, by index."""

    def __init__(self, marked: Mapping[int, bytes], ordinary: bytes = bytes(32)) -> None:
        self._marked = dict(marked)
        self._ordinary = [ordinary]
        for _ in range(63):
            self._ordinary.append(_sha256(b"\x01", self._ordinary[-1], self._ordinary[-1]))

    def leaf(self, index: int) -> bytes:
        return self._marked.get(index, self._ordinary[0])

    def node(self, level: int, index: int) -> bytes:
        """The root of a complete subtree, as a `NodeSource` gives it."""
        if not any(mark >> level == index for mark in self._marked):
            return self._ordinary[level]
        if level == 0:
            return self._marked[index]
        return _sha256(b"\x01", self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1))
