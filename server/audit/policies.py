"""The logged policies of a tenant, or of the pool: what was in force at any receipt and any hit of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from crypto.leaf import LeafKind
from server.store.log_records import AnnouncedPolicy, StoredLeaf
from server.store.receipts import TenantLeafRepository
from server.store.status import AnnouncementRepository
from tenants.identifiers import TenantId

POLICIES_MAX: Final = 10_000
_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class LoggedPolicies:
    """Policies and the leaves that announced them."""

    rows: tuple[AnnouncedPolicy, ...] = ()
    leaves: tuple[StoredLeaf, ...] = ()


def load_policies(connection: Connection, tenant: TenantId, *, size: int) -> LoggedPolicies:
    """Return every policy of *tenant* that stands in the first *size* leaves, at most `POLICIES_MAX` and a page."""
    leaves: list[StoredLeaf] = []
    repository, after = TenantLeafRepository(connection, tenant), -1
    while len(leaves) < POLICIES_MAX:
        page = repository.list_of_kinds([LeafKind.POLICY], after_index=after, limit=_PAGE)
        leaves += [leaf for leaf in page if leaf.leaf_index is not None and leaf.leaf_index < size]
        if not page:
            break
        after = page[-1].leaf_index or 0
    logged = {leaf.seq for leaf in leaves}
    announced = AnnouncementRepository(connection, tenant).list_all()
    return LoggedPolicies(tuple(row for row in announced if row.seq in logged), tuple(leaves))
