"""One proof for many leaves: it is the walk of the formats page, and no change of it passes."""

from __future__ import annotations

import random

import pytest

from crypto.errors import EncodingError, VerificationError
from crypto.merkle import SIZE_MAX, MemoryTree, inclusion_proof, leaf_hash, range_root
from crypto.multiproof import make_multiproof, root_from_multiproof
from tests import reference_tree
from tests.reference_tree import SparseTree, changed_lists

ENTRIES = [b"entry %d" % number for number in range(100)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
TREE = MemoryTree(LEAVES)
INDEXES = [0, 1, 17, 36, 37, 64, 90, 99]


def leaves_at(indexes: list[int]) -> list[tuple[int, bytes]]:
    return [(index, LEAVES[index]) for index in indexes]


def is_refused(leaves: list[tuple[int, bytes]], size: int, hashes: list[bytes], root: bytes) -> bool:
    """Say whether a caller that compares roots refuses."""
    try:
        return root_from_multiproof(leaves, size, hashes) != root
    except VerificationError as error:
        return error.reason == "inclusion_invalid"


def test_every_set_of_leaves_of_small_trees_has_the_proof_of_the_walk_and_verifies() -> None:
    for size in range(1, 10):
        root = reference_tree.tree_hash(ENTRIES[:size])
        for chosen in range(1, 1 << size):
            indexes = [index for index in range(size) if chosen >> index & 1]
            hashes = make_multiproof(indexes, size, TREE.node)
            assert hashes == reference_tree.multiproof(set(indexes), ENTRIES[:size])
            assert root_from_multiproof(leaves_at(indexes), size, hashes) == root


def test_random_sets_of_leaves_have_the_proof_of_the_walk() -> None:
    choose = random.Random(20)
    for size in range(10, 65):
        indexes = sorted(choose.sample(range(size), choose.randint(1, size)))
        hashes = make_multiproof(indexes, size, TREE.node)
        assert hashes == reference_tree.multiproof(set(indexes), ENTRIES[:size])
        assert root_from_multiproof(leaves_at(indexes), size, hashes) == TREE.root(size)


def test_one_leaf_has_the_hashes_of_its_path() -> None:
    for index in range(100):
        assert set(make_multiproof([index], 100, TREE.node)) == set(inclusion_proof(index, 100, TREE.node))


def test_a_proof_of_all_leaves_is_empty() -> None:
    assert make_multiproof(range(100), 100, TREE.node) == []
    assert root_from_multiproof(leaves_at(list(range(100))), 100, []) == TREE.root()


@pytest.mark.parametrize("indexes", [INDEXES, [0], [99], list(range(50, 60))])
def test_a_proof_with_any_hash_flipped_missing_extra_or_swapped_is_refused(indexes: list[int]) -> None:
    hashes = make_multiproof(indexes, 100, TREE.node)
    assert not is_refused(leaves_at(indexes), 100, hashes, TREE.root())
    for name, changed in changed_lists(hashes).items():
        assert is_refused(leaves_at(indexes), 100, changed, TREE.root()), name


def test_any_leaf_changed_moved_missing_or_added_is_refused() -> None:
    hashes, leaves = make_multiproof(INDEXES, 100, TREE.node), leaves_at(INDEXES)
    for place, (index, leaf) in enumerate(leaves):
        for other in ([(index, leaf_hash(b"another"))], [(index, leaf[:-1])], []):
            assert is_refused([*leaves[:place], *other, *leaves[place + 1 :]], 100, hashes, TREE.root())
    assert is_refused([*leaves[:2], (18, LEAVES[17]), *leaves[3:]], 100, hashes, TREE.root())
    assert is_refused([*leaves[:3], (18, LEAVES[18]), *leaves[3:]], 100, hashes, TREE.root())


def test_repeated_or_unsorted_indexes_are_refused() -> None:
    hashes = make_multiproof(INDEXES, 100, TREE.node)
    for indexes in ([*INDEXES, 99], [0, *INDEXES], INDEXES[::-1], [1, 0, *INDEXES[2:]]):
        with pytest.raises(VerificationError) as caught:
            root_from_multiproof(leaves_at(indexes), 100, hashes)
        assert caught.value.reason == "inclusion_invalid"
        with pytest.raises(EncodingError):
            make_multiproof(indexes, 100, TREE.node)


@pytest.mark.parametrize("size", [0, -1, 99, 101, 128, SIZE_MAX + 1])
def test_another_size_is_refused(size: int) -> None:
    hashes = make_multiproof(INDEXES, 100, TREE.node)
    assert is_refused(leaves_at(INDEXES), size, hashes, TREE.root())


def test_a_byte_moved_between_two_hashes_is_refused() -> None:
    # The node's hash is over both together, so only their lengths tell.
    left, right = LEAVES[:2]
    moved = (left[:-1], left[-1:] + right)
    for leaves, hashes in (
        ([(0, moved[0]), (1, moved[1])], []),
        ([(0, moved[0])], [moved[1]]),
        ([(0, left)], [right[:-1]]),
    ):
        with pytest.raises(VerificationError) as caught:
            root_from_multiproof(leaves, 2, hashes)
        assert caught.value.reason == "inclusion_invalid"


def test_a_tree_larger_than_the_largest_is_refused_even_if_the_proof_fits() -> None:
    hashes = [SparseTree({}).node(level, 1) for level in range(63)]
    assert root_from_multiproof([(0, hashes[0])], 2**62, hashes[:-1]) == hashes[-1]
    with pytest.raises(VerificationError):
        root_from_multiproof([(0, hashes[0])], SIZE_MAX + 1, hashes)


def test_a_proof_of_no_leaves_proves_nothing() -> None:
    assert make_multiproof([], 100, TREE.node) == []
    for hashes in ([], [TREE.root()]):
        with pytest.raises(VerificationError) as caught:
            root_from_multiproof([], 100, hashes)
        assert caught.value.reason == "inclusion_invalid"


def test_a_tree_of_the_largest_size_has_a_proof_that_verifies() -> None:
    indexes = [0, 2**40, 2**62 - 1, 2**62, SIZE_MAX - 1]
    tree = SparseTree({index: leaf_hash(b"%d" % index) for index in indexes})
    hashes = make_multiproof(indexes, SIZE_MAX, tree.node)
    leaves = [(index, tree.leaf(index)) for index in indexes]
    assert root_from_multiproof(leaves, SIZE_MAX, hashes) == range_root(0, SIZE_MAX, tree.node)


def test_a_thousand_leaves_of_a_million_need_at_most_half_the_hashes_of_their_paths() -> None:
    size, tree = 1_000_000, SparseTree({})
    indexes = sorted(random.Random(7).sample(range(size), 1000))
    together = len(make_multiproof(indexes, size, tree.node))
    separate = sum(len(inclusion_proof(index, size, tree.node)) for index in indexes)
    assert 0 < together <= separate // 2
