"""The status list, how fresh it is, and keys in their role and time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto.bodies import ModelStatus
from crypto.status import KeyStatus
from tests.audit.bundles import DAY_MS, START_MS, HonestBundle, Plan, make_bundle, make_world
from tests.audit.checking import check_of, reasons, verify


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return make_bundle(Plan())


def test_a_status_list_that_no_leaf_carries_is_refused(honest: HonestBundle) -> None:
    status = replace(honest.parts.status, at_ms=honest.parts.status.at_ms + 1)
    assert reasons(verify(honest, replace(honest.parts, status=status))) == [("status", "status_unbound")]


def test_an_older_status_list_is_refused_once_a_newer_leaf_is_there() -> None:
    world = make_world(Plan())
    old = world.status
    world.retire_key(world.runners[0].key_id)
    honest = world.export()
    assert reasons(verify(honest, replace(honest.parts, status=old))) == [("status", "status_unbound")]


def test_a_key_event_binds_the_list_as_a_model_status_does() -> None:
    world = make_world(Plan())
    world.retire_key(world.runners[0].key_id)
    assert reasons(verify(world.export())) == []


def test_freshness_is_not_covered_unless_an_age_is_asked_for(honest: HonestBundle) -> None:
    assert check_of(verify(honest), "freshness").status == "not_covered"


def test_a_status_list_may_be_as_old_as_was_asked_and_no_older(honest: HonestBundle) -> None:
    at_ms = honest.parts.status.at_ms
    for age_ms, expected in ((DAY_MS, []), (DAY_MS + 1, [("freshness", "stale")])):
        assert reasons(verify(honest, now_ms=at_ms + age_ms, max_age_ms=DAY_MS)) == expected


def test_the_newest_cosignature_is_asked_for_its_age_where_witnesses_are() -> None:
    world = make_world(Plan(witnesses=1))
    world.add_status(at_ms=world.now_ms + DAY_MS)
    honest = world.export()
    for witness_threshold, expected in ((0, []), (1, [("freshness", "stale")])):
        trust = replace(honest.trust, witness_threshold=witness_threshold)
        assert reasons(verify(honest, trust=trust, now_ms=world.now_ms + 2 * DAY_MS, max_age_ms=DAY_MS)) == expected


def signed_by(world_plan: Plan, **key: object) -> list[tuple[str, str]]:
    """Return what is wrong with an honest bundle under a trust file in which the runners' keys are changed."""
    honest = make_bundle(world_plan)
    runners = tuple(replace(one, **key) for one in honest.trust.runners)
    return reasons(verify(honest, trust=replace(honest.trust, runners=runners)))


PLAIN = Plan(receipts=1, hits=0, embeddings=0, openings=False)


def test_a_key_signs_from_its_beginning_to_before_its_end() -> None:
    issued_ms = make_world(PLAIN).receipts[0].statement.issued_at_ms
    assert signed_by(PLAIN, from_ms=issued_ms) == []
    assert signed_by(PLAIN, from_ms=issued_ms + 1) == [("receipts", "signer_expired")]
    assert signed_by(PLAIN, until_ms=issued_ms + 1) == []
    assert signed_by(PLAIN, until_ms=issued_ms) == [("receipts", "signer_expired")]


@pytest.mark.parametrize("status", ["retired", "compromised"])
def test_a_listed_key_counts_below_its_index_and_not_from_it_on(status: str) -> None:
    for offset, expected in ((1, []), (0, [("receipts", f"signer_{status}")])):
        world = make_world(PLAIN)
        index = world.receipts[0].index
        world.retire_key(world.runners[0].key_id, status, since_index=index + offset)
        assert reasons(verify(world.export())) == expected


def test_a_back_dated_receipt_of_a_compromised_key_is_refused() -> None:
    world = make_world(PLAIN)
    world.retire_key(world.runners[0].key_id, "compromised")
    world.add_answer(world.runners[0], None, issued_at_ms=START_MS + 1)
    assert reasons(verify(world.export())) == [("receipts", "signer_compromised")]


def test_a_status_list_names_keys_that_no_trust_file_knows_without_harm() -> None:
    world = make_world(PLAIN)
    world.add_status(keys=(KeyStatus("0" * 64, "runner", 0, "compromised"),))
    assert reasons(verify(world.export())) == []


def test_the_newest_leaf_decides_whatever_the_times_say() -> None:
    world = make_world(PLAIN)
    late = world.add_status(at_ms=world.now_ms + DAY_MS)
    early = replace(late, at_ms=START_MS)
    world.add_body(ModelStatus(START_MS, None, world.bytes_32(), None, early.digest()))
    honest = world.export()
    assert reasons(verify(honest)) == [("status", "status_unbound")]
    assert reasons(verify(honest, replace(honest.parts, status=early))) == []
