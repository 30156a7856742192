"""RFC 6962 Merkle trees: roots, and the proofs that a leaf is in one and that one continues another.

Whoever makes proofs reads complete subtrees through a `NodeSource`, be it memory, tiles or something computed. Whoever
checks them computes the root that a proof leads to and compares it; nothing is believed because of its length or order.

    node(level, index)   root of the leaves index·2^level … (index + 1)·2^level − 1

Makers raise `EncodingError` for positions that do not exist; checkers raise `VerificationError`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from .errors import EncodingError, VerificationError

NodeSource: TypeAlias = Callable[[int, int], bytes]

HASH_BYTES: Final = 32
SIZE_MAX: Final = 2**63 - 1
#: Root of the tree without leaves (RFC 6962 §2.1).
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Return H(0x00 ‖ data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return H(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def split_point(width: int) -> int:
    """Return the largest power of two below *width*, which is at least 2: where RFC 6962 divides a range."""
    return 1 << ((width - 1).bit_length() - 1)


def range_root(low: int, high: int, node: NodeSource) -> bytes:
    """Return the root of the leaves *low* … *high* − 1, a range that the RFC's division of some tree reaches.

    Such a range starts at a multiple of the least power of two that is not below its width: the division of a tree
    makes no others. Raises `EncodingError` otherwise.
    """
    if not 0 <= low <= high <= SIZE_MAX:
        raise EncodingError(f"there is no range of leaves from {low} to {high}")
    if low == high:
        return EMPTY_ROOT
    width = high - low
    if low % (1 << (width - 1).bit_length()):
        raise EncodingError(f"no tree has a subtree over the leaves from {low} to {high}")
    roots = []
    for level in reversed(range(width.bit_length())):
        if width >> level & 1:
            roots.append(node(level, low >> level))
            low += 1 << level
    root = roots.pop()
    while roots:
        root = node_hash(roots.pop(), root)
    return root


def inclusion_proof(index: int, size: int, node: NodeSource) -> list[bytes]:
    """Return PATH(index, D[size]) of RFC 6962 §2.1.1, from the leaf's sibling to the root's child."""
    if not 0 <= index < size <= SIZE_MAX:
        raise EncodingError(f"a tree of {size} leaves has no leaf {index}")
    low, high, siblings = 0, size, []
    while high - low > 1:
        middle = low + split_point(high - low)
        if index < middle:
            siblings.append((middle, high))
            high = middle
        else:
            siblings.append((low, middle))
            low = middle
    return [range_root(first, last, node) for first, last in reversed(siblings)]


def consistency_proof(old_size: int, size: int, node: NodeSource) -> list[bytes]:
    """Return PROOF(old_size, D[size]) of RFC 6962 §2.1.2; empty for equal sizes."""
    if not 0 < old_size <= size <= SIZE_MAX:
        raise EncodingError(f"no proof leads from {old_size} leaves to {size}")
    low, high, siblings = 0, size, []
    while old_size != high:
        middle = low + split_point(high - low)
        if old_size <= middle:
            siblings.append((middle, high))
            high = middle
        else:
            siblings.append((low, middle))
            low = middle
    if low:
        siblings.append((low, high))  # The old tree's last complete part; the whole old tree its verifier knows.
    return [range_root(first, last, node) for first, last in reversed(siblings)]


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """Return the root that *proof* leads to from the leaf hash *leaf* at *index*, as RFC 9162 §2.1.3.2 computes it.

    Raises `VerificationError`, reason `inclusion_invalid`, for a position outside the tree, a proof that is too long or
    too short, and hashes that have not 32 bytes.
    """
    if not 0 <= index < size <= SIZE_MAX:
        raise _not_included(f"a tree of {size} leaves has no leaf {index}")
    if not _are_hashes((leaf, *proof)):
        raise _not_included("a hash of the proof has not 32 bytes")
    position, last, root = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise _not_included("the proof is too long")
        if position & 1 or position == last:
            root = node_hash(sibling, root)
            position, last = _skip_lone_levels(position, last)
        else:
            root = node_hash(root, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise _not_included("the proof is too short")
    return root


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf hash *leaf* stands at *index* of the tree; raises `VerificationError` `inclusion_invalid`."""
    found = root_from_inclusion(index, size, leaf, proof)
    if found != root:
        raise VerificationError(
            "the proof leads to another root", reason="inclusion_invalid", expected=root.hex(), actual=found.hex()
        )


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of *new_size* leaves begins with that of *old_size* (RFC 9162 §2.1.4.2).

    Raises `VerificationError`, reason `consistency_invalid`; also from size 0, which would prove nothing.
    """
    if not 0 < old_size <= new_size <= SIZE_MAX:
        raise _inconsistent(f"no proof leads from {old_size} leaves to {new_size}")
    if not _are_hashes((old_root, new_root, *proof)):
        raise _inconsistent("a hash of the proof has not 32 bytes")
    found_old, found_new = old_root, old_root
    if old_size != new_size:
        found_old, found_new = _roots_from_consistency(old_size, new_size, old_root, proof)
    elif proof:
        raise _inconsistent("between equal sizes a proof is empty")
    if found_old != old_root:
        raise _inconsistent("the proof does not lead to the old root", expected=old_root.hex(), actual=found_old.hex())
    if found_new != new_root:
        raise _inconsistent("the proof does not lead to the new root", expected=new_root.hex(), actual=found_new.hex())


class MemoryTree:
    """A tree whose complete subtrees are all in memory: 64 bytes and some objects per leaf."""

    __slots__ = ("_levels",)

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self._levels: list[list[bytes]] = [[]]
        self.extend(leaf_hashes)

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._levels[0])

    def append(self, leaf_hash: bytes) -> None:
        """Add a leaf by its hash; raises `EncodingError` unless that has 32 bytes."""
        if len(leaf_hash) != HASH_BYTES:
            raise EncodingError(f"a leaf hash has {HASH_BYTES} bytes, not {len(leaf_hash)}")
        level, added = 0, leaf_hash
        while True:
            nodes = self._levels[level]
            nodes.append(added)
            if len(nodes) & 1:
                return
            added = node_hash(nodes[-2], nodes[-1])
            level += 1
            if level == len(self._levels):
                self._levels.append([])

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Add leaves in order."""
        for leaf in leaf_hashes:
            self.append(leaf)

    def node(self, level: int, index: int) -> bytes:
        """Return a complete subtree's root: this is a `NodeSource`. Raises `EncodingError` where there is none."""
        if not (0 <= level < len(self._levels) and 0 <= index < len(self._levels[level])):
            raise EncodingError(f"a tree of {self.size} leaves has no complete subtree {index} at level {level}")
        return self._levels[level][index]

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first *size* leaves, of all by default."""
        return range_root(0, self.size if size is None else size, self.node)


def _roots_from_consistency(
    old_size: int, new_size: int, old_root: bytes, proof: Sequence[bytes]
) -> tuple[bytes, bytes]:
    # A complete old tree is a node of the new one, which its verifier knows already.
    hashes = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not proof:
        raise _inconsistent("the proof is empty")
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    found_old = found_new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise _inconsistent("the proof is too long")
        if position & 1 or position == last:
            found_old, found_new = node_hash(sibling, found_old), node_hash(sibling, found_new)
            position, last = _skip_lone_levels(position, last)
        else:
            found_new = node_hash(found_new, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise _inconsistent("the proof is too short")
    return found_old, found_new


def _skip_lone_levels(position: int, last: int) -> tuple[int, int]:
    """Pass the levels at which the last node has no sibling and is carried up as it is."""
    while position and not position & 1:
        position, last = position >> 1, last >> 1
    return position, last


def _are_hashes(hashes: Iterable[bytes]) -> bool:
    return all(len(item) == HASH_BYTES for item in hashes)


def _not_included(message: str) -> VerificationError:
    return VerificationError(message, reason="inclusion_invalid")


def _inconsistent(message: str, *, expected: object = None, actual: object = None) -> VerificationError:
    return VerificationError(message, reason="consistency_invalid", expected=expected, actual=actual)
