"""The ledger: do the organisation's spendings add up, are they all there, and did every release stand on them?"""

from __future__ import annotations

from collections.abc import Iterable

from ..bodies import PoolRelease, PrivacySpending
from ..bundle import BundleParts
from ..charges import Budget, Cost
from ..ledger import LoggedRelease, LoggedSpending, PeriodTotal, add_up, find_faults
from ..privacy_arithmetic import DELTA_ATTO, EPSILON_MICRO, RHO_NANO, epsilon_micro_of_rho
from ..report import Failure
from ..report_text import format_time
from .findings import Notes

#: The δ at which zCDP is reported as an (ε, δ); whoever prefers another has ρ beside it.
REPORT_DELTA_ATTO = 10**12
#: So many periods are told one by one; the sums of all are checked.
PERIODS_TOLD_MAX = 24


def check_ledger(notes: Notes, parts: BundleParts) -> None:
    """Note whatever is wrong in the spendings of the scope's organisation and in the releases of the pool."""
    spent = {line.index: line.body for line in parts.bodies if isinstance(line.body, PrivacySpending)}
    released = {line.index: line.body for line in parts.bodies if isinstance(line.body, PoolRelease)}
    spendings = [LoggedSpending(line.index, line.document, spent.pop(line.index, None)) for line in parts.spendings]
    releases = [
        LoggedRelease(line.index, line.document, released.pop(line.index, None), line.head) for line in parts.releases
    ]
    faults = find_faults(
        parts.scope.organisation,
        spendings,
        releases,
        spent_without_document=sorted(spent),
        released_without_document=sorted(released),
    )
    for fault in faults:
        notes.add(Failure.of(fault.subject, fault.error))
    if spendings or releases or parts.scope.organisation is not None:
        notes.detail = _describe(parts.scope.organisation, spendings, releases)
    elif not notes.failed:
        notes.leave_uncovered("the bundle states no organisation that spent, and holds no release of the pool")


def _describe(organisation: str | None, spendings: list[LoggedSpending], releases: list[LoggedRelease]) -> str:
    """Say what was added up, and what the sums mean."""
    void = sum(made.document.state == "void" for made in releases)
    said = [f"{len(releases):,} releases of the pool ({void:,} void) in a row"]
    if organisation is None:
        said.append("no organisation's spendings: the bundle says that this tenant's never spent")
    else:
        said.append(f"{len(spendings):,} spendings of organisation {organisation} in a row")
    totals = add_up(spendings)
    said += [describe_total(total) for total in totals[-PERIODS_TOLD_MAX:]]
    if untold := totals[:-PERIODS_TOLD_MAX]:
        most = _describe_cost(_largest(total.budget for total in untold))
        said.append(
            f"{len(untold):,} earlier periods are added up and not told, none of them with more than a budget of {most}"
        )
    waiting = sum(logged.index > (releases[-1].index if releases else -1) for logged in spendings)
    if waiting:
        said.append(f"{waiting:,} spendings lie behind the last release, so no head shows yet that they are all")
    said.append(
        "that this pseudonym is the tenant's organisation, that budgets are what was agreed, and that nothing was used"
        " uncharged, is the operator's word"
    )
    return "; ".join(said)


def _largest(budgets: Iterable[Budget]) -> Budget:
    """Return the largest of each of the three numbers."""
    rows = [(one.epsilon_micro, one.rho_nano, one.delta_atto) for one in budgets]
    return Budget(*map(max, zip(*rows, strict=True)))


def describe_total(total: PeriodTotal) -> str:
    """Say what was spent of which budget in a period, and what both mean as (ε, δ).

    ε of the Laplace noise and ε of the zCDP converted (`epsilon_micro_of_rho`) add up, as do the δ (basic composition).
    """
    period = total.period
    return (
        f"period {period.number} ({format_time(period.from_ms)} to {format_time(period.until_ms)}): {total.count:,}"
        f" spendings, {_describe_cost(total.spent)}, of a budget of {_describe_cost(total.budget)}"
    )


def _describe_cost(cost: Cost | Budget) -> str:
    epsilon_micro = cost.epsilon_micro + epsilon_micro_of_rho(cost.rho_nano, REPORT_DELTA_ATTO)
    delta_atto = cost.delta_atto + (REPORT_DELTA_ATTO if cost.rho_nano else 0)
    return (
        f"ε {_decimal(cost.epsilon_micro, EPSILON_MICRO)} and ρ {_decimal(cost.rho_nano, RHO_NANO)} (zCDP) and δ"
        f" {_scientific(cost.delta_atto)}, which is ({_decimal(epsilon_micro, EPSILON_MICRO)},"
        f" {_scientific(delta_atto)})-DP for all that the organisation gave in it"
    )


def _decimal(value: int, unit: int) -> str:
    """Return *value* / *unit* exactly, a power of ten, without trailing zeros."""
    whole, rest = divmod(value, unit)
    digits = str(unit + rest)[1:].rstrip("0")
    return f"{whole:,}.{digits}" if digits else f"{whole:,}"


def _scientific(delta_atto: int) -> str:
    """Return a δ with two digits, rounded up: 1.9e-9."""
    if not delta_atto:
        return "0"
    exponent = len(str(delta_atto)) - 1
    step = 10 ** max(0, exponent - 1)
    tenths = -(-delta_atto // step) * step
    exponent = len(str(tenths)) - 1
    mantissa = tenths * 10 // 10**exponent
    power = exponent - (len(str(DELTA_ATTO)) - 1)
    return f"{mantissa // 10}.{mantissa % 10}e{power}" if power else f"{mantissa // 10}.{mantissa % 10}"
