"""Adding up again what one organisation spent, against the log and against the releases that it was spent on.

    totals = verify_ledger(organisation, spendings, releases)

Everything that is wrong is found, in the order of docs/formats.md ("What a verifier checks", the ledger); `verify_ledger`
raises the first. A spending may be hidden only together with everything that counts on it: the next spending names its
digest, and every release behind it states, under the root of all ledgers, where this one stood.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .bodies import PoolRelease, PrivacySpending
from .charges import Budget, Cost
from .errors import VerificationError
from .ledger_lines import HeadProof
from .merkle import leaf_hash, root_from_inclusion
from .release import LedgerHead, Release
from .spending import Period, Spending


@dataclass(frozen=True, slots=True)
class LoggedSpending:
    """A spending, the index of its leaf, and the body there; None where no body of that kind is."""

    index: int
    document: Spending
    body: PrivacySpending | None

    @property
    def subject(self) -> str:
        """What a report calls it."""
        return f"spending {self.document.number}, leaf {self.index}"


@dataclass(frozen=True, slots=True)
class LoggedRelease:
    """A release, the index of its leaf, the body there or None, and the proof of the organisation's head or None."""

    index: int
    document: Release
    body: PoolRelease | None
    head: HeadProof | None

    @property
    def subject(self) -> str:
        """What a report calls it."""
        return f"release {self.document.number}, leaf {self.index}"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it must be, and what it is about."""

    subject: str
    error: VerificationError


@dataclass(frozen=True, slots=True)
class PeriodTotal:
    """What *count* spendings of one period cost together, and what they were allowed to."""

    period: Period
    budget: Budget
    spent: Cost
    count: int


def verify_ledger(
    organisation: str | None, spendings: Sequence[LoggedSpending], releases: Sequence[LoggedRelease]
) -> tuple[PeriodTotal, ...]:
    """Return the totals by period of *organisation*'s *spendings*; both sequences are in the order of the log.

    Raises `VerificationError`: `spending_…`, `organisation_mismatch`, `budget_…`, `period_…`, `release_…`,
    `ledger_head`.
    """
    for fault in find_faults(organisation, spendings, releases):
        raise fault.error
    return add_up(spendings)


def find_faults(
    organisation: str | None,
    spendings: Sequence[LoggedSpending],
    releases: Sequence[LoggedRelease],
    *,
    spent_without_document: Iterable[int] = (),
    released_without_document: Iterable[int] = (),
) -> Iterator[Fault]:
    """Yield whatever is wrong, in the order of the format; both sequences are in the order of the log.

    Indexes of leaves whose bodies stand for something that is not here are `…_without_document`.
    """
    for logged in spendings:
        yield from _spending_faults(logged, organisation)
    for index in spent_without_document:
        message = "the spending that this leaf stands for is not in the bundle"
        yield Fault(f"leaf {index}", _refusal(message, "spending_mismatch"))
    if organisation is not None and not spendings:
        message = "the organisation is named as one that spent, and not one spending of it is here"
        yield Fault(f"organisation {organisation}", _refusal(message, "spending_missing", "number 1", "none"))
    yield from _chain_faults(spendings, "spending_missing")
    yield from _budget_faults(spendings)
    for made in releases:
        if not _is_release_of(made.body, made.document):
            yield Fault(
                made.subject, _refusal("the log holds another release than this at its leaf", "release_mismatch")
            )
    for index in released_without_document:
        message = "the release that this leaf stands for is not in the bundle"
        yield Fault(f"leaf {index}", _refusal(message, "release_mismatch"))
    yield from _chain_faults(releases, "release_missing")
    yield from _head_faults(spendings, releases)
    yield from _order_faults(spendings, releases)


def add_up(spendings: Sequence[LoggedSpending]) -> tuple[PeriodTotal, ...]:
    """Return the totals by the number of the period; budget and bounds are those of its first spending."""
    totals: dict[int, PeriodTotal] = {}
    for spending in (logged.document for logged in spendings):
        before = totals.get(spending.period.number) or PeriodTotal(spending.period, spending.budget, Cost(), 0)
        totals[spending.period.number] = PeriodTotal(
            before.period, before.budget, before.spent + spending.cost, before.count + 1
        )
    return tuple(totals[number] for number in sorted(totals))


def _spending_faults(logged: LoggedSpending, organisation: str | None) -> Iterator[Fault]:
    spending = logged.document
    if not _is_spending_of(logged.body, spending):
        yield Fault(
            logged.subject, _refusal("the log holds another spending than this at its leaf", "spending_mismatch")
        )
    if spending.organisation != organisation:
        expected = organisation or "no organisation that ever spent"
        message = "the spending is another organisation's"
        yield Fault(logged.subject, _refusal(message, "organisation_mismatch", expected, spending.organisation))
    try:
        spending.verify_arithmetic()
    except VerificationError as error:
        yield Fault(logged.subject, error)


def _is_spending_of(body: PrivacySpending | None, spending: Spending) -> bool:
    if body is None:
        return False
    stated = (body.number, body.organisation, body.at_ms, body.spending)
    return stated == (spending.number, spending.organisation, spending.at_ms, spending.digest())


def _is_release_of(body: PoolRelease | None, release: Release) -> bool:
    if body is None:
        return False
    return (body.number, body.epoch, body.at_ms, body.release) == (
        release.number,
        release.epoch,
        release.at_ms,
        release.digest(),
    )


def _chain_faults(links: Sequence[LoggedSpending | LoggedRelease], reason: str) -> Iterator[Fault]:
    """Yield where the numbers are not 1, 2, 3 … in the order of the log, or one names another before it."""
    previous: str | None = None
    expected = 1
    for link in links:
        document = link.document
        if document.number != expected:
            message = "one is missing before this, or the order of the log is not theirs"
            yield Fault(link.subject, _refusal(message, reason, f"number {expected}", f"number {document.number}"))
        elif document.previous != previous:
            message = "this does not follow the one before it"
            yield Fault(link.subject, _refusal(message, reason, previous, document.previous))
        # Counting goes on from what was found, so that one gap is one fault.
        expected, previous = document.number + 1, document.digest()


def _budget_faults(spendings: Sequence[LoggedSpending]) -> Iterator[Fault]:
    """Yield where a period changes its budget or its bounds, is not of the calendar, or costs more than it may."""
    first: dict[int, Spending] = {}
    for logged in spendings:
        spending = logged.document
        known = first.setdefault(spending.period.number, spending)
        if (known.budget, known.period) != (spending.budget, spending.period):
            message = "one period has two budgets, or begins or ends at two times"
            found = f"{spending.budget}, {spending.period}"
            expected = f"{known.budget}, {known.period}"
            yield Fault(logged.subject, _refusal(message, "budget_changed", expected, found))
    totals = add_up(spendings)
    yield from _calendar_faults([one.period for one in first.values()])
    for total in totals:
        if not total.spent.is_within(total.budget):
            subject = f"period {total.period.number}"
            message = "more was spent than the budget allows"
            yield Fault(subject, _refusal(message, "budget_overspent", f"at most {total.budget}", total.spent))


def _calendar_faults(periods: Sequence[Period]) -> Iterator[Fault]:
    """Yield the periods that lie over another, or not where the first one's length and number put them."""
    for before, after in pairwise(sorted(periods, key=lambda period: period.from_ms)):
        if before.until_ms > after.from_ms:
            message, expected = f"it begins before period {before.number} ends", f"from {before.until_ms} on"
            yield Fault(f"period {after.number}", _refusal(message, "period_overlap", expected, after.from_ms))
    for period in periods:
        # A period of another length, or out of turn, would be a budget that was renewed.
        expected_period = periods[0].at(period.number)
        if period != expected_period:
            message = "it is not of the calendar that the first spending's period is of"
            yield Fault(f"period {period.number}", _refusal(message, "period_calendar", expected_period, period))


