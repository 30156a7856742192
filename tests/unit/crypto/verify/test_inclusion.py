"""Every leaf in the log, every leaf made of its body."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto.bundle_lines import BodyLine
from crypto.leaf import LeafKind, body_leaf, envelope_leaf
from tests.audit.bundles import HonestBundle, Plan, make_bundle, make_world
from tests.audit.checking import reasons, verify


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return make_bundle(Plan(receipts=4, hits=4, tree_size=60))


def test_a_hash_that_is_changed_missing_or_added_is_refused(honest: HonestBundle) -> None:
    hashes = honest.parts.multiproof
    assert len(hashes) > 2
    swapped = (hashes[1], hashes[0], *hashes[2:])
    for broken in ((bytes(32), *hashes[1:]), hashes[1:], (*hashes, bytes(32)), swapped, ()):
        found = verify(honest, replace(honest.parts, multiproof=broken))
        assert reasons(found) == [("inclusion", "inclusion_invalid")]


def test_a_leaf_at_another_index_is_refused(honest: HonestBundle) -> None:
    receipt = honest.parts.receipts[0]
    leaves = dict(honest.parts.leaves)
    leaves[receipt.index + 1] = leaves.pop(receipt.index)
    receipts = (replace(receipt, index=receipt.index + 1), *honest.parts.receipts[1:])
    found = verify(honest, replace(honest.parts, leaves=leaves, receipts=receipts))
    assert reasons(found) == [("inclusion", "inclusion_invalid")]


def test_a_leaf_beyond_the_tree_is_refused(honest: HonestBundle) -> None:
    leaves = dict(honest.parts.leaves)
    leaves[10**6] = leaves[0]
    found = verify(honest, replace(honest.parts, leaves=leaves))
    assert reasons(found) == [("inclusion", "inclusion_invalid")]


def test_leaves_without_a_proof_and_a_proof_without_leaves_are_refused(honest: HonestBundle) -> None:
    nothing = replace(honest.parts, leaves={}, receipts=(), bodies=(), evidence=(), hits=(), openings=())
    found = verify(honest, nothing)
    assert reasons(found) == [("inclusion", "inclusion_invalid")]
    bare = replace(nothing, multiproof=(), models=(), policies=())
    assert reasons(verify(honest, bare)) == [("status", "status_unbound")]


def test_a_leaf_made_of_something_else_is_refused() -> None:
    world = make_world(Plan())
    body = world.bodies[0].body
    other = body_leaf(body.KIND, body.to_payload(), body.at_ms + 1, world.log.public_key)
    world.add_body(body, other)
    assert reasons(verify(world.export())) == [("inclusion", "leaf_mismatch")]


def test_a_body_that_another_key_than_the_logs_asserts_is_refused() -> None:
    world = make_world(Plan())
    body = world.bodies[0].body
    world.add_body(body, body_leaf(body.KIND, body.to_payload(), body.at_ms, world.gateway.public_key))
    assert reasons(verify(world.export())) == [("inclusion", "leaf_mismatch")]


def test_a_receipt_whose_signature_is_not_the_one_in_the_leaf_is_refused() -> None:
    world = make_world(Plan(hits=0, embeddings=0, openings=False))
    receipt = world.receipts[0]
    other = replace(receipt.envelope.signatures[0], signature=bytes(64))
    receipt.envelope = replace(receipt.envelope, signatures=(other,))
    assert reasons(verify(world.export())) == [("inclusion", "leaf_mismatch")]


def test_a_leaf_of_another_kind_than_its_body_is_refused() -> None:
    world = make_world(Plan(hits=0))
    made = world.receipts[0]
    leaf = envelope_leaf(LeafKind.RECEIPT, made.envelope, made.statement.issued_at_ms)
    disguised = replace(leaf, kind=LeafKind.HIT_BATCH).encode()
    index = world.append(disguised)
    world.receipts.append(replace(made, index=index, openings=[]))
    assert ("inclusion", "leaf_kind") in reasons(verify(world.export()))


def test_a_leaf_without_a_body_is_refused(honest: HonestBundle) -> None:
    parts = replace(honest.parts, receipts=honest.parts.receipts[1:])
    assert reasons(verify(honest, parts)) == [("inclusion", "leaf_unexplained")]


def test_a_body_without_a_leaf_is_refused(honest: HonestBundle) -> None:
    line = honest.parts.bodies[-1]
    parts = replace(honest.parts, bodies=(*honest.parts.bodies, BodyLine(10**6, line.kind, line.body)))
    assert reasons(verify(honest, parts)) == [("inclusion", "leaf_unexplained")]


def test_two_bodies_for_one_leaf_are_refused(honest: HonestBundle) -> None:
    line = honest.parts.receipts[0]
    evidence = tuple(sorted((*honest.parts.evidence, line), key=lambda one: one.index))
    found = verify(honest, replace(honest.parts, evidence=evidence))
    assert ("inclusion", "leaf_unexplained") in reasons(found)
