"""What an organisation spent of its privacy, period by period, in the numbers that decide and in (ε, δ).

The numbers are those of the spendings that stand in the log. What they mean as (ε, δ) follows from them at a stated δ for
the Gaussian part (`privacy.terms.total_of`); what the accountants of the continuous Gaussian say is asked for by itself,
because it takes seconds and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection

from crypto.privacy_arithmetic import DELTA_ATTO
from crypto.spending import Budget, Charge, Cost, Period, Spending, parse_spending, total_cost
from privacy.terms import total_of
from server.pool.terms import PoolRules
from server.store.ledger import LedgerRepository
from server.store.pool import PoolRepository
from server.store.pool_records import LoggedSpending
from server.store.records import OrganisationRecord

#: δ = 10^-6: at which the Gaussian part is stated where nobody asks for another.
GAUSSIAN_DELTA_ATTO: Final = 10**12
#: Spendings that are told one by one; older ones are in their period's sums.
SPENDINGS_MAX: Final = 1_000

#: Returns ε by accountant for charges at a δ (`privacy.accountants.report_epsilon`).
Accountants: TypeAlias = Callable[[Iterable[Charge], float], dict[str, float | None]]


@dataclass(frozen=True, slots=True)
class LedgerQuestion:
    """How a ledger is to be reported: under which rules, in which epoch, at which δ, and by which accountants."""

    rules: PoolRules
    now_ms: int
    gaussian_delta_atto: int = GAUSSIAN_DELTA_ATTO
    accountants: Accountants | None = None

    @property
    def period(self) -> Period:
        """The budget period that runs now."""
        return self.rules.calendar.period_of(self.rules.calendar.epoch_of(self.now_ms))

    @property
    def charges(self) -> tuple[Charge, ...]:
        """What the next pooled release would be charged with."""
        return self.rules.terms.charges()


@dataclass(frozen=True, slots=True)
class _Told:
    """A spending with the row that it came in."""

    row: LoggedSpending
    spending: Spending


def report_ledger(connection: Connection, organisation: OrganisationRecord, question: LedgerQuestion) -> dict[str, Any]:
    """Return the ledger of one organisation; docs/explanation/ledger.md describes the fields."""
    told = [_Told(row, parse_spending(row.document.encode())) for row in _load(connection, organisation)]
    by_period: dict[int, list[_Told]] = {question.period.number: []}
    for one in told:
        by_period.setdefault(one.spending.period.number, []).append(one)
    states = {row.number: row.state for row in PoolRepository(connection).list_releases(limit=SPENDINGS_MAX)}
    periods = [
        _report_period(connection, organisation, number, by_period[number], question, states)
        for number in sorted(by_period, reverse=True)
    ]
    whole = sum((one.spending.cost for one in told), Cost())
    return {
        "organisation": organisation.id,
        "name": organisation.name,
        "pseudonym": told[0].spending.organisation if told else None,
        "spendings": len(told),
        "spent": asdict(whole),
        "means": _meaning(whole, question),
        "periods": periods,
    }


def count_affordable(left: Cost, cost: Cost) -> int | None:
    """Return how many times *cost* fits into *left*; None for a cost of nothing, which always does."""
    pairs = [
        (left.epsilon_micro, cost.epsilon_micro),
        (left.rho_nano, cost.rho_nano),
        (left.delta_atto, cost.delta_atto),
    ]
    return min((have // each for have, each in pairs if each > 0), default=None)


def _load(connection: Connection, organisation: OrganisationRecord) -> list[LoggedSpending]:
    repository, found = LedgerRepository(connection), list[LoggedSpending]()
    while page := repository.load_logged(organisation.id, after_number=found[-1].number if found else 0):
        found += page
    return found


def _report_period(
    connection: Connection,
    organisation: OrganisationRecord,
    number: int,
    told: list[_Told],
    question: LedgerQuestion,
    states: dict[int, str],
) -> dict[str, Any]:
    period = told[0].spending.period if told else question.period
    budget = LedgerRepository(connection).get_budget(organisation.id, number, question.rules.budget)
    spent = sum((one.spending.cost for one in told), Cost())
    left, is_current = _left(budget, spent), number == question.period.number
    affordable = count_affordable(left, total_cost(question.charges)) if is_current else None
    report = {
        "period": number,
        "from_ms": period.from_ms,
        "until_ms": period.until_ms,
        "is_current": is_current,
        "budget": asdict(budget),
        "budget_means": _meaning(budget, question),
        "spent": asdict(spent),
        "spent_means": _meaning(spent, question),
        "left": asdict(left),
        "releases_left": affordable,
        "is_exhausted": affordable == 0 if is_current else None,
        "spendings": [_report_spending(one, states) for one in told[-SPENDINGS_MAX:]],
    }
    if question.accountants is not None:
        report["accountants"] = _ask_accountants(question.accountants, told, question.gaussian_delta_atto)
    return report


def _report_spending(one: _Told, states: dict[int, str]) -> dict[str, Any]:
    return {
        "number": one.spending.number,
        "at_ms": one.spending.at_ms,
        "release": one.spending.release,
        "release_state": states.get(one.spending.release),
        "unit": one.spending.unit,
        "charges": [charge.to_json() for charge in one.spending.charges],
        "cost": asdict(one.spending.cost),
        "digest": one.row.digest,
        "leaf_index": one.row.leaf_index,
    }


def _meaning(cost: Cost, question: LedgerQuestion) -> dict[str, int]:
    """Return (ε, δ) of *cost* as a whole: everything that the organisation gave in that time."""
    total = total_of(cost, question.gaussian_delta_atto)
    return {
        "epsilon_micro": total.epsilon_micro,
        "delta_atto": total.delta_atto,
        "gaussian_delta_atto": question.gaussian_delta_atto if cost.rho_nano else 0,
    }


def _ask_accountants(accountants: Accountants, told: list[_Told], gaussian_delta_atto: int) -> dict[str, Any]:
    delta = gaussian_delta_atto / DELTA_ATTO
    charges = [charge for one in told for charge in one.spending.charges]
    found = accountants(charges, delta) if charges else {}
    return {
        "delta": delta,
        **{name: None if value is None else round(value, 6) for name, value in found.items()},
    }


def _left(budget: Budget, spent: Cost) -> Cost:
    return Cost(
        max(0, budget.epsilon_micro - spent.epsilon_micro),
        max(0, budget.rho_nano - spent.rho_nano),
        max(0, budget.delta_atto - spent.delta_atto),
    )
