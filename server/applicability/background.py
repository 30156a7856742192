"""Behind the answers: prove the newest hits before anybody asks, so many a minute and no more."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

import structlog
from sqlalchemy import Connection

from crypto.errors import Error
from server.applicability.outcomes import ProvedHit
from server.applicability.service import ApplicabilityService
from server.pool.principal import list_customers
from server.ports import Clock
from server.reuse.tenant_directory import TenantDirectory
from server.store.applicability import ApplicabilityRepository
from server.store.database import Database
from server.store.log_records import StoredHit
from tenants.identifiers import TenantId

log = structlog.get_logger()

PERIOD_S: Final = 60.0
#: How far back hits are looked for, the newest first: what lies behind is proved when somebody asks.
HORIZONS_MS: Final = (60_000, 600_000, 3_600_000)
PAGE: Final = 500
#: Where few of many tenants have hits, one step looks no further than this, and the next one goes on behind it.
TENANTS_PER_STEP: Final = 100
#: Hits that could not be proved, and are left alone as long as they are among the last so many.
REMEMBERED_MAX: Final = 10_000


class BackgroundProofs:
    """Proves *per_minute* hits a minute over all tenants, in turns; none when that is 0."""

    def __init__(
        self,
        database: Database,
        tenants: TenantDirectory,
        service: ApplicabilityService,
        clock: Clock,
        *,
        per_minute: int,
    ) -> None:
        self._database = database
        self._tenants = tenants
        self._service = service
        self._clock = clock
        self._per_minute = per_minute
        self._left_alone: OrderedDict[str, None] = OrderedDict()
        self._last: TenantId | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        while self._per_minute:
            await asyncio.sleep(PERIOD_S / self._per_minute)
            try:
                await self.step()
            except Exception as error:  # noqa: BLE001  # an edge: whatever one round raises, the next one is another
                log.warning("background_proof_failed", error=type(error).__name__)

    async def step(self) -> bool:
        """Prove one hit, of the next tenant that has an unproved one; return whether there is a proof now."""
        rows = await self._database.read(list_customers)
        tenants = [row.id for row in rows if row.status == "active"]
        # Whose turn was last comes last: no tenant's hits wait for all of another's.
        start = tenants.index(self._last) + 1 if self._last in tenants else 0
        for tenant in [*tenants[start:], *tenants[:start]][:TENANTS_PER_STEP]:
            self._last = tenant
            hit = await self._newest(tenant)
            if hit is not None:
                return await self._prove(tenant, hit)
        return False

    async def _newest(self, tenant: TenantId) -> StoredHit | None:
        """Return the newest unproved hit that is not left alone, as far back as is looked."""
        for horizon_ms in HORIZONS_MS:
            after = (self._clock.now_ms() - horizon_ms, "")

            def load(connection: Connection, after: tuple[int, str] = after) -> list[StoredHit]:
                return ApplicabilityRepository(connection, tenant).list_unproved(after, PAGE)

            for hit in reversed(await self._database.read(load)):
                if hit.id not in self._left_alone:
                    return hit
        return None

    async def _prove(self, tenant: TenantId, hit: StoredHit) -> bool:
        # Left alone whatever comes of it: a proved one is not found again, and another is not worth a second turn soon.
        self._left_alone[hit.id] = None
        while len(self._left_alone) > REMEMBERED_MAX:
            self._left_alone.popitem(last=False)
        try:
            outcome = await self._service.prepare(await self._tenants.get(tenant), hit, is_export=False)
        except Error as error:
            log.info("hit_not_proved", hit=hit.id, error=type(error).__name__)
            return False
        return isinstance(outcome, ProvedHit)
