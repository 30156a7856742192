"""Adds up the ledger of one organisation again, and holds it to every release of the pool."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from . import privacy_cost
from .audit import Audit
from .contents import ReleaseLine
from .errors import NotInForm, Refused, named
from .hashing import inclusion_root, leaf_hash
from .json_text import Json, write
from .ledger_documents import Amount, Charge, Period, Release, Spending
from .records import Body

SPENDING, RELEASE = 8, 9
SELECTIONS = ("laplace_selection", "gaussian_selection")
NOTHING = Amount(0, 0, 0)


def check_ledger(audit: Audit) -> Iterator[Refused]:
    """Everything that is wrong, in the order of the page; nothing where a bundle has nothing of a ledger."""
    yield from _check_spendings(audit)
    if audit.manifest.scope.organisation is not None and not audit.contents.spendings:
        yield Refused("spending_missing", "the organisation that is named spent nothing")
    yield from _check_order(list(audit.contents.spendings.values()), "spending_missing")
    yield from _check_periods(list(audit.contents.spendings.values()))
    yield from _check_releases(audit)
    yield from _check_order([line.release for line in audit.contents.releases], "release_missing")
    yield from _check_heads(audit)
    yield from _check_purposes(audit)


def _check_spendings(audit: Audit) -> Iterator[Refused]:
    """a: each is what its leaf says, of this organisation, and adds up."""
    costs: dict[Charge, Amount] = {}
    for index, spending in audit.contents.spendings.items():
        said: dict[str, Json] = {
            "number": spending.number, "organisation": spending.organisation, "at_ms": spending.at_ms,
            "spending": spending.digest,
        }  # fmt: skip
        if not is_said(audit.contents.bodies.get(index), SPENDING, said):
            yield Refused("spending_mismatch", f"at {index}")
        if spending.organisation != audit.manifest.scope.organisation:
            yield Refused("organisation_mismatch", spending.organisation)
        try:
            _check_sums(spending, costs)
        except Refused as refused:
            yield refused
    for index, body in audit.contents.bodies.items():
        if body.kind == SPENDING and index not in audit.contents.spendings:
            yield Refused("spending_mismatch", f"the leaf at {index} has no document")


def is_said(body: Body | None, kind: int, said: dict[str, Json]) -> bool:
    """Whether there is a body of this kind, and it says all of this."""
    return body is not None and body.kind == kind and all(body.value[key] == value for key, value in said.items())


def _check_sums(spending: Spending, costs: dict[Charge, Amount]) -> None:
    total = NOTHING
    with named("spending_arithmetic"):
        for charge in spending.charges:
            if charge not in costs:
                costs[charge] = privacy_cost.cost(charge)
            total = total.plus(costs[charge])
        if total != spending.stated:
            raise NotInForm(f"number {spending.number} states another sum")


def _check_order(documents: Sequence[Spending | Release], reason: str) -> Iterator[Refused]:
    """b and d: numbers 1, 2, 3 … in the order of the leaves, each behind the digest of the one before."""
    before: str | None = None
    for place, document in enumerate(documents, start=1):
        if (document.number, document.previous) != (place, before):
            yield Refused(reason, f"number {document.number} in place {place}")
        before = document.digest


def _check_periods(spendings: list[Spending]) -> Iterator[Refused]:
    """c: a period has one budget and one pair of bounds, no two share a moment, and none is overspent."""
    first: dict[int, Spending] = {}
    sums: dict[int, Amount] = {}
    for spending in spendings:
        known = first.setdefault(spending.period.number, spending)
        if (known.budget, known.period) != (spending.budget, spending.period):
            yield Refused("budget_changed", f"period {spending.period.number}")
        sums[spending.period.number] = sums.get(spending.period.number, NOTHING).plus(spending.stated)
    yield from _check_calendar([spending.period for spending in first.values()])
    for number, total in sums.items():
        if not total.fits(first[number].budget):
            yield Refused("budget_overspent", f"period {number}")


def _check_calendar(periods: list[Period]) -> Iterator[Refused]:
    """No two periods share a moment, and each lies as far from the first as its number says; all are equally long."""
    until_ms = 0
    for period in sorted(periods, key=lambda period: (period.from_ms, period.until_ms)):
        if period.from_ms < until_ms:
            yield Refused("period_overlap", f"period {period.number}")
        until_ms = max(until_ms, period.until_ms)
    for period in periods:
        length_ms = periods[0].until_ms - periods[0].from_ms
        begins_ms = periods[0].from_ms + length_ms * (period.number - periods[0].number)
        if (period.from_ms, period.until_ms) != (begins_ms, begins_ms + length_ms):
            yield Refused("period_calendar", f"period {period.number}")


def _check_releases(audit: Audit) -> Iterator[Refused]:
    """d: each is what its leaf says."""
    known = set()
    for line in audit.contents.releases:
        release = line.release
        known.add(line.index)
        said: dict[str, Json] = {
            "number": release.number, "epoch": release.epoch, "at_ms": release.at_ms, "release": release.digest,
        }  # fmt: skip
        if not is_said(audit.contents.bodies.get(line.index), RELEASE, said):
            yield Refused("release_mismatch", f"at {line.index}")
    for index, body in audit.contents.bodies.items():
        if body.kind == RELEASE and index not in known:
            yield Refused("release_mismatch", f"the leaf at {index} has no document")


def _check_heads(audit: Audit) -> Iterator[Refused]:
    """e: a release behind a spending of this organisation knew the newest of them, and every other knew none."""
    organisation = audit.manifest.scope.organisation
    own = [(index, one) for index, one in audit.contents.spendings.items() if one.organisation == organisation]
    for line in audit.contents.releases:
        before = bisect_left(own, line.index, key=lambda found: found[0])
        newest = own[before - 1][1] if before else None
        if not _knows(line, newest):
            yield Refused("ledger_head", f"release {line.release.number}")


def _knows(line: ReleaseLine, newest: Spending | None) -> bool:
    if newest is None or line.head is None:
        return newest is None and line.head is None
    head: dict[str, Json] = {
        "schema": "hitproof/ledger-head/v1", "number": newest.number, "organisation": newest.organisation,
        "spending": newest.digest,
    }  # fmt: skip
    (path, position), (count, root) = line.head, line.release.ledger
    try:
        return inclusion_root(position, count, leaf_hash(write(head)), path) == root
    except NotInForm:
        return False


def _check_purposes(audit: Audit) -> Iterator[Refused]:
    """f: every spending is for a release that stands behind it, or for the next one that there will be."""
    releases = audit.contents.releases
    last_index, last_number = (releases[-1].index, releases[-1].release.number) if releases else (-1, 0)
    made = {(line.release.number, line.release.unit): line for line in releases}
    for index, spending in audit.contents.spendings.items():
        line = made.get((spending.release, spending.unit))
        is_for_the_next = index > last_index and spending.release == last_number + 1
        if line is not None and line.index > index:
            if not _pays_for(spending.charges, line.release.vector_source):
                yield Refused("spending_charges", f"number {spending.number}")
        elif not is_for_the_next:
            yield Refused("spending_order", f"number {spending.number}")


def _pays_for(charges: Sequence[Charge], vector_source: str) -> bool:
    """Whether the mechanisms that such vectors, and what they belong to, come out of are among these."""
    if vector_source == "noised":
        return any(charge.mechanism == "gaussian_embedding" for charge in charges)
    selected = [charge.keys_max for charge in charges if charge.mechanism in SELECTIONS]
    summed = [charge.keys_max for charge in charges if charge.mechanism == "gaussian_sum"]
    if vector_source == "dp_mean":
        return bool(selected and summed) and max(selected) <= max(summed)
    return bool(selected)
