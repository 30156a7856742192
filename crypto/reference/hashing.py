"""Hashes as the page of formats defines them: fields, digests, HMAC, and RFC 6962 trees by the recursion of the RFC."""

from __future__ import annotations

from collections.abc import Sequence

from Crypto.Hash import HMAC, SHA256

from .errors import NotInForm

HASH_BYTES = 32
SIZE_MAX = 2**63 - 1


def sha256(data: bytes) -> bytes:
    """SHA-256."""
    return bytes(SHA256.new(data).digest())


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256."""
    return bytes(HMAC.new(key, data, digestmod=SHA256).digest())


def fields(tag: str, *values: bytes) -> bytes:
    """The tag, a zero byte, and every value behind its length in 8 bytes."""
    return tag.encode("ascii") + b"\x00" + b"".join(len(value).to_bytes(8, "big") + value for value in values)


def digest(tag: str, *values: bytes) -> bytes:
    """SHA-256 of the fields."""
    return sha256(fields(tag, *values))


def digest_text(hashed: bytes) -> str:
    """A digest as it is written in JSON."""
    return "sha256:" + hashed.hex()


def leaf_hash(leaf: bytes) -> bytes:
    """RFC 6962's hash of a leaf."""
    return sha256(b"\x00" + leaf)


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962's hash of an inner node."""
    return sha256(b"\x01" + left + right)


def split(size: int) -> int:
    """The largest power of two below *size*, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def multiproof_root(leaves: Sequence[tuple[int, bytes]], size: int, hashes: Sequence[bytes]) -> bytes:
    """The root that a multiproof of these (index, leaf hash) leads to; raises NotInForm if it does not fit them."""
    indexes = [index for index, _ in leaves]
    if not leaves or indexes != sorted(set(indexes)) or indexes[0] < 0 or indexes[-1] >= size or size > SIZE_MAX:
        raise NotInForm("the leaves are not those of a tree of this size")
    given = list(reversed(hashes))

    def take() -> bytes:
        if not given:
            raise NotInForm("the multiproof is too short")
        return given.pop()

    def walk(low: int, high: int, inside: Sequence[tuple[int, bytes]]) -> bytes:
        if not inside:
            return take()
        if high - low == 1:
            return inside[0][1]
        middle = low + split(high - low)
        left = walk(low, middle, [leaf for leaf in inside if leaf[0] < middle])
        right = walk(middle, high, [leaf for leaf in inside if leaf[0] >= middle])
        return node_hash(left, right)

    root = walk(0, size, leaves)
    if given:
        raise NotInForm("the multiproof is too long")
    return root


def consistency_roots(old_size: int, size: int, old_root: bytes, hashes: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The old and the new root that SUBPROOF of RFC 6962 leads to; raises NotInForm if the proof does not fit."""
    if not 0 < old_size < size <= SIZE_MAX:
        raise NotInForm("a consistency proof leads from a smaller tree that is not empty")
    given = list(hashes)
    place = 0

    def take() -> bytes:
        nonlocal place
        if place == len(given):
            raise NotInForm("the consistency proof is too short")
        place += 1
        return given[place - 1]

    def subproof(old: int, new: int, is_whole: bool) -> tuple[bytes, bytes]:
        if old == new:
            found = old_root if is_whole else take()
            return found, found
        middle = split(new)
        if old <= middle:
            before, left = subproof(old, middle, is_whole)
            return before, node_hash(left, take())
        before, right = subproof(old - middle, new - middle, False)
        left = take()
        return node_hash(left, before), node_hash(left, right)

    roots = subproof(old_size, size, True)
    if place != len(given):
        raise NotInForm("the consistency proof is too long")
    return roots


def inclusion_root(position: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """The root that PATH of RFC 6962 leads to from a leaf's hash; raises NotInForm if the path does not fit."""
    if not 0 <= position < size <= SIZE_MAX:
        raise NotInForm("no such leaf in a tree of this size")
    if size == 1:
        if path:
            raise NotInForm("the path is too long")
        return leaf
    if not path:
        raise NotInForm("the path is too short")
    middle = split(size)
    if position < middle:
        return node_hash(inclusion_root(position, middle, leaf, path[:-1]), path[-1])
    return node_hash(path[-1], inclusion_root(position - middle, size - middle, leaf, path[:-1]))
