"""What tenants consented to share: labelled entry by entry, published once, and revocable for good."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, select

from server.store.errors import NotFound
from server.store.pool_records import Share, ShareState, WaitingShare
from server.store.scoped import TenantRepository, scoped_delete, scoped_insert, scoped_select, scoped_update
from server.store.tables import entries, model_versions, shares, tenants
from tenants.identifiers import EntryId, OrganisationId, TenantId

PAGE_MAX: Final = 10_000

_FIELDS: Final = tuple(Share.__dataclass_fields__)
_COLUMNS: Final = tuple(shares.c[name] for name in _FIELDS)
_SHARE: Final = scoped_select(shares, *_COLUMNS)
_OF_ENTRY: Final = shares.c.entry_id == bindparam("of_entry")
_TURN: Final = func.row_number().over(
    partition_by=tenants.c.organisation_id, order_by=(shares.c.at_ms, tenants.c.id, shares.c.entry_id)
)
_WAITING: Final = (
    select(tenants.c.id, tenants.c.organisation_id, *_COLUMNS)
    .join_from(shares, tenants, tenants.c.id == shares.c.tenant_id)
    .where(shares.c.state == "labelled", tenants.c.status == "active", shares.c.at_ms <= bindparam("due_ms"))
    .order_by(_TURN, shares.c.at_ms, tenants.c.id, shares.c.entry_id)
)
_ENDED: Final = ("superseded", "revoked")


class ShareRepository(TenantRepository):
    """The shares of one tenant."""

    def put(self, share: Share) -> None:
        """Store a share in the place of what was said of its entry before."""
        values = {name: getattr(share, name) for name in _FIELDS}
        changed = self._run(scoped_update(shares).where(_OF_ENTRY).values(**values), {"of_entry": share.entry_id})
        if changed.rowcount == 0:
            self._run(scoped_insert(shares).values(**values))

    def find(self, entry: EntryId) -> Share | None:
        """Return what was said of one entry."""
        row = self._run(_SHARE.where(_OF_ENTRY), {"of_entry": entry}).first()
        return None if row is None else _share(row)

    def get(self, entry: EntryId) -> Share:
        """Return what was said of one entry; raises `NotFound`."""
        found = self.find(entry)
        if found is None:
            raise NotFound("this entry is not shared, and was not")
        return found

    def list_page(self, *, state: ShareState | None = None, after: EntryId | None = None, limit: int) -> list[Share]:
        """Return shares, in *state* or in any, newest entry first, that begin behind *after*."""
        statement = _SHARE.order_by(shares.c.entry_id.desc()).limit(min(limit, PAGE_MAX))
        if state is not None:
            statement = statement.where(shares.c.state == state)
        if after is not None:
            statement = statement.where(shares.c.entry_id < after)
        return [_share(row) for row in self._run(statement)]

    def count_by_state(self) -> dict[str, int]:
        """Return how many shares are in each state that has any."""
        statement = scoped_select(shares, shares.c.state, func.count()).group_by(shares.c.state)
        return {row[0]: int(row[1]) for row in self._run(statement)}

    def list_given(self) -> list[EntryId]:
        """Return the entries whose consent stands: labelled, or published."""
        statement = scoped_select(shares, shares.c.entry_id).where(shares.c.state.in_(("labelled", "published")))
        return [EntryId(row[0]) for row in self._run(statement.order_by(shares.c.entry_id))]

    def list_items(self) -> list[int]:
        """Return the items of the pool that this tenant's entries became."""
        statement = scoped_select(shares, shares.c.item_id).where(shares.c.item_id.is_not(None))
        return [int(row[0]) for row in self._run(statement.order_by(shares.c.item_id))]

    def delete_all(self) -> int:
        """Forget every share of this tenant; return how many there were."""
        return int(self._run(scoped_delete(shares)).rowcount)


def list_waiting(connection: Connection, *, due_ms: int, limit: int) -> list[WaitingShare]:
    """Return entries of active tenants that were labelled by *due_ms*: of every organisation in turn the longest waiting.

    So whoever labels much keeps nobody else waiting.
    """
    rows = connection.execute(_WAITING.limit(min(limit, PAGE_MAX)), {"due_ms": due_ms})
    return [WaitingShare(TenantId(row[0]), OrganisationId(row[1]), _share(row[2:])) for row in rows]


def find_of_item(connection: Connection, item: int) -> WaitingShare | None:
    """Return the share that became an item of the pool; None where it is gone."""
    statement = (
        select(tenants.c.id, tenants.c.organisation_id, *_COLUMNS)
        .join_from(shares, tenants, tenants.c.id == shares.c.tenant_id)
        .where(shares.c.item_id == item)
    )
    row = connection.execute(statement).first()
    return None if row is None else WaitingShare(TenantId(row[0]), OrganisationId(row[1]), _share(row[2:]))


def list_orphans(connection: Connection, *, limit: int) -> list[WaitingShare]:
    """Return published shares whose entries are gone, out of service, or of a model version that ended.

    What they became must leave the pool.
    """
    has_ended = select(model_versions.c.status).where(
        model_versions.c.model_version == entries.c.model_version,
        model_versions.c.reported == entries.c.reported,
        model_versions.c.status.in_(_ENDED),
    )
    is_there = select(entries.c.id).where(
        entries.c.id == shares.c.entry_id,
        entries.c.tenant_id == shares.c.tenant_id,
        entries.c.state == "live",
        ~has_ended.exists(),
    )
    statement = (
        select(tenants.c.id, tenants.c.organisation_id, *_COLUMNS)
        .join_from(shares, tenants, tenants.c.id == shares.c.tenant_id)
        .where(shares.c.state == "published", ~is_there.exists())
        .limit(min(limit, PAGE_MAX))
    )
    return [
        WaitingShare(TenantId(row[0]), OrganisationId(row[1]), _share(row[2:])) for row in connection.execute(statement)
    ]


def count_published(connection: Connection) -> dict[OrganisationId, int]:
    """Return how many published entries every organisation has that has any."""
    statement = (
        select(tenants.c.organisation_id, func.count())
        .join_from(shares, tenants, tenants.c.id == shares.c.tenant_id)
        .where(shares.c.state == "published")
        .group_by(tenants.c.organisation_id)
    )
    return {OrganisationId(row[0]): int(row[1]) for row in connection.execute(statement)}


def _share(row: Any) -> Share:
    aliases = None if row[4] is None else bytes(row[4])
    return Share(EntryId(row[0]), row[1], row[2], row[3], aliases, row[5], row[6])
