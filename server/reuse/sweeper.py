"""Delete what has expired, a bounded batch at a time, so that nothing lives longer than it was promised to."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from sqlalchemy import Connection

from server.ports import Clock
from server.store.database import Database
from server.store.errors import StoreError
from server.store.maintenance import sweep_expired, trim_feed

log = structlog.get_logger()

BATCH: Final = 500
FEED_KEPT_MS: Final = 24 * 3_600_000


class Sweeper:
    """Sweeps entries, lookups and old feed rows of all tenants."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(self, interval_s: float) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self.sweep()
            except StoreError as error:
                log.warning("not_swept", error=type(error).__name__)

    async def sweep(self) -> int:
        """Delete all that has expired by now; return how many entries that were."""
        now_ms = self._clock.now_ms()
        total = 0
        while True:
            entries, lookups = await self._database.write(
                lambda connection: sweep_expired(connection, now_ms=now_ms, limit=BATCH)
            )
            total += entries
            if entries < BATCH and lookups < BATCH:
                break
        await self._database.write(lambda connection: _trim(connection, now_ms))
        return total


def _trim(connection: Connection, now_ms: int) -> int:
    return trim_feed(connection, before_ms=now_ms - FEED_KEPT_MS)
