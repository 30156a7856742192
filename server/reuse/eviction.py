"""Keep each tenant within its own quota: one tenant's flood evicts only its own entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from server.ports import Clock
from server.reuse.policy import Eviction
from server.reuse.tenant_directory import TenantContext
from server.store.database import Database
from server.store.entries import EntryRepository, Selection
from server.store.errors import StoreError
from server.telemetry import Telemetry
from tenants.identifiers import EntryId, TenantId

#: Evict at least this share at once, so that a full tenant does not pay for an eviction with every store.
BATCH_SHARE: Final = 50
CANDIDATES_MAX: Final = 2_000
TENANTS_MAX: Final = 20_000


class OverQuota(StoreError):
    """The tenant's quota or policy has no room for this entry, not even with all others evicted; nothing was done."""


@dataclass(slots=True)
class _Held:
    entries: int
    size_bytes: int
    stored_since_count: int = 0

    def fits(self, entries_max: int, bytes_max: int) -> bool:
        return self.entries <= entries_max and self.size_bytes <= bytes_max


class Totals:
    """How much each tenant holds; counted once from the store, then kept up, and counted again now and then."""

    RECOUNT_EVERY: Final = 1_000

    def __init__(self, database: Database, telemetry: Telemetry, clock: Clock) -> None:
        self._database = database
        self._telemetry = telemetry
        self._clock = clock
        self._held: dict[TenantId, _Held] = {}

    def add(self, tenant: TenantId, *, entries: int, size_bytes: int) -> None:
        """Note a change that was just made."""
        held = self._held.get(tenant)
        if held is not None:
            held.entries += entries
            held.size_bytes += size_bytes
            held.stored_since_count += 1

    def forget(self, tenant: TenantId) -> None:
        """Count *tenant* anew at the next store."""
        self._held.pop(tenant, None)

    async def make_room(self, tenant: TenantContext, *, entries: int, size_bytes: int) -> None:
        """Evict as many of the tenant's own entries as it takes to add *entries* and *size_bytes* within its quota.

        Raises `OverQuota`, with nothing evicted, when they would not fit into an empty cache either.
        """
        entries_max = min(tenant.policy.entries_max, tenant.quota.entries_max)
        bytes_max = min(tenant.policy.bytes_max, tenant.quota.bytes_max)
        if entries > entries_max or size_bytes > bytes_max:
            raise OverQuota(f"the quota is {entries_max} entries and {bytes_max} bytes; this does not fit into it")
        room = entries_max - entries, bytes_max - size_bytes
        held = self._held.get(tenant.id)
        if held is not None and held.stored_since_count < self.RECOUNT_EVERY and held.fits(*room):
            return
        # What was kept up knows nothing of entries that expired or were replaced: nothing is evicted on its word.
        held = await self._count(tenant.id)
        if held.fits(*room):
            return
        too_many, too_large = held.entries - room[0], held.size_bytes - room[1]
        count = max(too_many, entries_max // BATCH_SHARE, 1)
        strategy, now_ms = tenant.policy.eviction, self._clock.now_ms()

        def evict(connection: Connection) -> int:
            repository = EntryRepository(connection, tenant.id)
            candidates = repository.load_eviction_candidates(CANDIDATES_MAX)
            gone, freed = 0, 0
            for candidate in sorted(candidates, key=lambda row: _worth(row, strategy)):
                if gone >= count and freed >= too_large:
                    break
                repository.delete(Selection(entry=candidate[0]), at_ms=now_ms)
                gone, freed = gone + 1, freed + candidate[5]
            return gone

        self._telemetry.evicted.inc(await self._database.write(evict))
        await self._count(tenant.id)

    async def _count(self, tenant: TenantId) -> _Held:
        entries, size_bytes = await self._database.read(lambda connection: EntryRepository(connection, tenant).totals())
        if len(self._held) >= TENANTS_MAX:
            self._held.pop(next(iter(self._held)))
        held = self._held[tenant] = _Held(entries, size_bytes)
        return held


def _worth(row: tuple[EntryId, int, int, int, int, int], strategy: Eviction) -> tuple[float, int]:
    """Order entries by what is lost with them, least first."""
    _entry, last_hit_ms, hits, _created_ms, cost_micro, size_bytes = row
    if strategy == "lru":
        return (0.0, last_hit_ms)
    if strategy == "lfu":
        return (float(hits), last_hit_ms)
    # What a hit saves times how often it came, per byte held (GreedyDual-Size-Frequency without its clock).
    return ((hits + 1) * (cost_micro + 1) / max(size_bytes, 1), last_hit_ms)
