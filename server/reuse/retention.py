"""Forget proofs that were kept as long as the settings say, a bounded step at a time, tenant by tenant.

Hits go batch by batch once all of a batch are old enough, and their applicability proofs with them; receipts, with what was
proved of their vectors, once no entry and no kept hit refers to them. The leaves stay, so the log verifies as before; what
they stand for cannot be shown any more. The vectors that hits were found by go earlier: as soon as their tenant's policy
would have the lookup itself forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from crypto.canonical import parse_json
from crypto.errors import Error
from server.ports import Clock
from server.reuse.policy import DEFAULT_POLICY, ReusePolicy
from server.store.database import Database
from server.store.platform import PlatformRepository
from server.store.pool_items import POOL_TENANT_META
from server.store.retention import ProofRetention, trim_status_lists
from server.store.tenancy import PolicyRepository
from tenants.identifiers import TenantId

log = structlog.get_logger()

#: Receipts in one transaction.
RECEIPTS_PER_WRITE: Final = 200
#: How long a status list that was followed by another is kept: longer than any export takes.
LISTS_KEPT_MS: Final = 24 * 3_600_000
#: Query vectors in one transaction, and tenants in one reading.
VECTORS_PER_WRITE: Final = 500
TENANTS_PER_READ: Final = 100
START: Final = (-1, "")


class Retention:
    """Forgets hits and receipts of all tenants that are older than *kept_s*."""

    def __init__(self, database: Database, clock: Clock, *, kept_s: int) -> None:
        self._database = database
        self._clock = clock
        self._kept_ms = kept_s * 1000

    async def sweep(self) -> tuple[int, int]:
        """Forget all that is old enough; return how many hits and receipts those were. Raises `StoreError`."""
        now_ms = self._clock.now_ms()
        await self._database.write(lambda c: trim_status_lists(c, before_ms=now_ms - LISTS_KEPT_MS))
        tenants = await self._database.read(lambda c: PlatformRepository(c).list_tenants())
        hits = receipts = 0
        for tenant in tenants:
            hits += await self._forget_hits(tenant.id, now_ms - self._kept_ms)
            receipts += await self._forget_receipts(tenant.id, now_ms - self._kept_ms)
        return hits, receipts

    async def _forget_hits(self, tenant: TenantId, before_ms: int) -> int:
        gone = 0
        while batches := await self._database.read(
            lambda c: ProofRetention(c, tenant).list_old_batches(before_ms=before_ms)
        ):
            for batch in batches:
                gone += await self._database.write(partial(_delete_batch, tenant=tenant, batch=batch))
        return gone

    async def _forget_receipts(self, tenant: TenantId, before_ms: int) -> int:
        gone, after = 0, START
        while page := await self._database.read(
            partial(_list_receipts, tenant=tenant, before_ms=before_ms, after=after)
        ):
            ids = [name for _, name in page]
            hit_on = await self._database.read(partial(_list_hit_on, tenant=tenant, ids=ids))
            free = [name for name in ids if name not in hit_on]
            if free:
                gone += await self._database.write(partial(_delete_receipts, tenant=tenant, ids=free))
            after = page[-1]
        return gone


class QueryVectorRetention:
    """Forgets the query vectors of hits that are older than their tenant's policy, as it is now, keeps lookups."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def sweep(self) -> int:
        """Forget all that is old enough; return how many those were. Raises `StoreError`."""
        gone, now_ms = 0, self._clock.now_ms()
        tenants = [row.id for row in await self._database.read(lambda c: PlatformRepository(c).list_tenants())]
        for start in range(0, len(tenants), TENANTS_PER_READ):
            some = tenants[start : start + TENANTS_PER_READ]
            due = await self._database.read(partial(_list_due, tenants=some, now_ms=now_ms))
            for tenant, before_ms in due:
                gone += await self._forget(tenant, before_ms)
        return gone

    async def _forget(self, tenant: TenantId, before_ms: int) -> int:
        gone, forget = 0, partial(_forget_vectors, tenant=tenant, before_ms=before_ms)
        while count := await self._database.write(forget):
            gone += count
        return gone


def _list_due(connection: Connection, *, tenants: Sequence[TenantId], now_ms: int) -> list[tuple[TenantId, int]]:
    """Return those of *tenants* that keep a query vector for too long, and from when on it may be kept."""
    due = []
    for tenant in tenants:
        oldest_ms = ProofRetention(connection, tenant).oldest_query_vector_ms()
        if oldest_ms is None:
            continue
        kept_ms = _load_kept_ms(connection, tenant)
        if kept_ms is not None and oldest_ms < now_ms - kept_ms:
            due.append((tenant, now_ms - kept_ms))
    return due


def _load_kept_ms(connection: Connection, tenant: TenantId) -> int | None:
    """Return how long *tenant* keeps lookups, by its policy.

    None for a policy that this release does not read: a newer one, beside which it runs, knows what it means.
    """
    found = PolicyRepository(connection, tenant).get_active()
    try:
        policy = DEFAULT_POLICY if found is None else ReusePolicy.from_json(parse_json(found.document.encode()))
    except Error:
        log.warning("policy_not_read", tenant=tenant)
        return None
    return policy.lookup_retention_s * 1000


def _forget_vectors(connection: Connection, *, tenant: TenantId, before_ms: int) -> int:
    return ProofRetention(connection, tenant).forget_query_vectors(before_ms=before_ms, limit=VECTORS_PER_WRITE)


def _delete_batch(connection: Connection, *, tenant: TenantId, batch: int) -> int:
    return ProofRetention(connection, tenant).delete_batch(batch)


def _list_receipts(
    connection: Connection, *, tenant: TenantId, before_ms: int, after: tuple[int, str]
) -> list[tuple[int, str]]:
    repository = ProofRetention(connection, tenant)
    return repository.list_old_receipts(before_ms=before_ms, after=after, limit=RECEIPTS_PER_WRITE)


def _list_hit_on(connection: Connection, *, tenant: TenantId, ids: list[str]) -> set[str]:
    kept = ProofRetention(connection, tenant)
    if PlatformRepository(connection).get_meta(POOL_TENANT_META) == tenant:
        return kept.list_hit_on_by_anybody(ids)
    return kept.list_hit_on(ids)


def _delete_receipts(connection: Connection, *, tenant: TenantId, ids: list[str]) -> int:
    return ProofRetention(connection, tenant).delete_receipts(ids)
