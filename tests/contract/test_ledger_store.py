"""What the store promises of the ledger, held by SQLite and PostgreSQL alike: never above budget, no gap, a leaf each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from crypto.errors import EncodingError
from crypto.release import heads_root
from crypto.spending import Budget, Cost, Period, parse_spending
from server.store.database import Database
from server.store.errors import BudgetExhausted, Conflict, NotFound, StoreError
from server.store.ledger import LedgerRepository
from server.store.log import LogRepository
from server.store.pool import PoolRepository
from tenants.identifiers import OrganisationId
from tests.contract.stores import Store, open_store
from tests.ledger_worlds import (
    BUDGET,
    CHARGE,
    COST,
    START_MS,
    SUM,
    LedgerWorld,
    begin,
    check_ledger,
    check_releases,
    finish,
    organisation,
    spend,
)

Result = TypeVar("Result")
VOTERS = 3


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store(request.param, request, tmp_path) as found:
        yield found


@pytest.fixture
def world(store: Store, tmp_path: Path) -> LedgerWorld:
    return LedgerWorld(store.database, tmp_path / "log-key", VOTERS).prepare()


def ledger(world: LedgerWorld, work: Callable[[LedgerRepository], Result]) -> Result:
    return world.run(lambda connection: work(LedgerRepository(connection)))


def release_and_pay(world: LedgerWorld, epoch: int, *voters: int, in_period: int = 0, **changes: Any) -> None:
    """A whole release that *voters* pay for."""
    found = world.begin(epoch=epoch)
    for voter in voters:
        world.spend(voter, release=found.number, in_period=in_period, **changes)
    world.finish(found)


def test_spendings_are_numbered_chained_and_logged(world: LedgerWorld) -> None:
    for epoch in (1, 2, 3):
        release_and_pay(world, epoch, 0, 1)
    assert world.run(lambda c: check_ledger(c, range(VOTERS))) == 6
    assert world.run(check_releases) == 3
    assert ledger(world, lambda repository: repository.sums(organisation(0), 0)) == Cost(
        3 * COST.epsilon_micro, 0, 3 * COST.delta_atto
    )
    assert ledger(world, lambda repository: repository.sums(organisation(0), 1)) == Cost()
    assert ledger(world, lambda repository: repository.count_of_release(2)) == 2


def test_what_the_budget_does_not_hold_is_not_spent_at_all(world: LedgerWorld) -> None:
    for epoch in (1, 2, 3):
        release_and_pay(world, epoch, 0)
    last = world.begin(epoch=4)
    with pytest.raises(BudgetExhausted, match="period 0 does not hold release 4"):
        world.spend(0, release=last.number)
    assert world.run(lambda c: check_ledger(c, range(VOTERS))) == 3
    assert len(world.run(lambda c: LogRepository(c).load_unsequenced(100))) == 6
    assert world.spend(0, release=last.number, in_period=1).number == 4


def test_an_exhausted_organisation_stops_nobody_else_in_the_same_transaction(world: LedgerWorld) -> None:
    for epoch in (1, 2, 3):
        release_and_pay(world, epoch, 0)

    def pay_for_all(connection: Any) -> list[int]:
        found, paid = begin(connection, epoch=4), []
        for voter in range(VOTERS):
            try:
                spend(connection, voter, release=found.number)
            except BudgetExhausted:
                continue
            paid.append(voter)
        return paid

    assert world.run(pay_for_all) == [1, 2]
    assert world.run(lambda c: check_ledger(c, range(VOTERS))) == 5


@pytest.mark.parametrize(
    "short",
    [
        replace(BUDGET, epsilon_micro=COST.epsilon_micro - 1),
        replace(BUDGET, delta_atto=COST.delta_atto - 1),
        replace(BUDGET, rho_nano=SUM.cost().rho_nano - 1),
    ],
    ids=["epsilon", "delta", "rho"],
)
def test_each_of_the_three_caps_alone_refuses(world: LedgerWorld, short: Budget) -> None:
    found = world.begin()
    with pytest.raises(BudgetExhausted):
        world.spend(0, release=found.number, charges=(CHARGE, SUM), default_budget=short)
    enough = replace(BUDGET, rho_nano=SUM.cost().rho_nano)
    spent = world.spend(0, release=found.number, charges=(CHARGE, SUM), default_budget=enough)
    assert (spent.epsilon_micro, spent.rho_nano, spent.delta_atto) == (
        COST.epsilon_micro,
        SUM.cost().rho_nano,
        COST.delta_atto,
    )


def test_a_release_is_paid_for_once_by_each(world: LedgerWorld) -> None:
    found = world.begin()
    world.spend(0, release=found.number)
    with pytest.raises(Conflict, match="paid for release 1 already"):
        world.spend(0, release=found.number)
    world.spend(1, release=found.number)
    world.finish(found)
    with pytest.raises(Conflict, match="not being paid for"):
        world.spend(2, release=found.number)
    assert world.run(lambda c: check_ledger(c, range(VOTERS))) == 2


@pytest.mark.parametrize(("release", "unit"), [(2, "question"), (1, "organisation")])
def test_only_the_release_that_is_being_paid_for_is_paid(world: LedgerWorld, release: int, unit: str) -> None:
    world.begin()
    with pytest.raises(Conflict, match="not being paid for"):
        world.spend(0, release=release, unit=unit)


def test_nobody_spends_who_is_not_there(world: LedgerWorld) -> None:
    found = world.begin()
    with pytest.raises(NotFound):
        world.spend(99, release=found.number)


@pytest.mark.parametrize(
    "other",
    [
        Period(0, START_MS, START_MS + 5),
        Period(1, START_MS + 5, START_MS + 2_000_000),
        Period(7, START_MS, START_MS + 1_000_000),
    ],
    ids=["other bounds", "overlap", "other number"],
)
def test_another_calendar_is_refused(world: LedgerWorld, other: Period) -> None:
    release_and_pay(world, 1, 0)
    found = world.begin(epoch=2)
    with pytest.raises(StoreError, match="the calendar changed"):
        world.spend(0, release=found.number, period=other, at_ms=START_MS + 10)


# Budgets.


def test_a_period_keeps_the_budget_that_it_was_first_spent_under(world: LedgerWorld) -> None:
    release_and_pay(world, 1, 0)
    more = Budget(100 * COST.epsilon_micro, 0, 100 * COST.delta_atto)
    assert ledger(world, lambda repository: repository.get_budget(organisation(0), 0, more)) == BUDGET
    assert ledger(world, lambda repository: repository.get_budget(organisation(0), 1, more)) == more
    with pytest.raises(Conflict, match="has begun to be spent"):
        ledger(world, lambda repository: repository.set_budget(organisation(0), 0, more))
    release_and_pay(world, 2, 0, default_budget=more)
    budgets = {
        parse_spending(row.document.encode()).budget
        for row in ledger(world, lambda repository: repository.list_spendings(organisation(0)))
    }
    assert budgets == {BUDGET}


def test_a_budget_that_was_set_counts_from_its_period_on(world: LedgerWorld) -> None:
    less, more = Budget(1, 1, 1), Budget(9, 9, 9)
    ledger(world, lambda repository: repository.set_budget(organisation(0), 2, less))
    ledger(world, lambda repository: repository.set_budget(organisation(0), 4, less))
    ledger(world, lambda repository: repository.set_budget(organisation(0), 4, more))
    got = [ledger(world, lambda r, n=n: r.get_budget(organisation(0), n, BUDGET)) for n in range(6)]
    assert got == [BUDGET, BUDGET, less, less, more, more]
    assert ledger(world, lambda repository: repository.get_budget(organisation(1), 5, BUDGET)) == BUDGET
    found = world.begin()
    with pytest.raises(BudgetExhausted):
        world.spend(0, release=found.number, in_period=3)
    with pytest.raises(EncodingError):
        ledger(world, lambda repository: repository.set_budget(organisation(0), 9, Budget(2**53, 0, 0)))
    with pytest.raises(NotFound):
        ledger(world, lambda repository: repository.set_budget(OrganisationId("org_nobody"), 2, less))


def test_whether_it_may_spend_is_told_without_spending(world: LedgerWorld) -> None:
    def may(in_period: int = 0) -> bool:
        return ledger(world, lambda r: r.may_spend(organisation(0), in_period, (CHARGE,), BUDGET))

    for epoch in (1, 2, 3):
        assert may()
        release_and_pay(world, epoch, 0)
    assert not may()
    assert may(1)


# Heads.


def test_heads_are_those_that_stood_before_a_release(world: LedgerWorld) -> None:
    release_and_pay(world, 1, 2, 0)
    release_and_pay(world, 2, 0)
    first, second = world.run(lambda c: PoolRepository(c).load_logged(after_number=0, limit=9))

    def heads(before_seq: int | None) -> list[tuple[str, int]]:
        found = ledger(world, lambda repository: repository.heads(before_seq=before_seq))
        return [(head.organisation[-1], head.number) for head in found]

    assert heads(first.seq) == [("1", 1), ("3", 1)]
    assert heads(second.seq) == heads(None) == [("1", 2), ("3", 1)]
    assert world.run(check_releases) == 2
    assert ledger(world, lambda repository: heads_root(repository.heads(before_seq=1))).count == 0


def test_spendings_come_with_their_leaves(world: LedgerWorld) -> None:
    release_and_pay(world, 1, 0)
    release_and_pay(world, 2, 0)
    found = ledger(world, lambda repository: repository.load_logged(organisation(0), after_number=1))
    assert [(row.number, row.release, row.leaf_index) for row in found] == [(2, 2, None)]
    stored = ledger(world, lambda repository: repository.list_spendings(organisation(0)))[1]
    assert (found[0].document, found[0].digest, found[0].seq) == (stored.document, stored.digest, stored.seq)


# Many at once.


def test_workers_that_pay_at_once_never_overspend(store: Store, world: LedgerWorld) -> None:
    """Four processes' worth of connections want to pay six times each what the budget holds three times."""
    workers, wanted = [store.open() for _ in range(4)], 6
    found = world.begin()
    outcomes: list[str] = []
    gate = threading.Barrier(len(workers))

    def pay(database: Database) -> None:
        gate.wait(timeout=30)
        for _ in range(wanted):
            try:
                database.write_now(lambda c: pay_and_go_on(c, found.epoch))
            except (BudgetExhausted, Conflict) as error:
                outcomes.append(type(error).__name__)
            else:
                outcomes.append("paid")

    threads = [threading.Thread(target=pay, args=(database,)) for database in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert outcomes.count("paid") == 3
    assert len(outcomes) == 4 * wanted
    assert world.run(lambda c: check_ledger(c, range(VOTERS))) == 3
    world.run(check_releases)


def pay_and_go_on(connection: Any, epoch: int) -> None:
    """Pay for the release that is open, bring it out, and open the next: one transaction."""
    found = PoolRepository(connection).find_spending()
    assert found is not None
    spend(connection, 0, release=found.number)
    finish(connection, found)
    begin(connection, epoch=found.epoch + 1)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_whatever_workers_do_at_once_the_ledger_adds_up(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Rounds of concurrent payments by several processes' connections, drawn by hypothesis, held against a plain count."""
    number = iter(range(1_000))

    class Machine(RuleBasedStateMachine):
        @initialize()
        def open(self) -> None:
            folder = tmp_path / f"{next(number)}"
            folder.mkdir()
            self.context = open_store(kind, request, folder)
            self.store = self.context.__enter__()
            self.world = LedgerWorld(self.store.database, folder / "log-key", VOTERS).prepare()
            self.workers = [self.store.open() for _ in range(3)]
            self.paid: dict[tuple[int, int], int] = {}
            self.release = self.world.begin(epoch=0)
            self.epoch = 0

        @rule(payments=st.lists(st.tuples(st.integers(0, VOTERS - 1), st.integers(0, 1)), min_size=1, max_size=6))
        def pay_at_once(self, payments: list[tuple[int, int]]) -> None:
            done: list[tuple[int, int]] = []
            threads = [
                threading.Thread(target=self._pay, args=(self.workers[place % 3], payment, done))
                for place, payment in enumerate(payments)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(timeout=60)
            for payment in done:
                self.paid[payment] = self.paid.get(payment, 0) + 1
            # Whoever wanted to, could, and had not paid for this release yet, has paid exactly once.
            for voter in {voter for voter, _ in payments}:
                assert sum(1 for one in done if one[0] == voter) <= 1

        @rule(void=st.booleans())
        def end_release(self, void: bool) -> None:
            self.world.run(lambda c: finish(c, self.release, void=void))
            self.epoch += 1
            self.release = self.world.begin(epoch=self.epoch)

        @invariant()
        def adds_up(self) -> None:
            assert self.world.run(lambda c: check_ledger(c, range(VOTERS))) == sum(self.paid.values())
            assert all(count <= 3 for count in self.paid.values())
            self.world.run(check_releases)

        def _pay(self, database: Database, payment: tuple[int, int], done: list[tuple[int, int]]) -> None:
            voter, in_period = payment
            try:
                database.write_now(lambda c: spend(c, voter, release=self.release.number, in_period=in_period))
            except (BudgetExhausted, Conflict):
                return
            done.append(payment)

        def teardown(self) -> None:
            if hasattr(self, "context"):
                self.context.__exit__(None, None, None)

    run_state_machine_as_test(Machine, settings=settings(max_examples=6, stateful_step_count=12, deadline=None))
