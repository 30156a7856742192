"""Entries of all tenants whose vectors nobody has stated yet."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, literal_column, select

from server.store.pool_items import POOL_TENANT_META
from server.store.tables import entries, meta
from tenants.identifiers import EntryId, TenantId

#: The words of the partial index `ix_entries_not_stated`, which is used where they stand in a query.
_NEXT: Final = (
    select(entries.c.tenant_id, entries.c.id)
    .where(
        entries.c.embedding_statement.is_(None),
        entries.c.receipt_id.is_not(None),
        entries.c.vector.is_not(None),
        entries.c.state == literal_column("'live'"),
        entries.c.id > bindparam("after"),
        # What the pool's entries are found by is public, and may be noised: nobody needs it stated.
        entries.c.tenant_id.not_in(select(meta.c.value).where(meta.c.name == POOL_TENANT_META)),
    )
    .order_by(entries.c.id)
    .limit(bindparam("at_most"))
)


def load_unstated(connection: Connection, *, after: EntryId, limit: int) -> list[tuple[TenantId, EntryId]]:
    """Return the next live entries behind *after* that have a receipt and a vector that nobody has stated."""
    rows = connection.execute(_NEXT, {"after": after, "at_most": limit})
    return [(TenantId(row[0]), EntryId(row[1])) for row in rows]
