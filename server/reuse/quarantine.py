"""Take entries out of service that failed a check which nothing healthy fails; they are kept for inspection."""

from __future__ import annotations

import structlog

from server.ports import Clock
from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.errors import StoreError
from server.telemetry import Telemetry
from tenants.identifiers import EntryId, TenantId

log = structlog.get_logger()


class Quarantine:
    """Marks entries of any tenant; both tiers and a person's feedback come here."""

    def __init__(self, database: Database, telemetry: Telemetry, clock: Clock) -> None:
        self._database = database
        self._telemetry = telemetry
        self._clock = clock

    async def put(self, tenant: TenantId, entry: EntryId, reason: str) -> bool:
        """Take an entry of *tenant* out of service; a store that cannot do so now leaves it unserved this time."""
        now_ms = self._clock.now_ms()
        try:
            done = await self._database.write(
                lambda connection: EntryRepository(connection, tenant).quarantine(entry, reason=reason, at_ms=now_ms)
            )
        except StoreError:
            return False
        if done:
            self._telemetry.quarantined.labels(reason).inc()
            log.warning("entry_quarantined", entry=int(entry), reason=reason)
        return done
