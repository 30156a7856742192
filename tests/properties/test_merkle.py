"""Merkle trees of any size: what is proved verifies, and nothing else does."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from crypto.errors import VerificationError
from crypto.merkle import (
    SIZE_MAX,
    MemoryTree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    range_root,
    verify_consistency,
    verify_inclusion,
)
from crypto.multiproof import make_multiproof, root_from_multiproof
from tests import reference_tree
from tests.reference_tree import SparseTree

SIZES = st.integers(1, 200) | st.integers(0, 62).map(lambda bits: 1 << bits) | st.integers(1, SIZE_MAX)


@st.composite
def places(draw: st.DrawFn) -> tuple[int, list[int]]:
    """A size and up to eight indexes within it, ascending."""
    size = draw(SIZES)
    return size, sorted(draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=8)))


def sparse(indexes: list[int]) -> SparseTree:
    return SparseTree({index: hashlib.sha256(b"%d" % index).digest() for index in indexes})


@given(place=places())
def test_every_leaf_of_a_tree_of_any_size_is_proved(place: tuple[int, list[int]]) -> None:
    size, indexes = place
    tree = sparse(indexes)
    root = range_root(0, size, tree.node)
    for index in indexes:
        proof = inclusion_proof(index, size, tree.node)
        assert len(proof) <= (size - 1).bit_length()
        verify_inclusion(index, size, tree.leaf(index), proof, root)


@given(place=places(), data=st.data())
def test_no_flipped_bit_moved_index_or_other_size_passes(place: tuple[int, list[int]], data: st.DataObject) -> None:
    size, indexes = place
    tree, index = sparse(indexes), indexes[0]
    root, leaf, proof = range_root(0, size, tree.node), tree.leaf(index), inclusion_proof(index, size, tree.node)
    flipped = b"".join([leaf, *proof])
    bit = data.draw(st.integers(0, 8 * len(flipped) - 1))
    flipped = (int.from_bytes(flipped, "big") ^ 1 << bit).to_bytes(len(flipped), "big")
    changed_leaf, *changed = [flipped[start : start + 32] for start in range(0, len(flipped), 32)]
    with pytest.raises(VerificationError):
        verify_inclusion(index, size, changed_leaf, changed, root)
    other = data.draw(st.integers(0, size - 1))
    if other != index:
        with pytest.raises(VerificationError):
            verify_inclusion(other, size, leaf, proof, root)


@given(place=places(), data=st.data())
def test_every_earlier_size_is_proved_consistent_and_no_changed_history(
    place: tuple[int, list[int]], data: st.DataObject
) -> None:
    size, indexes = place
    tree = sparse(indexes)
    old_size = data.draw(st.integers(1, size))
    old_root, root = range_root(0, old_size, tree.node), range_root(0, size, tree.node)
    verify_consistency(old_size, size, old_root, root, consistency_proof(old_size, size, tree.node))
    forged = sparse([*indexes, data.draw(st.integers(0, old_size - 1))])
    if range_root(0, old_size, forged.node) != old_root:
        proof = consistency_proof(old_size, size, forged.node)
        with pytest.raises(VerificationError):
            verify_consistency(old_size, size, old_root, range_root(0, size, forged.node), proof)


@given(place=places(), data=st.data())
def test_a_multiproof_of_a_tree_of_any_size_verifies_and_no_flipped_bit(
    place: tuple[int, list[int]], data: st.DataObject
) -> None:
    size, indexes = place
    tree = sparse(indexes)
    hashes, root = make_multiproof(indexes, size, tree.node), range_root(0, size, tree.node)
    leaves = [tree.leaf(index) for index in indexes]
    assert root_from_multiproof(list(zip(indexes, leaves, strict=True)), size, hashes) == root
    flipped = b"".join([*leaves, *hashes])
    bit = data.draw(st.integers(0, 8 * len(flipped) - 1))
    flipped = (int.from_bytes(flipped, "big") ^ 1 << bit).to_bytes(len(flipped), "big")
    parts = [flipped[start : start + 32] for start in range(0, len(flipped), 32)]
    changed = list(zip(indexes, parts[: len(leaves)], strict=True))
    assert root_from_multiproof(changed, size, parts[len(leaves) :]) != root


@given(entries=st.lists(st.binary(max_size=40), min_size=1, max_size=40))
def test_a_tree_of_any_entries_is_that_of_the_definition_and_of_pymerkle(entries: list[bytes]) -> None:
    other = InmemoryTree(algorithm="sha256")
    for entry in entries:
        other.append_entry(entry)
    root = MemoryTree(map(leaf_hash, entries)).root()
    assert root == reference_tree.tree_hash(entries) == other.get_root()
