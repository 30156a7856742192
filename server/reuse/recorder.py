"""Write lookups, usage and hit counts down in batches, behind the answer and never in its way.

The queue is bounded: when the store cannot keep up, new records are dropped and counted rather than kept in memory.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog
from sqlalchemy import Connection

from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.lookups import LookupRepository
from server.store.records import LookupRecord, UsageRow
from server.store.tenancy import KeyRepository
from server.telemetry import Telemetry
from tenants.identifiers import EntryId, KeyId, TenantId

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Recorded:
    """One lookup with what it saved; the tenant is the caller's."""

    tenant: TenantId
    lookup: LookupRecord | None
    key: KeyId
    at_ms: int
    model: str
    outcome: str
    tier: str
    entry: EntryId | None
    saved_prompt_tokens: int
    saved_output_tokens: int
    saved_micro: int
    latency_us: int


class Recorder:
    """Collects `Recorded`s and writes them every *flush_s* seconds in one group."""

    def __init__(self, database: Database, telemetry: Telemetry, *, flush_s: float, queue_max: int) -> None:
        self._database = database
        self._telemetry = telemetry
        self._flush_s = flush_s
        self._queue_max = queue_max
        self._waiting: list[Recorded] = []
        self._flushing = asyncio.Lock()

    def record(self, recorded: Recorded) -> None:
        """Queue one record; dropped and counted when too many wait."""
        if len(self._waiting) >= self._queue_max:
            self._telemetry.records_dropped.inc()
            return
        self._waiting.append(recorded)

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            await asyncio.sleep(self._flush_s)
            await self.flush()

    async def flush(self) -> None:
        """Write down all that waits; what cannot be written is dropped and counted."""
        async with self._flushing:
            waiting, self._waiting = self._waiting, []
            if not waiting:
                return
            try:
                await self._database.write(lambda connection: _write(connection, waiting))
            except Exception as error:  # noqa: BLE001  # an edge: whatever a write raises costs these records, no later ones
                self._telemetry.records_dropped.inc(len(waiting))
                log.warning("records_dropped", count=len(waiting), error=type(error).__name__)


def _write(connection: Connection, waiting: list[Recorded]) -> None:
    by_tenant: dict[TenantId, list[Recorded]] = defaultdict(list)
    for recorded in waiting:
        by_tenant[recorded.tenant].append(recorded)
    for tenant, group in by_tenant.items():
        lookups = LookupRepository(connection, tenant)
        lookups.add_many(recorded.lookup for recorded in group if recorded.lookup is not None)
        lookups.add_usage(_sum_usage(group))
        EntryRepository(connection, tenant).touch(_sum_hits(group))
        KeyRepository(connection, tenant).note_use({recorded.key for recorded in group}, day=_day(group[-1].at_ms))


def _sum_usage(group: list[Recorded]) -> list[UsageRow]:
    sums: dict[tuple[str, KeyId, str, str, str], UsageRow] = {}
    for recorded in group:
        key = (_day(recorded.at_ms), recorded.key, recorded.model, recorded.outcome, recorded.tier)
        row = sums.get(key) or UsageRow(*key, 0, 0, 0, 0, 0)
        sums[key] = replace(
            row,
            requests=row.requests + 1,
            saved_prompt_tokens=row.saved_prompt_tokens + recorded.saved_prompt_tokens,
            saved_output_tokens=row.saved_output_tokens + recorded.saved_output_tokens,
            saved_micro=row.saved_micro + recorded.saved_micro,
            latency_us=row.latency_us + recorded.latency_us,
        )
    return list(sums.values())


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")


def _sum_hits(group: list[Recorded]) -> list[tuple[EntryId, int, int]]:
    hits: dict[EntryId, tuple[int, int]] = {}
    for recorded in group:
        if recorded.outcome == "hit" and recorded.entry is not None:
            count, at_ms = hits.get(recorded.entry, (0, 0))
            hits[recorded.entry] = (count + 1, max(at_ms, recorded.at_ms))
    return [(entry, count, at_ms) for entry, (count, at_ms) in hits.items()]
