"""Delete what has expired, a bounded batch at a time, so that nothing lives longer than it was promised to."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from sqlalchemy import Connection

from server.ports import Clock
from server.reuse.retention import QueryVectorRetention, Retention
from server.store.database import Database
from server.store.errors import StoreError
from server.store.maintenance import sweep_expired, trim_feed

log = structlog.get_logger()

BATCH: Final = 500
FEED_KEPT_MS: Final = 24 * 3_600_000
#: A wall clock that runs ahead of the other one by more than this was set, and may be set back.
JUMP_MAX_MS: Final = 3_600_000
#: How long nothing is deleted after such a jump: time for somebody to put a wrong clock right.
DISTRUST_S: Final = 3_600.0
PROOFS_EVERY_S: Final = 3_600.0


class Sweeper:
    """Sweeps entries, lookups, query vectors and old feed rows of all tenants, and once an hour old proofs."""

    def __init__(
        self, database: Database, clock: Clock, retention: Retention, query_vectors: QueryVectorRetention
    ) -> None:
        self._database = database
        self._clock = clock
        self._retention = retention
        self._query_vectors = query_vectors
        # Not at once: a machine that starts with a wrong clock has an hour to be put right.
        self._proofs_swept_s = clock.monotonic_s()
        self._seen: tuple[int, float] | None = None
        self._distrusted_until_s = 0.0

    async def run(self, interval_s: float) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self.sweep()
            except StoreError as error:
                log.warning("not_swept", error=type(error).__name__)

    async def sweep(self) -> int:
        """Delete all that has expired by now; return how many entries that were.

        Nothing for an hour after the wall clock jumped ahead: what has expired is never served either way, and a clock
        that was wrong for a minute must not have emptied every cache.
        """
        now_ms = self._clock.now_ms()
        if not self._trusts_clock(now_ms):
            return 0
        total = 0
        while True:
            entries, lookups = await self._database.write(
                lambda connection: sweep_expired(connection, now_ms=now_ms, limit=BATCH)
            )
            total += entries
            if entries < BATCH and lookups < BATCH:
                break
        await self._query_vectors.sweep()
        await self._database.write(lambda connection: _trim(connection, now_ms))
        if self._clock.monotonic_s() - self._proofs_swept_s >= PROOFS_EVERY_S:
            self._proofs_swept_s = self._clock.monotonic_s()
            hits, receipts = await self._retention.sweep()
            log.info("proofs_swept", hits=hits, receipts=receipts)
        return total

    def _trusts_clock(self, now_ms: int) -> bool:
        now_s = self._clock.monotonic_s()
        seen_ms, seen_s = self._seen or (now_ms, now_s)
        self._seen = (now_ms, now_s)
        if now_ms - seen_ms > (now_s - seen_s) * 1000 + JUMP_MAX_MS:
            self._distrusted_until_s = now_s + DISTRUST_S
            log.warning("clock_jumped", ahead_s=(now_ms - seen_ms) // 1000)
        return now_s >= self._distrusted_until_s


def _trim(connection: Connection, now_ms: int) -> int:
    return trim_feed(connection, before_ms=now_ms - FEED_KEPT_MS)
