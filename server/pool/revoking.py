"""Consent taken back, by whoever gave it or because what it was for is gone: the entry leaves the pool at once.

What was spent on it stays spent, and what the log says of its release stays said.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from server.identifiers import format_entry_id
from server.store.maintenance import AuditEvent, append_audit
from server.store.pool_items import PoolItemRepository
from server.store.pool_records import Share
from server.store.shares import ShareRepository, list_orphans
from tenants.identifiers import EntryId, TenantId

ORPHANS_AT_ONCE: Final = 256
SOURCE_GONE: Final = "source_gone"
REVOKED: Final = "revoked"


def revoke_share(connection: Connection, tenant: TenantId, entry: EntryId, *, actor: str, now_ms: int) -> Share:
    """Take the consent for *entry* back, for good, and note who did; raises `NotFound` where none was ever given."""
    share = ShareRepository(connection, tenant).get(entry)
    if share.state == "revoked":
        return share
    append_audit(
        connection,
        AuditEvent(actor, tenant, "share.revoke", format_entry_id(entry), {"was": share.state}),
        at_ms=now_ms,
    )
    return end_share(connection, tenant, share, None, now_ms=now_ms)


def withdraw_orphans(connection: Connection, *, now_ms: int) -> int:
    """Take out of the pool what became of entries that are gone or ended at their tenant's; return how many those were."""
    orphans = list_orphans(connection, limit=ORPHANS_AT_ONCE)
    for one in orphans:
        end_share(connection, one.tenant_id, one.share, SOURCE_GONE, now_ms=now_ms)
    return len(orphans)


def end_share(connection: Connection, tenant: TenantId, share: Share, reason: str | None, *, now_ms: int) -> Share:
    """Have *share* end, and with it what it became; *reason* says why where nobody took it back."""
    if share.item_id is not None:
        PoolItemRepository(connection).withdraw([share.item_id], reason=reason or REVOKED, at_ms=now_ms)
    ended = replace(share, state="revoked", reason=reason, at_ms=now_ms)
    ShareRepository(connection, tenant).put(ended)
    return ended
