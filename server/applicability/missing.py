"""For an export: make the proofs that the hits in its scope lack, before the log is settled that all of it stands in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import structlog
from sqlalchemy import Connection

from crypto.errors import Error
from server.applicability.outcomes import ProvedHit
from server.applicability.service import ApplicabilityService
from server.audit.request import ExportRequest
from server.ports import Clock
from server.reuse.tenant_directory import TenantDirectory
from server.store.applicability import ApplicabilityRepository
from server.store.database import Database
from server.store.log_records import StoredHit
from server.store.receipts import ReceiptRepository
from tenants.identifiers import TenantId

log = structlog.get_logger()

PAGE: Final = 500
#: Hits looked at per proof that may be made: most that have none are of entries that are gone, and cost a few reads each.
LOOKED_AT_PER_PROOF: Final = 20
#: Longer than a thousand proofs take. A runner that lets every hit wait must not keep others' exports from their places.
MADE_WITHIN_S: Final = 300.0


class MissingProofs:
    """Makes at most *proofs_max* proofs for one export."""

    def __init__(
        self,
        database: Database,
        tenants: TenantDirectory,
        service: ApplicabilityService,
        clock: Clock,
        *,
        proofs_max: int,
    ) -> None:
        self._database = database
        self._tenants = tenants
        self._service = service
        self._clock = clock
        self._proofs_max = proofs_max

    async def make(self, tenant: TenantId, request: ExportRequest) -> int:
        """Make what *request* asks for of *tenant*, oldest hit first; return how many were made.

        A hit that has no proof to be made is left out, as are those beyond either bound; the export counts them.
        """
        context = await self._tenants.get(tenant)
        made, looked_at, until_s = 0, 0, self._clock.monotonic_s() + MADE_WITHIN_S
        async for hit in self._unproved(tenant, request):
            if made >= self._proofs_max or looked_at >= self._proofs_max * LOOKED_AT_PER_PROOF:
                break
            if self._clock.monotonic_s() >= until_s:
                log.warning("export_proofs_out_of_time", made=made, looked_at=looked_at)
                break
            looked_at += 1
            try:
                made += isinstance(await self._service.prepare(context, hit, is_export=True), ProvedHit)
            except Error as error:
                log.info("hit_not_proved", hit=hit.id, error=type(error).__name__)
        return made

    async def _unproved(self, tenant: TenantId, request: ExportRequest) -> AsyncIterator[StoredHit]:
        """Yield the hits in scope that have no proof, could have one and are opened, oldest first."""
        after = None if request.since_ms is None else (request.since_ms, "")
        while True:

            def load(connection: Connection, after: tuple[int, str] | None = after) -> list[tuple[StoredHit, bool]]:
                page = ApplicabilityRepository(connection, tenant).list_unproved(after, PAGE)
                answering = ReceiptRepository(connection, tenant).get_many(sorted({hit.receipt_id for hit in page}))
                meant = {
                    row.id
                    for row in answering
                    if request.model_version in (None, row.model_version) and request.opens(row.id)
                }
                return [(hit, hit.receipt_id in meant) for hit in page]

            page = await self._database.read(load)
            for hit, is_of_model in page:
                if request.until_ms is not None and hit.at_ms >= request.until_ms:
                    return
                if is_of_model:
                    yield hit
            if not page:
                return
            after = (page[-1][0].at_ms, page[-1][0].id)
