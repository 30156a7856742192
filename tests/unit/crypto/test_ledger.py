"""The ledger added up apart from any bundle: what is found, in which order, and what the totals are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from crypto.bodies import PoolRelease, PrivacySpending
from crypto.errors import VerificationError
from crypto.ledger import LoggedRelease, LoggedSpending, find_faults, verify_ledger
from crypto.ledger_lines import HeadProof, ReleaseLine, SpendingLine
from crypto.spending import Budget, Cost
from tests.audit.bundles import Plan, World, make_world
from tests.audit.pools import BUDGET, PERIOD_MS


def logged(world: World) -> tuple[str, list[LoggedSpending], list[LoggedRelease]]:
    bodies = {line.index: line.body for line in world.bodies}
    spendings, releases = [], []
    for spent in world.pool.spendings:
        said = bodies[spent.index]
        assert isinstance(said, PrivacySpending)
        spendings.append(LoggedSpending(spent.index, spent.document, said))
    for made in world.pool.releases:
        body = bodies[made.index]
        assert isinstance(body, PoolRelease)
        releases.append(LoggedRelease(made.index, made.document, body, made.head))
    return world.pool.organisation, spendings, releases


def told(*steps: Callable[[World], object]) -> tuple[str, list[LoggedSpending], list[LoggedRelease]]:
    world = make_world(Plan(receipts=1, hits=0))
    for step in steps:
        step(world)
    return logged(world)


def reasons(organisation: str | None, spendings: list[LoggedSpending], releases: list[LoggedRelease]) -> list[str]:
    return [fault.error.reason for fault in find_faults(organisation, spendings, releases)]


def spend(world: World) -> None:
    world.pool.add_spending()
    world.pool.add_release()


def next_period(world: World) -> None:
    world.tick(PERIOD_MS)


def test_an_honest_ledger_is_added_up_by_period() -> None:
    totals = verify_ledger(*told(spend, spend, next_period, spend))
    first, second = totals
    assert [total.count for total in totals] == [2, 1]
    assert first.spent == Cost(80_000_000, 800_000_000, 72_618_323_518)
    assert second.spent == Cost(40_000_000, 400_000_000, 36_309_161_759)
    assert {total.budget for total in totals} == {BUDGET}
    assert first.period.until_ms == second.period.from_ms


def test_a_budget_may_be_spent_to_its_end() -> None:
    spent = Budget(40_000_000, 400_000_000, 36_309_161_759)
    assert verify_ledger(*told(lambda world: world.pool.add_spending(budget=spent)))[0].spent == spent


@pytest.mark.parametrize("name", ["epsilon_micro", "rho_nano", "delta_atto"])
def test_one_unit_less_of_any_of_the_three_is_overspent(name: str) -> None:
    spent = Budget(40_000_000, 400_000_000, 36_309_161_759)
    short = replace(spent, **{name: getattr(spent, name) - 1})
    assert reasons(*told(lambda world: world.pool.add_spending(budget=short))) == ["budget_overspent"]


def test_wrong_sums_do_not_make_room_in_a_budget() -> None:
    spent = Budget(40_000_000, 400_000_000, 36_309_161_758)
    found = told(lambda world: world.pool.add_spending(budget=spent, stated=Cost(0, 0, 0)))
    assert reasons(*found) == ["spending_arithmetic", "budget_overspent"]


def test_another_period_has_a_budget_of_its_own() -> None:
    steps: list[Callable[[World], object]] = [spend, spend, spend, next_period, spend]
    assert reasons(*told(*steps)) == []
    assert reasons(*told(*(step for step in steps if step is not next_period))) == ["budget_overspent"]


def test_a_spending_waits_for_the_next_release_only() -> None:
    assert reasons(*told(lambda world: world.pool.add_spending())) == []
    twice = told(spend, lambda world: world.pool.add_spending(), lambda world: world.pool.add_spending())
    assert reasons(*twice) == []
    assert reasons(*told(lambda world: world.pool.add_spending(release=2))) == ["spending_order"]


def test_everything_that_is_wrong_is_named_and_the_first_is_raised() -> None:
    organisation, spendings, releases = told(spend, spend, spend)
    broken = organisation, spendings[1:], [*releases[:1], *releases[2:]]
    assert reasons(*broken) == ["spending_missing", "release_missing", "ledger_head", "spending_order"]
    with pytest.raises(VerificationError) as refused:
        verify_ledger(*broken)
    assert refused.value.reason == "spending_missing"


def test_a_spending_without_a_body_is_not_the_logs() -> None:
    organisation, spendings, releases = told(spend)
    unlogged = [replace(spendings[0], body=None)]
    assert reasons(organisation, unlogged, releases) == ["spending_mismatch"]
    assert reasons(organisation, spendings, [replace(releases[0], body=None)]) == ["release_mismatch"]


def test_a_path_that_leads_nowhere_is_no_head() -> None:
    organisation, spendings, releases = told(spend)
    for head in (HeadProof(3, ()), HeadProof(0, (bytes(32),) * 9), HeadProof(0, (bytes(5),)), None):
        assert reasons(organisation, spendings, [replace(releases[0], head=head)]) == ["ledger_head"]


def test_lines_of_the_ledger_read_back_as_they_were_written() -> None:
    world = make_world(Plan(receipts=1, hits=0, releases=3))
    for spent in world.pool.spendings:
        assert SpendingLine.read(spent.to_json()).settled() == spent
    for made in world.pool.releases:
        assert ReleaseLine.read(made.to_json()) == made
    assert [made.head is None for made in world.pool.releases] == [True, False, False]
