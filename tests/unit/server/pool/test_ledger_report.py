"""A ledger told in numbers, checked against the same sums done by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from crypto.privacy_arithmetic import epsilon_micro_of_rho
from crypto.spending import Budget, Charge, Cost, Period, sorted_charges
from privacy.terms import pool_terms
from server.pool.calendar import Calendar
from server.pool.ledger_report import GAUSSIAN_DELTA_ATTO, LedgerQuestion, count_affordable, report_ledger
from server.pool.terms import PoolRules
from server.store.database import Database, sqlite_url
from server.store.migrate import upgrade
from server.store.records import OrganisationRecord
from tests.ledger_worlds import LedgerWorld, finish, organisation

EPOCH_S = 1_000
CALENDAR = Calendar(EPOCH_S, 3)
TERMS = pool_terms(unit="question", vector_source="dp_mean", keys_max=2)
COST = TERMS.charges()[0].cost() + TERMS.charges()[1].cost()
BUDGET = Budget(2 * COST.epsilon_micro, 2 * COST.rho_nano, 5 * COST.delta_atto)
#: In the middle of period 100.
NOW_MS = 301 * EPOCH_S * 1000 + 5
OWNER = OrganisationRecord(organisation(0), "voter 0", 0)
QUESTION = LedgerQuestion(PoolRules(("demo",), TERMS, CALENDAR, BUDGET, 10**12), NOW_MS)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LedgerWorld]:
    database = Database(sqlite_url(tmp_path / "store.db"))
    upgrade(database.engine)
    yield LedgerWorld(database, tmp_path / "log-key").prepare()
    database.close()


def pay(world: LedgerWorld, epoch: int, voter: int = 0, **changes: Any) -> None:
    found = world.begin(epoch=epoch)
    period: Period = CALENDAR.period_of(epoch)
    world.spend(
        voter, release=found.number, charges=TERMS.charges(), default_budget=BUDGET, period=period,
        at_ms=CALENDAR.closes_at_ms(epoch), **changes,
    )  # fmt: skip
    world.finish(found)


def told(world: LedgerWorld, question: LedgerQuestion = QUESTION) -> dict[str, Any]:
    return world.run(lambda c: report_ledger(c, OWNER, question))


def test_a_ledger_that_has_not_begun_has_its_whole_budget(world: LedgerWorld) -> None:
    found = told(world)
    assert (found["pseudonym"], found["spendings"], found["spent"]) == (None, 0, asdict(Cost()))
    (period,) = found["periods"]
    assert (period["period"], period["is_current"], period["spendings"]) == (100, True, [])
    assert (period["from_ms"], period["until_ms"]) == (300 * EPOCH_S * 1000, 303 * EPOCH_S * 1000)
    assert (period["left"], period["releases_left"], period["is_exhausted"]) == (asdict(BUDGET), 2, False)
    assert found["means"] == {"epsilon_micro": 0, "delta_atto": 0, "gaussian_delta_atto": 0}


def test_what_was_spent_is_told_by_period_and_the_current_one_runs_out(world: LedgerWorld) -> None:
    pay(world, 299)
    pay(world, 300)
    assert told(world)["periods"][0]["releases_left"] == 1
    pay(world, 301)
    found = told(world)
    assert found["spendings"] == 3
    current, before = found["periods"]
    assert (current["period"], current["releases_left"], current["is_exhausted"]) == (100, 0, True)
    assert current["spent"] == asdict(COST + COST)
    assert [one["release"] for one in current["spendings"]] == [2, 3]
    assert (before["period"], before["releases_left"], before["is_exhausted"]) == (99, None, None)
    assert before["spent"] == asdict(COST)
    assert found["spent"] == asdict(COST + COST + COST)
    first = before["spendings"][0]
    assert (first["number"], first["release_state"], first["leaf_index"]) == (1, "released", None)
    assert first["charges"] == [charge.to_json() for charge in sorted_charges(TERMS.charges())]
    assert first["cost"] == asdict(COST)


def test_what_the_numbers_mean_adds_pure_gaussian_and_threshold_parts(world: LedgerWorld) -> None:
    pay(world, 300)
    found = told(world)["means"]
    assert found == {
        "epsilon_micro": COST.epsilon_micro + epsilon_micro_of_rho(COST.rho_nano, GAUSSIAN_DELTA_ATTO),
        "delta_atto": COST.delta_atto + GAUSSIAN_DELTA_ATTO,
        "gaussian_delta_atto": GAUSSIAN_DELTA_ATTO,
    }
    stricter = told(world, replace(QUESTION, gaussian_delta_atto=10**6))["means"]
    assert stricter["epsilon_micro"] > found["epsilon_micro"]
    assert stricter["delta_atto"] == COST.delta_atto + 10**6


def test_another_organisations_spendings_are_not_in_it(world: LedgerWorld) -> None:
    pay(world, 300, voter=1)
    assert told(world)["spendings"] == 0


def test_a_void_release_is_told_as_paid_for_in_vain(world: LedgerWorld) -> None:
    found = world.begin(epoch=300)
    world.spend(
        0, release=found.number, charges=TERMS.charges(), default_budget=BUDGET, period=CALENDAR.period_of(300),
        at_ms=CALENDAR.closes_at_ms(300),
    )  # fmt: skip
    assert told(world)["periods"][0]["spendings"][0]["release_state"] == "spending"
    world.run(lambda c: finish(c, found, void=True))
    assert told(world)["periods"][0]["spendings"][0]["release_state"] == "void"
    assert told(world)["periods"][0]["releases_left"] == 1


def test_a_period_is_told_with_the_budget_that_it_was_spent_under(world: LedgerWorld) -> None:
    pay(world, 300)
    more = replace(QUESTION, rules=replace(QUESTION.rules, budget=Budget(10**9, 10**9, 10**9)))
    assert told(world, more)["periods"][0]["budget"] == asdict(BUDGET)


def test_accountants_are_asked_only_if_wanted_and_with_each_periods_charges(world: LedgerWorld) -> None:
    asked: list[tuple[int, float]] = []

    def accountants(charges: Iterable[Charge], delta: float) -> dict[str, float | None]:
        asked.append((len(list(charges)), delta))
        return {"rdp": 1.23456789, "prv": None}

    pay(world, 299)
    pay(world, 300)
    pay(world, 301)
    assert all("accountants" not in period for period in told(world)["periods"])
    found = told(world, replace(QUESTION, accountants=accountants))
    assert asked == [(4, 1e-6), (2, 1e-6)]
    assert found["periods"][0]["accountants"] == {"delta": 1e-6, "rdp": 1.234568, "prv": None}


@pytest.mark.parametrize(
    ("left", "cost", "times"),
    [
        (Cost(10, 10, 10), Cost(3, 1, 1), 3),
        (Cost(10, 10, 10), Cost(0, 11, 0), 0),
        (Cost(10, 0, 9), Cost(2, 0, 3), 3),
        (Cost(0, 0, 0), Cost(0, 0, 0), None),
    ],
)
def test_the_scarcest_of_the_three_says_how_often(left: Cost, cost: Cost, times: int | None) -> None:
    assert count_affordable(left, cost) == times


def test_the_number_that_is_left_is_the_number_that_can_be_paid(world: LedgerWorld) -> None:
    """What the report says must be what `spend` does, to the last one."""
    from server.store.errors import BudgetExhausted

    epochs: Callable[[int], int] = lambda left: 300 + 2 - left  # noqa: E731
    for left in (2, 1):
        assert told(world)["periods"][0]["releases_left"] == left
        pay(world, epochs(left))
    with pytest.raises(BudgetExhausted):
        pay(world, 302)
