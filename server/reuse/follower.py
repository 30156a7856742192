"""Keep indexes and cached tenants in step with the store by reading its change feed, in commit order.

Every hit is read again from its row before it answers, so a follower that lags costs misses and never a wrong answer.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Final

import numpy as np
import structlog

from server.index.partitions import PartitionKey, Partitions
from server.ports import Clock
from server.reuse.payload import unseal_vector
from server.reuse.tenant_directory import TenantContext, TenantDirectory
from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.errors import StoreError
from server.store.maintenance import get_feed_head, load_feed
from server.store.records import FeedRow
from tenants.errors import TenantError
from tenants.identifiers import EntryId, TenantId
from tenants.sealing import sealed_epoch

log = structlog.get_logger()

OWN_MAX: Final = 10_000
#: Feed rows live much longer than this (`sweep`); who was away for so long forgets all it holds and loads anew.
AWAY_MAX_S: Final = 1_800


class Follower:
    """Applies the feed to the partitions that are resident and to what is kept of tenants."""

    def __init__(
        self,
        database: Database,
        partitions: Partitions,
        tenants: TenantDirectory,
        clock: Clock,
        *,
        embedder_digest: str,
        on_drop: Callable[[TenantId], None],
    ) -> None:
        self._database = database
        self._partitions = partitions
        self._tenants = tenants
        self._clock = clock
        self._embedder_digest = embedder_digest
        self._on_drop = on_drop
        self._after = 0
        self._seen_s = 0.0
        self._own: OrderedDict[EntryId, None] = OrderedDict()

    async def start(self) -> None:
        """Begin behind everything that is there now: partitions are loaded whole when first asked."""
        self._after = await self._database.read(get_feed_head)
        self._seen_s = self._clock.monotonic_s()

    def expect(self, entry: EntryId) -> None:
        """Skip the addition of *entry*: this process made it findable itself."""
        self._own[entry] = None
        while len(self._own) > OWN_MAX:
            self._own.popitem(last=False)

    async def run(self, interval_s: float) -> None:
        """Follow until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self.catch_up()
            except (StoreError, TenantError) as error:
                log.warning("feed_not_followed", error=type(error).__name__)

    async def catch_up(self) -> None:
        """Apply everything that is in the feed now."""
        if self._clock.monotonic_s() - self._seen_s > AWAY_MAX_S:
            self._partitions.drop_all()
            self._tenants.forget_all()
        while rows := await self._database.read(lambda connection: load_feed(connection, after=self._after)):
            await self._apply(rows)
            self._after = rows[-1].seq
        self._seen_s = self._clock.monotonic_s()

    async def _apply(self, rows: list[FeedRow]) -> None:
        added: dict[tuple[TenantId, bytes], list[EntryId]] = defaultdict(list)
        for row in rows:
            if row.operation == "drop" or row.fingerprint is None or row.entry_id is None:
                self._partitions.drop(row.tenant_id)
                self._tenants.forget(row.tenant_id)
                self._on_drop(row.tenant_id)
                continue
            key = PartitionKey(row.tenant_id, row.fingerprint)
            if row.operation == "remove":
                await self._partitions.remove(key, [int(row.entry_id)])
            elif row.entry_id in self._own:
                del self._own[row.entry_id]
            elif self._partitions.is_resident(key):
                added[row.tenant_id, row.fingerprint].append(row.entry_id)
        for (tenant, fingerprint), ids in added.items():
            await self._add(tenant, fingerprint, ids)

    async def _add(self, tenant: TenantId, fingerprint: bytes, ids: list[EntryId]) -> None:
        context = await self._tenants.get(tenant)
        sealed = await self._database.read(
            lambda connection: EntryRepository(connection, tenant).load_vectors_of(ids, self._embedder_digest)
        )
        opened = open_vectors(context, sealed)
        if opened[0].size:
            await self._partitions.add(PartitionKey(tenant, fingerprint), *opened)


def open_vectors(
    context: TenantContext, sealed: list[tuple[EntryId, bytes]]
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int, int], np.dtype[np.int8]]]:
    """Open sealed vectors into ids, shape (n,), and rows, shape (n, dimension); one that does not open is left out."""
    ids: list[int] = []
    rows = []
    for entry, blob in sealed:
        try:
            key = context.open_with(sealed_epoch(blob))
            rows.append(unseal_vector(blob, key=key, tenant=context.id, entry=entry))
        except TenantError:
            log.warning("vector_not_opened", entry=int(entry))
            continue
        ids.append(int(entry))
    if not ids:
        return np.empty(0, np.int64), np.empty((0, 0), np.int8)
    return np.array(ids, np.int64), np.stack(rows)
