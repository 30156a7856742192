"""The exact tier: the very same request, asked before by the same tenant, verified as it is read."""

from __future__ import annotations

import structlog

from server.ports import Clock
from server.reuse.fingerprint import Identity, is_of_conversation
from server.reuse.opening import EntryOpener
from server.reuse.outcomes import Hit
from server.reuse.quarantine import Quarantine
from server.reuse.receipts import ReceiptChecker
from server.reuse.sight import Asked, Sight
from server.reuse.verification import Doubt, doubt_row
from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.errors import StoreError
from server.store.records import StoredEntry
from server.telemetry import Telemetry

log = structlog.get_logger()


class ExactTier:
    """Looks for the entry under a request's exact key."""

    def __init__(
        self,
        database: Database,
        opener: EntryOpener,
        receipts: ReceiptChecker,
        quarantine: Quarantine,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._database = database
        self._opener = opener
        self._receipts = receipts
        self._quarantine = quarantine
        self._telemetry = telemetry
        self._clock = clock

    async def ask(self, asked: Asked, identity: Identity) -> Sight | Doubt | None:
        """Return the hit under *identity*, what spoke against it, or None where there is no entry.

        A store that cannot be asked now is a miss like any other.
        """
        tenant = asked.tenant
        try:
            row = await self._database.read_by_key(
                lambda connection: EntryRepository(connection, tenant.id).get_live(identity.exact_key)
            )
            return None if row is None else await self._verify(asked, row, identity)
        except StoreError as error:
            self._telemetry.degraded.labels("exact").inc()
            log.warning("exact_tier_failed", error=type(error).__name__)
            return None

    async def _verify(self, asked: Asked, row: StoredEntry, identity: Identity) -> Sight | Doubt | None:
        """Verify on read: nothing is served from a row that fails any check; a broken one is quarantined."""
        doubt = doubt_row(
            row,
            tenant=asked.tenant.id,
            fingerprint=identity.fingerprint,
            now_ms=self._clock.now_ms(),
            max_age_s=asked.request.steering.max_age_s,
        )
        if doubt is not None:
            return await self._refuse(asked, row, doubt)
        payload = await self._opener.open(asked.tenant, row)
        if payload is None:
            return None
        if not is_of_conversation(asked.request, payload.messages, payload.parameters, whole=True):
            return await self._refuse(asked, row, Doubt("other_conversation", quarantine=True))
        receipt = await self._receipts.check(asked.tenant, row, payload)
        if isinstance(receipt, Doubt):
            return await self._refuse(asked, row, receipt)
        return Sight(Hit("exact", row.id, "same_request"), payload.response, row, identity, None, receipt)

    async def _refuse(self, asked: Asked, row: StoredEntry, doubt: Doubt) -> Doubt:
        if doubt.quarantine:
            await self._quarantine.put(asked.tenant.id, row.id, doubt.reason)
        return doubt
