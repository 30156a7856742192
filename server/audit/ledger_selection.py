"""What a bundle tells of the ledger: all that its organisation spent, and every release with where the ledger stood then.

A ledger is shown whole or not at all, whatever time the export is about: a budget can only be added up from all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from crypto.ledger_lines import HeadProof, ReleaseLine, SpendingLine
from crypto.release import head_path, parse_release
from crypto.spending import parse_spending
from server.audit.request import ExportError
from server.audit.weight import Weight
from server.store.database import Database
from server.store.ledger import LedgerRepository
from server.store.platform import PlatformRepository
from server.store.pool import PoolRepository
from server.store.pool_records import LoggedRelease, LoggedSpending
from tenants.identifiers import OrganisationId, TenantId

PAGE: Final = 1_000
#: A ledger of centuries; beyond it somebody spends by the minute.
ROWS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class LedgerSelection:
    """The spendings of one organisation, in the log *organisation*, and the releases, within a checkpoint, in order.

    *heads* are the proofs of the organisation's head, by release; none before it first spent. *organisation* is None
    where it never did.
    """

    organisation: str | None
    spendings: tuple[LoggedSpending, ...]
    releases: tuple[LoggedRelease, ...]
    heads: dict[int, HeadProof]

    def spending_lines(self) -> tuple[SpendingLine, ...]:
        """Return the lines of the spendings, by index."""
        return tuple(
            SpendingLine(_index(row.leaf_index), parse_spending(row.document.encode())) for row in self.spendings
        )

    def release_lines(self) -> tuple[ReleaseLine, ...]:
        """Return the lines of the releases, by index."""
        return tuple(
            ReleaseLine(_index(row.leaf_index), parse_release(row.document.encode()), self.heads.get(row.number))
            for row in self.releases
        )


def select_ledger(
    database: Database, tenant: TenantId, weight: Weight, *, size: int, has_pool_receipts: bool
) -> LedgerSelection:
    """Read the ledger of *tenant*'s organisation and the releases that stand in the first *size* leaves.

    Releases are there where the organisation ever spent, or where a receipt of the pool is in the bundle. Raises
    `ExportError` for more than a bundle takes.
    """
    organisation = database.read_now(lambda c: PlatformRepository(c).get_tenant(tenant).organisation_id)
    spendings = [row for row in _spendings(database, organisation) if _is_within(row.leaf_index, size)]
    wants_releases = bool(spendings) or has_pool_receipts
    releases = [row for row in _releases(database) if _is_within(row.leaf_index, size)] if wants_releases else []
    for body, document in [(row.body, row.document) for row in spendings] + [
        (row.body, row.document) for row in releases
    ]:
        weight.add(body, leaves=1)
        weight.add(document.encode())
    if not spendings:
        return LedgerSelection(None, (), tuple(releases), {})
    name = parse_spending(spendings[0].document.encode()).organisation
    # Leaves stand in the order of their numbers, so a ledger that had begun is one with a number before the release's.
    begun = [row for row in releases if row.seq > spendings[0].seq]
    heads = {row.number: database.read_now(lambda c, row=row: _prove_head(c, row, name)) for row in begun}  # type: ignore[misc]
    return LedgerSelection(name, tuple(spendings), tuple(releases), heads)


def _prove_head(connection: Connection, release: LoggedRelease, organisation: str) -> HeadProof:
    position, path = head_path(LedgerRepository(connection).heads(before_seq=release.seq), organisation)
    return HeadProof(position, path)


def _spendings(database: Database, organisation: OrganisationId) -> Iterator[LoggedSpending]:
    after = 0
    while page := database.read_now(
        lambda c, after=after: LedgerRepository(c).load_logged(organisation, after_number=after, limit=PAGE)  # type: ignore[misc]
    ):
        yield from page
        after = _bounded(page[-1].number)


def _releases(database: Database) -> Iterator[LoggedRelease]:
    after = 0
    while page := database.read_now(
        lambda c, after=after: PoolRepository(c).load_logged(after_number=after, limit=PAGE)  # type: ignore[misc]
    ):
        yield from page
        after = _bounded(page[-1].number)


def _bounded(number: int) -> int:
    if number > ROWS_MAX:
        raise ExportError(f"the ledger has more than {ROWS_MAX} rows, which is more than a bundle takes")
    return number


def _is_within(leaf_index: int | None, size: int) -> bool:
    return leaf_index is not None and leaf_index < size


def _index(leaf_index: int | None) -> int:
    if leaf_index is None:
        raise ValueError("a row without its place in the log is never selected")
    return leaf_index
