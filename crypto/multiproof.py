"""One proof that many leaves are in a tree: the roots of the subtrees between them, each once.

The walk of docs/formats.md ("Multiproof") descends from the whole tree. A range without any of the leaves is one hash, a
single leaf is none, and everything else is divided as RFC 6962 does. Maker and checker walk alike, so the proof needs
no positions, and a hash too many or too few cannot hide.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

from .errors import EncodingError, VerificationError
from .merkle import HASH_BYTES, SIZE_MAX, NodeSource, node_hash, range_root, split_point


def make_multiproof(indexes: Sequence[int], size: int, node: NodeSource) -> list[bytes]:
    """Return the hashes that prove the leaves at *indexes*, ascending, in the tree of *size* leaves.

    Empty for no indexes, which proves nothing. Raises `EncodingError` for indexes that are unsorted, repeated or outside.
    """
    if not indexes:
        return []
    if not _are_positions(indexes, size):
        raise EncodingError(f"indexes must ascend, each once, within a tree of {size} leaves")
    hashes: list[bytes] = []

    def walk(low: int, high: int, first: int, last: int) -> None:
        if first == last:
            hashes.append(range_root(low, high, node))
        elif high - low > 1:
            middle = low + split_point(high - low)
            between = bisect_left(indexes, middle, first, last)
            walk(low, middle, first, between)
            walk(middle, high, between, last)

    walk(0, size, 0, len(indexes))
    return hashes


def root_from_multiproof(leaves: Sequence[tuple[int, bytes]], size: int, hashes: Sequence[bytes]) -> bytes:
    """Return the root that *hashes* lead to from *leaves*: pairs of index and leaf hash, ascending, at least one.

    Raises `VerificationError`, reason `inclusion_invalid`, unless the indexes ascend within the tree, every hash has 32
    bytes and each of *hashes* is used.
    """
    indexes = [index for index, _ in leaves]
    if not indexes or not _are_positions(indexes, size):
        raise _invalid(f"the indexes do not ascend, each once, within a tree of {size} leaves")
    if any(len(item) != HASH_BYTES for item in hashes) or any(len(leaf) != HASH_BYTES for _, leaf in leaves):
        raise _invalid("a hash of the proof has not 32 bytes")
    unused: Iterator[bytes] = iter(hashes)

    # At most 63 calls per leaf, and as deep: sizes are below 2^63.
    def walk(low: int, high: int, first: int, last: int) -> bytes:
        if first == last:
            found = next(unused, None)
            if found is None:
                raise _invalid("the proof has too few hashes")
            return found
        if high - low == 1:
            return leaves[first][1]
        middle = low + split_point(high - low)
        between = bisect_left(indexes, middle, first, last)
        left = walk(low, middle, first, between)
        return node_hash(left, walk(middle, high, between, last))

    root = walk(0, size, 0, len(leaves))
    if next(unused, None) is not None:
        raise _invalid("the proof has too many hashes")
    return root


def _are_positions(indexes: Sequence[int], size: int) -> bool:
    """Say whether *indexes*, of which there is at least one, ascend within the tree of *size* leaves."""
    if not (indexes[0] >= 0 and indexes[-1] < size <= SIZE_MAX):
        return False
    return all(before < after for before, after in pairwise(indexes))


def _invalid(message: str) -> VerificationError:
    return VerificationError(message, reason="inclusion_invalid")
