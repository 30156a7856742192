"""Each hit: batch, receipt, order, tenant, scope, policy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto.leaf import LeafKind
from crypto.pseudonym import EPOCH_MS
from crypto.verify.tenancy import GRACE_MS
from tests.audit.bundles import POLICY, HonestBundle, Plan, World, make_bundle, make_world
from tests.audit.checking import reasons, verify

PLAIN = Plan(receipts=2, hits=0, embeddings=0, openings=False, earlier_checkpoints=0)
OTHER = {"mode": "off"}


def make_plain() -> tuple[World, str]:
    """Return a world without hits, and its policy."""
    world = make_world(PLAIN)
    return world, next(iter(world.policies))


def with_hit(**changes: object) -> list[tuple[str, str]]:
    """Return what is wrong once a batch with two honest hits and one with *changes* is in the log."""
    world, policy = make_plain()
    honest = [world.make_hit(receipt, policy) for receipt in world.receipts]
    world.add_batch([*honest, world.make_hit(world.receipts[0], policy, **changes)])
    return reasons(verify(world.export()))


def test_an_honest_batch_passes() -> None:
    assert with_hit() == []


def test_some_hits_of_a_batch_are_shown_without_the_others() -> None:
    world, policy = make_plain()
    world.add_batch([world.make_hit(world.receipts[0], policy) for _ in range(9)], shown=[1, 4, 8])
    found = verify(world.export())
    assert reasons(found) == []
    assert len(found.hits) == 3


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    world, policy = make_plain()
    world.add_batch([world.make_hit(world.receipts[0], policy) for _ in range(9)], shown=[1, 4, 8])
    return world.export()


def broken(honest: HonestBundle, **changes: object) -> list[tuple[str, str]]:
    line = replace(honest.parts.hits[0], **changes)  # type: ignore[arg-type]
    return reasons(verify(honest, replace(honest.parts, hits=(line,))))


def test_a_record_that_is_not_the_batchs_is_refused(honest: HonestBundle) -> None:
    first, *others = honest.parts.hits[0].records
    changed = replace(first, at_ms=first.at_ms + 1)
    assert broken(honest, records=(changed, *others)) == [("hits", "batch_invalid")]


def test_a_record_at_another_position_is_refused(honest: HonestBundle) -> None:
    assert broken(honest, positions=(0, 4, 8)) == [("hits", "batch_invalid")]
    assert broken(honest, positions=(1, 4, 9)) == [("hits", "batch_invalid")]


def test_a_batch_proof_with_a_hash_changed_missing_or_added_is_refused(honest: HonestBundle) -> None:
    hashes = honest.parts.hits[0].hashes
    for other in ((bytes(32), *hashes[1:]), hashes[1:], (*hashes, bytes(32))):
        assert broken(honest, hashes=other) == [("hits", "batch_invalid")]


def test_a_batch_at_a_leaf_that_is_none_is_refused(honest: HonestBundle) -> None:
    for index in (0, 10**6, honest.parts.receipts[0].index):
        assert broken(honest, batch=index) == [("hits", "batch_invalid")]


def test_a_batch_that_counts_other_hits_than_it_has_is_refused() -> None:
    for count in (0, 2, 4, 2**53 - 1):
        world, policy = make_plain()
        world.add_batch([world.make_hit(world.receipts[0], policy) for _ in range(3)], count=count)
        assert reasons(verify(world.export())) == [("hits", "batch_invalid")]


def test_a_batch_of_another_tenant_is_refused() -> None:
    world, policy = make_plain()
    other = world.pseudonym_at(world.now_ms, "ten_aaaaaaaaaaaaaaaa")
    world.add_batch([world.make_hit(world.receipts[0], policy)], tenant=other)
    assert reasons(verify(world.export())) == [("hits", "tenant_mismatch")]


def test_a_hit_id_counts_once() -> None:
    world, policy = make_plain()
    record = world.make_hit(world.receipts[0], policy)
    world.add_batch([record])
    world.add_batch([replace(record, at_ms=record.at_ms + 1)])
    found = verify(world.export())
    assert reasons(found) == [("hits", "hit_replayed")]
    assert found.hits == {record.hit}


def test_a_hit_on_a_receipt_that_is_not_there_is_refused() -> None:
    assert with_hit(receipt="sha256:" + "5" * 64) == [("hits", "hit_receipt")]


def test_a_hit_on_another_leaf_than_its_receipts_is_refused() -> None:
    assert with_hit(receipt_leaf=bytes(32)) == [("hits", "hit_receipt")]


def test_a_hit_in_the_log_before_its_receipt_is_refused() -> None:
    world, policy = make_plain()
    late = world.add_answer(world.runners[0], policy)
    index = late.index
    world.add_batch([world.make_hit(late, policy)])
    assert reasons(verify(world.export())) == []
    batch = world.bodies[-1]
    world.add_receipt(late.envelope, late.statement)
    assert batch.index > index
    honest = world.export()
    without = tuple(line for line in honest.parts.receipts if line.index != index)
    leaves = {place: leaf for place, leaf in honest.parts.leaves.items() if place != index}
    world.leaves.pop(index)
    proof = world.make_parts().multiproof
    found = verify(honest, replace(honest.parts, receipts=without, leaves=leaves, multiproof=proof))
    assert reasons(found) == [("hits", "hit_order")]


def test_a_hit_of_another_tenant_or_epoch_is_refused() -> None:
    world, policy = make_plain()
    stranger = world.pseudonym_at(world.now_ms, "ten_aaaaaaaaaaaaaaaa")
    assert with_hit(tenant=stranger) == [("hits", "tenant_mismatch")]
    stale = world.pseudonym_at(world.now_ms)
    world.tick(EPOCH_MS)
    world.add_policy(POLICY)
    world.add_batch([world.make_hit(world.receipts[0], policy, tenant=stale)])
    assert reasons(verify(world.export())) == [("hits", "tenant_mismatch")]


def test_a_hit_outside_the_time_is_refused() -> None:
    honest = make_bundle(replace(PLAIN, hits=1))
    at_ms = honest.parts.hits[0].records[0].at_ms
    for change, expected in (
        ({"since_ms": at_ms}, []),
        ({"since_ms": at_ms + 1}, [("hits", "out_of_scope")]),
        ({"until_ms": at_ms + 1}, []),
        ({"until_ms": at_ms}, [("hits", "out_of_scope")]),
    ):
        scope = replace(honest.parts.scope, **change)  # type: ignore[arg-type]
        found = [item for item in reasons(verify(honest, replace(honest.parts, scope=scope))) if item[0] == "hits"]
        assert found == expected


# Policies


def test_a_hit_by_a_policy_that_was_never_announced_is_refused() -> None:
    world, _ = make_plain()
    world.add_batch([world.make_hit(world.receipts[0], "sha256:" + "4" * 64)])
    assert reasons(verify(world.export())) == [("hits", "policy_unknown")]


def test_a_hit_by_a_policy_announced_behind_its_batch_is_refused() -> None:
    world, policy = make_plain()
    record = world.make_hit(world.receipts[0], policy)
    later = make_world(PLAIN).add_policy(OTHER)
    world.add_batch([replace(record, policy=later)])
    world.add_policy(OTHER)
    assert reasons(verify(world.export())) == [("hits", "policy_unknown")]


@pytest.mark.parametrize(("late_ms", "expected"), [(GRACE_MS, []), (GRACE_MS + 1, [("hits", "policy_inactive")])])
def test_a_replaced_policy_may_decide_for_a_minute_and_no_longer(late_ms: int, expected: list[tuple[str, str]]) -> None:
    world, policy = make_plain()
    world.add_policy(OTHER, version=2)
    record = world.make_hit(world.receipts[0], policy, at_ms=world.now_ms + late_ms)
    world.tick(late_ms)
    world.add_batch([record])
    assert reasons(verify(world.export())) == expected


def test_a_policy_that_came_back_is_in_force_again() -> None:
    world, policy = make_plain()
    world.add_policy(OTHER, version=2)
    world.tick(10 * GRACE_MS)
    world.add_policy(POLICY, version=3)
    world.tick(10 * GRACE_MS)
    world.add_batch([world.make_hit(world.receipts[0], policy)])
    assert reasons(verify(world.export())) == []


def test_a_policy_of_another_epoch_does_not_count_in_this_one() -> None:
    world, policy = make_plain()
    world.tick(EPOCH_MS)
    world.add_batch([world.make_hit(world.receipts[0], policy)])
    assert reasons(verify(world.export())) == [("hits", "policy_unknown")]
    again, policy = make_plain()
    again.tick(EPOCH_MS)
    again.add_policy(POLICY)
    again.add_batch([again.make_hit(again.receipts[0], policy)])
    assert reasons(verify(again.export())) == []


def test_another_tenants_announcement_replaces_nothing() -> None:
    world, policy = make_plain()
    world.add_policy(OTHER, tenant=world.pseudonym_at(world.now_ms, "ten_aaaaaaaaaaaaaaaa"))
    world.tick(10 * GRACE_MS)
    world.add_batch([world.make_hit(world.receipts[0], policy)])
    assert reasons(verify(world.export())) == []


def test_a_batch_and_a_receipt_are_never_mistaken_for_one_another() -> None:
    honest = make_bundle(replace(PLAIN, hits=1))
    batch = next(line for line in honest.parts.bodies if line.kind is LeafKind.HIT_BATCH)
    assert honest.parts.leaves[batch.index][1] == LeafKind.HIT_BATCH
    line = replace(honest.parts.receipts[0], index=batch.index)
    receipts = tuple(sorted((*honest.parts.receipts[1:], line), key=lambda one: one.index))
    bodies = tuple(one for one in honest.parts.bodies if one is not batch)
    found = verify(honest, replace(honest.parts, receipts=receipts, bodies=bodies))
    assert reasons(found)[0] == ("inclusion", "leaf_kind")
