"""Checkpoint, witnesses and rollback."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto.bundle import encode_members, seal_members
from crypto.bundle_lines import CheckpointLine
from crypto.checkpoint import Checkpoint, append_cosignature, cosign_checkpoint, parse_checkpoint, sign_checkpoint
from crypto.last_seen import LastSeen
from tests.audit.bundles import ORIGIN, HonestBundle, Plan, World, make_bundle, make_world
from tests.audit.checking import check_of, reasons, verify


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return make_bundle(Plan(witnesses=2, earlier_checkpoints=2))


def other_tree(world: World, size: int) -> str:
    """Return a checkpoint of the same log over other leaves: a split view."""
    return sign_checkpoint(Checkpoint(ORIGIN, size, b"\7" * 32), world.log)


# The checkpoint


def test_a_checkpoint_out_of_form_is_refused(honest: HonestBundle) -> None:
    world = honest.world
    text = honest.parts.checkpoint.replace(f"\n{world.tree.size}\n", f"\n0{world.tree.size}\n")
    assert text != honest.parts.checkpoint
    changed = encode_members(honest.parts) | {"checkpoint": text.encode()}
    found = verify(honest, data=seal_members(changed, honest.parts, world.gateway))
    assert reasons(found) == [("checkpoint", "checkpoint_malformed")]


def test_a_checkpoint_of_another_log_is_refused(honest: HonestBundle) -> None:
    world = honest.world
    text = sign_checkpoint(Checkpoint("log.example/other", world.tree.size, world.tree.root()), world.log)
    assert reasons(verify(honest, replace(honest.parts, checkpoint=text))) == [("checkpoint", "checkpoint_origin")]


def test_a_checkpoint_that_the_log_did_not_sign_is_refused(honest: HonestBundle) -> None:
    world = honest.world
    text = sign_checkpoint(Checkpoint(ORIGIN, world.tree.size, world.tree.root()), world.gateway)
    assert reasons(verify(honest, replace(honest.parts, checkpoint=text))) == [("checkpoint", "checkpoint_signature")]


def test_a_manifest_for_another_checkpoint_is_refused(honest: HonestBundle) -> None:
    world = honest.world
    members = encode_members(replace(honest.parts, checkpoint=world.sign_checkpoint(world.tree.size - 1)))
    data = seal_members(members, honest.parts, world.gateway)
    assert reasons(verify(honest, data=data)) == [("checkpoint", "checkpoint_mismatch")]


# Witnesses


def test_a_witness_too_few_is_refused(honest: HonestBundle) -> None:
    lines = honest.parts.checkpoint.splitlines(keepends=True)
    parts = replace(honest.parts, checkpoint="".join(lines[:-1]))
    assert reasons(verify(honest, parts)) == [("witnesses", "witness_quorum")]
    trust = replace(honest.trust, witness_threshold=1)
    assert reasons(verify(honest, parts, trust=trust)) == []


def test_a_cosignature_of_another_checkpoint_is_refused(honest: HonestBundle) -> None:
    world = honest.world
    earlier = world.sign_checkpoint(1)
    line = earlier.splitlines(keepends=True)[-1]
    text = append_cosignature(honest.parts.checkpoint, line)
    found = verify(honest, replace(honest.parts, checkpoint=text))
    assert reasons(found) == [("witnesses", "cosignature_invalid")]


def test_a_cosignature_from_the_future_is_refused(honest: HonestBundle) -> None:
    world = honest.world
    at_s = honest.now_ms // 1000 + 400
    line = cosign_checkpoint(honest.parts.checkpoint, "witness-0.example", world.witnesses[0], at_s)
    text = append_cosignature(honest.parts.checkpoint, line)
    found = verify(honest, replace(honest.parts, checkpoint=text))
    assert reasons(found) == [("witnesses", "cosignature_future")]


def test_a_log_without_witnesses_is_said_to_be_nobodys_word_but_its_own() -> None:
    found = verify(make_bundle(Plan(witnesses=0)))
    assert check_of(found, "witnesses").status == "not_covered"


# Rollback


def test_nothing_to_compare_with_is_said_to_show_nothing() -> None:
    found = verify(make_bundle(Plan(earlier_checkpoints=0)))
    assert check_of(found, "rollback").status == "not_covered"


def test_earlier_checkpoints_are_continued(honest: HonestBundle) -> None:
    assert "2 earlier checkpoints" in check_of(verify(honest), "rollback").detail


def test_a_consistency_proof_with_a_changed_hash_is_refused() -> None:
    honest = make_bundle(Plan(receipts=7))
    line = honest.parts.checkpoints[0]
    assert line.proof
    broken = replace(line, proof=(bytes(32), *line.proof[1:]))
    found = verify(honest, replace(honest.parts, checkpoints=(broken,)))
    assert reasons(found) == [("rollback", "consistency_invalid")]


def test_an_earlier_checkpoint_that_the_log_did_not_sign_is_refused(honest: HonestBundle) -> None:
    world, line = honest.world, honest.parts.checkpoints[0]
    forged = sign_checkpoint(line.signed.checkpoint, world.gateway)
    broken = replace(line, signed=parse_checkpoint(forged))
    found = verify(honest, replace(honest.parts, checkpoints=(broken,)))
    assert reasons(found) == [("rollback", "checkpoint_signature")]


def test_an_empty_tree_is_continued_by_anything_and_so_proves_nothing(honest: HonestBundle) -> None:
    line = CheckpointLine(parse_checkpoint(honest.world.sign_checkpoint(0)), ())
    found = verify(honest, replace(honest.parts, checkpoints=(line,)))
    assert reasons(found) == [("rollback", "consistency_invalid")]


def test_the_same_checkpoint_is_no_earlier_one(honest: HonestBundle) -> None:
    line = CheckpointLine(parse_checkpoint(honest.parts.checkpoint), ())
    found = verify(honest, replace(honest.parts, checkpoints=(line,)))
    assert reasons(found) == [("rollback", "consistency_invalid")]


def test_an_earlier_checkpoint_that_is_larger_is_a_rollback(honest: HonestBundle) -> None:
    line = CheckpointLine(parse_checkpoint(other_tree(honest.world, 10**6)), ())
    found = verify(honest, replace(honest.parts, checkpoints=(line,)))
    assert reasons(found) == [("rollback", "rollback")]


def test_two_trees_of_one_size_in_a_bundle_are_a_split_view(honest: HonestBundle) -> None:
    line = CheckpointLine(parse_checkpoint(other_tree(honest.world, honest.world.tree.size)), ())
    found = verify(honest, replace(honest.parts, checkpoints=(line,)))
    assert reasons(found) == [("rollback", "split_view")]


# The auditor's own last checkpoint


def test_the_checkpoint_seen_last_is_continued(honest: HonestBundle) -> None:
    for text in (honest.world.checkpoints[1], honest.parts.checkpoint):
        assert reasons(verify(honest, last_seen=LastSeen(text, 1))) == []


def test_a_checkpoint_seen_last_without_a_proof_to_it_is_refused(honest: HonestBundle) -> None:
    seen = LastSeen(honest.world.sign_checkpoint(1), 1)
    assert reasons(verify(honest, last_seen=seen)) == [("rollback", "consistency_missing")]


def test_a_log_smaller_than_the_one_seen_last_is_refused() -> None:
    world = make_world(Plan(earlier_checkpoints=0))
    older = world.export()
    world.add_strangers(5)
    seen = LastSeen(world.sign_checkpoint(), 1)
    assert reasons(verify(older, last_seen=seen)) == [("rollback", "rollback")]


def test_another_tree_than_the_one_seen_last_is_a_split_view_with_both_notes_as_evidence(
    honest: HonestBundle,
) -> None:
    text = other_tree(honest.world, honest.world.tree.size)
    found = verify(honest, last_seen=LastSeen(text, 1))
    assert reasons(found) == [("rollback", "split_view")]
    detail = check_of(found, "rollback").failures[0].detail
    assert text in detail
    assert honest.parts.checkpoint in detail


def test_another_tree_than_an_earlier_one_seen_last_is_a_split_view(honest: HonestBundle) -> None:
    size = honest.parts.checkpoints[0].signed.checkpoint.size
    found = verify(honest, last_seen=LastSeen(other_tree(honest.world, size), 1))
    assert reasons(found) == [("rollback", "split_view")]


def test_a_last_seen_checkpoint_of_another_log_is_refused(honest: HonestBundle) -> None:
    text = sign_checkpoint(Checkpoint("log.example/other", 1, bytes(32)), honest.world.log)
    assert reasons(verify(honest, last_seen=LastSeen(text, 1))) == [("rollback", "checkpoint_origin")]


# Checkpoints from elsewhere


def test_a_checkpoint_from_elsewhere_with_the_same_root_agrees(honest: HonestBundle) -> None:
    for text in (honest.parts.checkpoint, honest.world.checkpoints[0]):
        found = verify(honest, compared=(text,))
        assert reasons(found) == []
        assert "same root" in check_of(found, "rollback").detail


def test_a_checkpoint_from_elsewhere_with_another_root_is_a_split_view(honest: HonestBundle) -> None:
    for size in (honest.world.tree.size, honest.parts.checkpoints[0].signed.checkpoint.size):
        found = verify(honest, compared=(other_tree(honest.world, size),))
        assert reasons(found) == [("rollback", "split_view")]


def test_a_checkpoint_from_elsewhere_that_no_proof_reaches_is_not_covered(honest: HonestBundle) -> None:
    for size in (1, 10**6):
        found = verify(honest, compared=(other_tree(honest.world, size),))
        assert reasons(found) == []
        assert "not covered" in check_of(found, "rollback").detail
    bare = verify(make_bundle(Plan(earlier_checkpoints=0)), compared=(other_tree(make_world(Plan()), 1),))
    assert check_of(bare, "rollback").status == "not_covered"


def test_a_checkpoint_from_elsewhere_that_the_log_did_not_sign_is_refused(honest: HonestBundle) -> None:
    text = sign_checkpoint(Checkpoint(ORIGIN, 3, bytes(32)), honest.world.gateway)
    assert reasons(verify(honest, compared=(text,))) == [("rollback", "checkpoint_signature")]