def _head_faults(spendings: Sequence[LoggedSpending], releases: Sequence[LoggedRelease]) -> Iterator[Fault]:
    """Yield where a release does not prove the newest spending before it, or proves one where there is none."""
    waiting, newest = list(reversed(spendings)), None
    for made in releases:
        while waiting and waiting[-1].index < made.index:
            newest = waiting.pop().document
        if made.head is None and newest is None:
            continue
        if made.head is None or newest is None:
            message = "the release does not show where this organisation's ledger stood, or shows a ledger not begun"
            expected = "no head" if newest is None else f"the head of spending {newest.number}"
            yield Fault(made.subject, _refusal(message, "ledger_head", expected, "no head" if newest else "a head"))
            continue
        try:
            _verify_head(made.document, made.head, newest)
        except VerificationError as error:
            yield Fault(made.subject, error)


def _verify_head(release: Release, proof: HeadProof, newest: Spending) -> None:
    head = LedgerHead(newest.number, newest.organisation, newest.digest())
    try:
        root = root_from_inclusion(proof.position, release.ledger.count, leaf_hash(head.to_payload()), proof.path)
    except VerificationError as error:
        raise _refusal(str(error), "ledger_head") from None
    if root != release.ledger.root:
        message = f"when this was released, the ledger did not stand at spending {newest.number}"
        raise _refusal(message, "ledger_head", release.ledger.root.hex(), root.hex())


def _order_faults(spendings: Sequence[LoggedSpending], releases: Sequence[LoggedRelease]) -> Iterator[Fault]:
    """Yield the spendings that are not for a release behind them, the next one included that is not made yet."""
    by_number: Mapping[int, LoggedRelease] = {made.document.number: made for made in reversed(releases)}
    last_index, last_number = (releases[-1].index, releases[-1].document.number) if releases else (-1, 0)
    for logged in spendings:
        spending = logged.document
        made = by_number.get(spending.release)
        if made is None:
            if logged.index > last_index and spending.release == last_number + 1:
                continue
            found = "no release of that number"
        elif made.index < logged.index:
            found = f"release {spending.release} at leaf {made.index}"
        elif made.document.unit != spending.unit:
            found = f"release {spending.release}, which protects one {made.document.unit}"
        elif not made.document.is_paid_by(spending.charges):
            message = "the release was made by a mechanism that the spending does not charge"
            mechanisms = ", ".join(charge.MECHANISM for charge in spending.charges)
            expected = f"what makes {made.document.vector_source} in the mode {made.document.mode}"
            yield Fault(logged.subject, _refusal(message, "spending_charges", expected, mechanisms))
            continue
        else:
            continue
        message = "the spending is not for a release of its unit that comes after it"
        expected = f"release {spending.release} behind leaf {logged.index}, which protects one {spending.unit}"
        yield Fault(logged.subject, _refusal(message, "spending_order", expected, found))


def _refusal(message: str, reason: str, expected: object = None, actual: object = None) -> VerificationError:
    return VerificationError(message, reason=reason, expected=expected, actual=actual)
