"""RFC 6962 trees: our roots and proofs are those of the definitions, and no changed proof passes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from pymerkle import InmemoryTree

from crypto.errors import EncodingError, VerificationError
from crypto.merkle import (
    EMPTY_ROOT,
    SIZE_MAX,
    MemoryTree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    range_root,
    root_from_inclusion,
    verify_consistency,
    verify_inclusion,
)
from tests import reference_tree
from tests.reference_tree import SparseTree, changed_lists

ENTRIES = [b"entry %d" % number for number in range(130)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
TREE = MemoryTree(LEAVES)
ROOT = TREE.root()
SIZE = len(LEAVES)
#: In a tree of 100 leaves: a leaf with siblings on both sides and a lone subtree on its way up.
INDEX, WITHIN = 37, 100


def refusal(check: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(VerificationError) as caught:
        check(*arguments)
    return caught.value.reason


# Agreement


def test_the_root_of_no_leaves_is_the_hash_of_nothing() -> None:
    assert hashlib.sha256(b"").digest() == EMPTY_ROOT
    assert MemoryTree().root() == EMPTY_ROOT


def test_published_roots_are_ours() -> None:
    # The eight entries and roots of the Certificate Transparency test suite (merkle_tree_test.go, RFC 6962 trees).
    entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    tree = MemoryTree(leaf_hash(bytes.fromhex(entry)) for entry in entries)
    assert [tree.root(size).hex() for size in range(1, 9)] == roots


def test_roots_are_those_of_the_definition_up_to_64_leaves() -> None:
    for size in range(65):
        assert TREE.root(size) == reference_tree.tree_hash(ENTRIES[:size]), size


def test_every_inclusion_proof_up_to_64_leaves_is_that_of_the_definition_and_verifies() -> None:
    for size in range(1, 65):
        for index in range(size):
            proof = inclusion_proof(index, size, TREE.node)
            assert proof == reference_tree.audit_path(index, ENTRIES[:size]), (index, size)
            verify_inclusion(index, size, LEAVES[index], proof, TREE.root(size))


def test_every_consistency_proof_up_to_64_leaves_is_that_of_the_definition_and_verifies() -> None:
    for size in range(1, 65):
        for old_size in range(1, size + 1):
            proof = consistency_proof(old_size, size, TREE.node)
            assert proof == reference_tree.consistency(old_size, ENTRIES[:size]), (old_size, size)
            verify_consistency(old_size, size, TREE.root(old_size), TREE.root(size), proof)


def test_roots_and_inclusion_proofs_are_those_of_pymerkle() -> None:
    other = InmemoryTree(algorithm="sha256")
    for entry in ENTRIES:
        other.append_entry(entry)
    for size in (1, 2, 3, 63, 64, 65, 100, 127, 128, 129, 130):
        assert TREE.root(size) == other.get_root(size)
        for index in range(0, size, 7):
            # pymerkle counts leaves from one and puts the leaf itself in front of its path.
            assert inclusion_proof(index, size, TREE.node) == other.prove_inclusion(index + 1, size).path[1:]


def test_a_tree_of_the_largest_size_has_proofs_that_verify() -> None:
    marked = SIZE_MAX - 1
    tree = SparseTree({marked: b"\x01" * 32, 5: b"\x02" * 32})
    root = range_root(0, SIZE_MAX, tree.node)
    for index in (0, 5, marked):
        proof = inclusion_proof(index, SIZE_MAX, tree.node)
        verify_inclusion(index, SIZE_MAX, tree.leaf(index), proof, root)
    old_size = 2**62 + 12345
    proof = consistency_proof(old_size, SIZE_MAX, tree.node)
    verify_consistency(old_size, SIZE_MAX, range_root(0, old_size, tree.node), root, proof)


# Inclusion


def proof_of(index: int = INDEX, size: int = WITHIN) -> list[bytes]:
    return inclusion_proof(index, size, TREE.node)


def test_a_proof_for_another_index_is_refused() -> None:
    root = TREE.root(WITHIN)
    for index in range(WITHIN):
        if index != INDEX:
            assert refusal(verify_inclusion, index, WITHIN, LEAVES[INDEX], proof_of(), root) == "inclusion_invalid", (
                index
            )


def test_another_leaf_is_refused() -> None:
    assert (
        refusal(verify_inclusion, INDEX, WITHIN, LEAVES[INDEX + 1], proof_of(), TREE.root(WITHIN))
        == "inclusion_invalid"
    )


@pytest.mark.parametrize(("index", "size"), [(INDEX, WITHIN), (99, WITHIN), (0, 1), (128, 129)])
def test_a_path_with_any_hash_flipped_removed_added_or_reordered_is_refused(index: int, size: int) -> None:
    for name, hashes in changed_lists(proof_of(index, size)).items():
        with pytest.raises(VerificationError) as caught:
            verify_inclusion(index, size, LEAVES[index], hashes, TREE.root(size))
        assert caught.value.reason == "inclusion_invalid", name


def test_an_interior_node_is_refused_as_a_leaf() -> None:
    left, right, path = LEAVES[36], LEAVES[37], proof_of(36)[1:]
    # In a tree of pairs the hash of the node would pass: only the prefix tells a leaf from a node.
    verify_inclusion(18, 50, node_hash(left, right), path, TREE.root(WITHIN))
    assert refusal(verify_inclusion, 18, 50, leaf_hash(left + right), path, TREE.root(WITHIN)) == "inclusion_invalid"


@pytest.mark.parametrize("size", [0, 1, INDEX, -1, SIZE_MAX + 1])
def test_a_size_that_does_not_reach_the_index_or_is_too_large_is_refused(size: int) -> None:
    assert refusal(root_from_inclusion, INDEX, size, LEAVES[INDEX], proof_of()) == "inclusion_invalid"


def test_a_negative_index_is_refused() -> None:
    assert refusal(root_from_inclusion, -1, WITHIN, LEAVES[INDEX], proof_of()) == "inclusion_invalid"


def test_another_root_is_refused() -> None:
    for root in (ROOT, bytes(32), b""):
        assert refusal(verify_inclusion, INDEX, WITHIN, LEAVES[INDEX], proof_of(), root) == "inclusion_invalid"


def test_a_path_that_is_too_long_or_too_short_is_refused_whatever_it_leads_to() -> None:
    # Roots that a log could have signed to make the wrong path fit.
    left, right = LEAVES[:2]
    assert refusal(verify_inclusion, 0, 2, left, [], left) == "inclusion_invalid"
    assert refusal(verify_inclusion, 0, 1, left, [right], node_hash(right, left)) == "inclusion_invalid"
    assert refusal(verify_inclusion, 0, 1, left, [right], node_hash(left, right)) == "inclusion_invalid"


def test_a_tree_larger_than_the_largest_is_refused_even_if_the_path_fits() -> None:
    proof = [SparseTree({}).node(level, 1) for level in range(63)]
    root = node_hash(proof[-1], proof[-1])
    leaf = proof[0]
    assert refusal(verify_inclusion, 0, SIZE_MAX + 1, leaf, proof, root) == "inclusion_invalid"
    assert refusal(verify_consistency, 1, SIZE_MAX + 1, leaf, root, proof) == "consistency_invalid"
    verify_inclusion(0, 2**62, leaf, proof[:-1], proof[-1])
    verify_consistency(1, 2**62, leaf, proof[-1], proof[:-1])


def test_a_leaf_hash_of_another_length_is_refused() -> None:
    assert refusal(root_from_inclusion, 0, 1, LEAVES[0][:-1], []) == "inclusion_invalid"


# Consistency

SIZES = [(1, 2), (3, 7), (4, 7), (6, 8), (8, 130), (64, 100), (99, 100), (100, 130), (130, 130)]


@pytest.mark.parametrize(("old_size", "size"), SIZES)
def test_a_consistency_proof_with_any_hash_changed_is_refused(old_size: int, size: int) -> None:
    proof = consistency_proof(old_size, size, TREE.node)
    for name, hashes in changed_lists(proof).items():
        with pytest.raises(VerificationError) as caught:
            verify_consistency(old_size, size, TREE.root(old_size), TREE.root(size), hashes)
        assert caught.value.reason == "consistency_invalid", name


@pytest.mark.parametrize(("old_size", "size"), [pair for pair in SIZES if pair[0] != pair[1]])
def test_a_missing_consistency_proof_is_refused(old_size: int, size: int) -> None:
    assert (
        refusal(verify_consistency, old_size, size, TREE.root(old_size), TREE.root(size), []) == "consistency_invalid"
    )


def test_a_proof_from_size_0_is_refused_because_it_proves_nothing() -> None:
    for size in (0, SIZE):
        assert refusal(verify_consistency, 0, size, EMPTY_ROOT, TREE.root(size), []) == "consistency_invalid"


def test_a_proof_to_an_older_tree_is_refused() -> None:
    proof = consistency_proof(64, 100, TREE.node)
    assert refusal(verify_consistency, 100, 64, TREE.root(100), TREE.root(64), proof) == "consistency_invalid"


def test_two_roots_of_one_size_are_refused() -> None:
    assert refusal(verify_consistency, 100, 100, TREE.root(100), ROOT, []) == "consistency_invalid"


@pytest.mark.parametrize("position", [0, 31, 62, 63])
@pytest.mark.parametrize("old_size", [63, 64])
def test_a_log_that_changed_any_old_leaf_is_refused(position: int, old_size: int) -> None:
    if position >= old_size:
        position = old_size - 1
    rewritten = MemoryTree([*LEAVES[:position], leaf_hash(b"another"), *LEAVES[position + 1 :]])
    proof = consistency_proof(old_size, 100, rewritten.node)
    assert (
        refusal(verify_consistency, old_size, 100, TREE.root(old_size), rewritten.root(100), proof)
        == "consistency_invalid"
    )


@pytest.mark.parametrize(("old_size", "size"), SIZES)
def test_either_root_changed_is_refused(old_size: int, size: int) -> None:
    proof, old_root, root = consistency_proof(old_size, size, TREE.node), TREE.root(old_size), TREE.root(size)
    for roots in ((bytes(32), root), (old_root, bytes(32)), (old_root[:-1], root), (old_root, root[:-1])):
        assert refusal(verify_consistency, old_size, size, *roots, proof) == "consistency_invalid"


def test_a_consistency_proof_that_is_too_long_or_too_short_is_refused_whatever_it_leads_to() -> None:
    # Roots that a log could have signed to make the wrong proof fit.
    more, third, fourth = LEAVES[9], LEAVES[2], LEAVES[3]
    proof = consistency_proof(3, 4, TREE.node)
    roots = node_hash(more, TREE.root(3)), node_hash(more, TREE.root(4))
    assert refusal(verify_consistency, 3, 4, *roots, [*proof, more]) == "consistency_invalid"
    roots = third, node_hash(third, fourth)
    assert refusal(verify_consistency, 3, 4, *roots, proof[:2]) == "consistency_invalid"


def test_a_byte_moved_between_two_hashes_is_refused() -> None:
    # The node's hash is over both together, so only their lengths tell.
    left, right = LEAVES[:2]
    root = node_hash(left, right)
    assert node_hash(left[:-1], left[-1:] + right) == root
    assert refusal(verify_consistency, 1, 2, left[:-1], root, [left[-1:] + right]) == "consistency_invalid"
    assert refusal(verify_inclusion, 0, 2, left[:-1], [left[-1:] + right], root) == "inclusion_invalid"


# Making


@pytest.mark.parametrize(("low", "high"), [(1, 3), (2, 5), (3, 2), (-1, 1), (0, SIZE_MAX + 1), (96, 131)])
def test_a_range_that_no_tree_divides_at_has_no_root(low: int, high: int) -> None:
    with pytest.raises(EncodingError):
        range_root(low, high, TREE.node)


def test_no_proof_is_made_of_what_the_tree_does_not_hold() -> None:
    for index, size in ((5, 5), (-1, 5), (0, SIZE + 1), (0, 0)):
        with pytest.raises(EncodingError):
            inclusion_proof(index, size, TREE.node)
    for old_size, size in ((0, 5), (6, 5), (5, SIZE + 1)):
        with pytest.raises(EncodingError):
            consistency_proof(old_size, size, TREE.node)


def test_a_tree_takes_no_leaf_hash_of_another_length() -> None:
    with pytest.raises(EncodingError):
        MemoryTree([b"short"])


def test_a_tree_has_no_node_at_a_negative_place() -> None:
    for level, index in ((-1, 0), (0, -1), (0, SIZE), (7, 1), (8, 0)):
        with pytest.raises(EncodingError):
            TREE.node(level, index)
