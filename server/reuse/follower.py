"""Keep indexes and cached tenants in step with the store by reading its change feed, in commit order.

Every hit is read again from its row before it answers, so a follower that lags costs misses and never a wrong answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from crypto.errors import Error
from server.index.partitions import Partitions
from server.ports import Clock
from server.reuse.tenant_directory import TenantDirectory
from server.store.database import Database
from server.store.erasure import empty_journal
from server.store.errors import StoreError
from server.store.maintenance import get_feed_head, load_feed
from server.store.records import FeedRow
from tenants.errors import TenantError
from tenants.identifiers import TenantId

log = structlog.get_logger()

#: Feed rows live much longer than this (`server.reuse.sweeper`); who was away for so long forgets all and loads anew.
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
        on_change: Callable[[TenantId], None],
    ) -> None:
        self._database = database
        self._partitions = partitions
        self._tenants = tenants
        self._clock = clock
        self._on_change = on_change
        self._after = 0
        self._seen_s = 0.0

    async def start(self) -> None:
        """Begin behind everything that is there now: partitions are loaded whole when first asked."""
        self._after = await self._database.read(get_feed_head)
        self._seen_s = self._clock.monotonic_s()

    async def run(self, interval_s: float) -> None:
        """Follow until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self.catch_up()
            except (StoreError, TenantError) as error:
                log.warning("feed_not_followed", error=type(error).__name__)
            except Error as error:
                # An index that cannot follow is read anew when it is next asked for; the feed goes on.
                log.error("feed_not_applied", error=type(error).__name__)
                self._partitions.drop_all()

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
        for row in rows:
            if row.operation in ("refresh", "drop"):
                self._tenants.forget(row.tenant_id)
                self._on_change(row.tenant_id)
        await self._partitions.apply(row for row in rows if row.operation != "refresh")
        if any(row.operation == "drop" for row in rows) and not await self._database.read(empty_journal):
            log.warning("journal_not_emptied")  # it is with the next checkpoint of the database itself
