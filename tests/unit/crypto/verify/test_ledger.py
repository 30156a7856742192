"""The check of the ledger in a bundle, and what it tells a person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crypto.ledger import PeriodTotal
from crypto.spending import Budget, Cost, Period
from crypto.verify.ledger import PERIODS_TOLD_MAX, describe_total
from tests.audit.bundles import HonestBundle, Plan, make_bundle, make_world
from tests.audit.checking import check_of, reasons, verify
from tests.audit.pools import BUDGET, PERIOD_MS


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return make_bundle(Plan(receipts=2, hits=1, releases=3, pool_hits=2))


def test_an_honest_ledger_passes_and_says_what_it_rests_on(honest: HonestBundle) -> None:
    found = verify(honest)
    check = check_of(found, "ledger")
    assert (found.report.exit_code, check.status) == (0, "passed")
    for words in ("3 releases of the pool (1 void)", "2 spendings of organisation", "the operator's word"):
        assert words in check.detail


def test_pool_hits_and_their_receipts_are_accepted(honest: HonestBundle) -> None:
    found = verify(honest)
    assert found.hits == honest.hits
    assert found.statements == honest.statements
    assert "releases of the pool and 2 spendings" in check_of(found, "manifest").detail


def test_without_an_organisation_and_a_release_there_is_nothing_to_add_up() -> None:
    check = check_of(verify(make_bundle(Plan(receipts=1, hits=0))), "ledger")
    assert check.status == "not_covered"


def test_releases_are_checked_where_the_tenant_never_spent() -> None:
    bundle = make_bundle(Plan(receipts=1, hits=0, releases=1, pool_hits=1))
    check = check_of(verify(bundle), "ledger")
    assert (check.status, bundle.parts.scope.organisation) == ("passed", None)
    assert "never spent" in check.detail


def test_an_organisation_that_is_named_and_spent_nothing_is_refused() -> None:
    bundle = make_bundle(Plan(receipts=1, hits=0))
    scope = replace(bundle.parts.scope, organisation="0" * 32)
    found = verify(bundle, replace(bundle.parts, scope=scope))
    assert reasons(found) == [("ledger", "spending_missing")]
    assert "0 spendings of organisation" in check_of(found, "ledger").detail


@pytest.mark.parametrize("member", ["spendings", "releases"])
def test_leaves_whose_documents_were_left_out_are_refused(honest: HonestBundle, member: str) -> None:
    left_out: dict[str, Any] = {member: getattr(honest.parts, member)[:-1]}
    reason = f"{member[:-1]}_mismatch"
    assert ("ledger", reason) in reasons(verify(honest, replace(honest.parts, **left_out)))


def test_what_was_spent_is_told_with_its_budget_and_as_one_epsilon_and_delta() -> None:
    spent = Cost(2_000_000, 0, 1_815_458_088)
    text = describe_total(PeriodTotal(Period(7, 0, 1_000), Budget(6_500_000, 500_000_000, 10**10), spent, 1))
    assert "period 7" in text
    assert "ε 2 and ρ 0 (zCDP) and δ 1.9e-9, which is (2, 1.9e-9)-DP" in text
    assert "ε 6.5 and ρ 0.5 (zCDP) and δ 1.0e-8, which is (11.721535, 1.1e-6)-DP" in text


def test_a_delta_is_rounded_up_to_two_digits() -> None:
    told = {1: "1.0e-18", 99: "9.9e-17", 991: "1.0e-15", 10**12 + 1: "1.1e-6", 0: "δ 0,", 10**18: "δ 1.0,"}
    for delta_atto, words in told.items():
        cost = Cost(1, 0, delta_atto)
        assert words in describe_total(PeriodTotal(Period(1, 0, 1), cost, cost, 1)), delta_atto


def test_many_periods_are_added_up_and_the_newest_told() -> None:
    world = make_world(Plan(receipts=1, hits=0))
    for _ in range(PERIODS_TOLD_MAX + 3):
        world.tick(PERIOD_MS)
        world.pool.add_spending(budget=BUDGET)
        world.pool.add_release()
    world.add_status()
    bundle = world.export()
    check = check_of(verify(bundle, trust=replace(bundle.trust, expires_at_ms=2**52)), "ledger")
    assert check.status == "passed"
    assert "3 earlier periods are added up and not told" in check.detail
    assert check.detail.count("of a budget of") == PERIODS_TOLD_MAX


def test_spendings_that_no_release_counts_on_yet_are_said() -> None:
    world = make_world(Plan(receipts=1, hits=0, releases=1))
    world.pool.add_spending()
    world.add_status()
    assert "1 spendings lie behind the last release" in check_of(verify(world.export()), "ledger").detail
