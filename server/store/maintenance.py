"""What the house does for all tenants at once: follow the feed, sweep what expired, keep the audit chain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from sqlalchemy import Connection, bindparam, delete, func, insert, select, text

from crypto.canonical import CanonicalValue, canonical_json, digest_fields
from server.store.entries import EntryRepository, Selection
from server.store.records import AuditRow, FeedRow
from server.store.tables import audit_log, entries, feed, lookups
from tenants.identifiers import EntryId, TenantId

FEED_PAGE: Final = 1000
AUDIT_DOMAIN: Final = "hitproof/audit/v1"
AUDIT_START: Final = bytes(32)

_FEED_AFTER: Final = (
    select(*(feed.c[name] for name in FeedRow.__dataclass_fields__))
    .where(feed.c.seq > bindparam("seq"))
    .order_by(feed.c.seq)
    .limit(FEED_PAGE)
)


def ping(connection: Connection) -> None:
    """Ask the database whether it is there."""
    connection.execute(text("SELECT 1")).first()


def check_file(connection: Connection) -> str | None:
    """Let SQLite check its file; return what is wrong with it, or None. PostgreSQL looks after itself."""
    if connection.dialect.name != "sqlite":
        return None
    verdict = str(connection.execute(text("PRAGMA quick_check(1)")).scalar_one())
    return None if verdict == "ok" else verdict


def get_feed_head(connection: Connection) -> int:
    """Return the newest feed position, 0 for an empty feed."""
    return int(connection.execute(select(func.coalesce(func.max(feed.c.seq), 0))).scalar_one())


def load_feed(connection: Connection, *, after: int) -> list[FeedRow]:
    """Return the next page of the feed behind *after*, in order."""
    return [FeedRow(*row) for row in connection.execute(_FEED_AFTER, {"seq": after})]


def add_notice(connection: Connection, tenant: TenantId, operation: Literal["refresh", "drop"], *, at_ms: int) -> None:
    """Tell every process that *tenant*'s policy, quota or keys changed (`refresh`), or that all of it went (`drop`)."""
    connection.execute(
        insert(feed),
        {"tenant_id": tenant, "fingerprint": None, "operation": operation, "entry_id": None, "at_ms": at_ms},
    )


def sweep_expired(connection: Connection, *, now_ms: int, limit: int) -> tuple[int, int]:
    """Delete up to *limit* expired entries and as many expired lookups; return how many of each."""
    rows = connection.execute(
        select(entries.c.tenant_id, entries.c.id).where(entries.c.expires_at_ms <= now_ms).limit(limit)
    ).all()
    for tenant, entry in rows:
        EntryRepository(connection, TenantId(tenant)).delete(Selection(entry=EntryId(entry)), at_ms=now_ms)
    old = select(lookups.c.id).where(lookups.c.expires_at_ms <= now_ms).limit(limit)
    gone = connection.execute(delete(lookups).where(lookups.c.id.in_(old.scalar_subquery())))
    return len(rows), gone.rowcount


def trim_feed(connection: Connection, *, before_ms: int) -> int:
    """Delete feed rows older than *before_ms*; a process that was away longer reloads its partitions."""
    head = get_feed_head(connection)
    return connection.execute(delete(feed).where(feed.c.at_ms < before_ms, feed.c.seq < head)).rowcount


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One administrative change, as it is written down before it takes effect."""

    actor: str
    tenant: TenantId | None
    action: str
    target: str
    detail: CanonicalValue


def append_audit(connection: Connection, event: AuditEvent, *, at_ms: int) -> None:
    """Chain *event* to the audit log; runs in the change's own transaction, so neither is there without the other."""
    last = connection.execute(
        select(audit_log.c.seq, audit_log.c.hash).order_by(audit_log.c.seq.desc()).limit(1)
    ).first()
    seq, previous = (1, AUDIT_START) if last is None else (last[0] + 1, bytes(last[1]))
    detail = canonical_json(event.detail)
    connection.execute(
        insert(audit_log),
        {
            "seq": seq,
            "at_ms": at_ms,
            "actor": event.actor,
            "tenant_id": event.tenant,
            "action": event.action,
            "target": event.target,
            "detail": detail.decode(),
            "previous_hash": previous,
            "hash": _audit_hash(previous, at_ms, event, detail),
        },
    )


def verify_audit_chain(connection: Connection) -> int | None:
    """Recompute the chain; return the first row that does not fit, or None.

    A chain whose newest rows were cut off fits: only somebody who kept a later hash can tell.
    """
    previous = AUDIT_START
    statement = select(*(audit_log.c[name] for name in AuditRow.__dataclass_fields__)).order_by(audit_log.c.seq)
    for seq, row in enumerate(connection.execute(statement), start=1):
        found = AuditRow(*row)
        event = AuditEvent(found.actor, found.tenant_id, found.action, found.target, None)
        expected = _audit_hash(previous, found.at_ms, event, found.detail.encode())
        if found.seq != seq or bytes(found.previous_hash) != previous or bytes(found.hash) != expected:
            return found.seq
        previous = expected
    return None


def list_audit(connection: Connection, *, tenant: TenantId | None, after: int, limit: int) -> list[AuditRow]:
    """Return audit rows behind *after*; of one tenant, or of everything for the platform.

    A tenant's rows are numbered among themselves: the house's own numbers would tell how much others change.
    """
    statement = select(*(audit_log.c[name] for name in AuditRow.__dataclass_fields__)).order_by(audit_log.c.seq)
    if tenant is None:
        rows = connection.execute(statement.where(audit_log.c.seq > after).limit(limit))
        return [AuditRow(*row) for row in rows]
    own = statement.where(audit_log.c.tenant_id == tenant).offset(after).limit(limit)
    return [replace(AuditRow(*row), seq=after + place) for place, row in enumerate(connection.execute(own), start=1)]


def _audit_hash(previous: bytes, at_ms: int, event: AuditEvent, detail: bytes) -> bytes:
    return digest_fields(
        AUDIT_DOMAIN,
        previous,
        # Signed, so that whatever a changed row says can be hashed.
        at_ms.to_bytes(8, "big", signed=True),
        event.actor.encode(),
        (event.tenant or "").encode(),
        event.action.encode(),
        event.target.encode(),
        detail,
    )
