"""The exact tier: the very same request, asked before by the same tenant, verified as it is read."""

from __future__ import annotations

import structlog

from server.ports import Clock
from server.reuse.fingerprint import Identity, is_of_conversation
from server.reuse.opening import EntryOpener
from server.reuse.outcomes import Hit
from server.reuse.payload import EntryPayload
from server.reuse.quarantine import Quarantine
from server.reuse.sight import Asked, Sight
from server.reuse.verification import doubt_row
from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.errors import StoreError
from server.store.records import StoredEntry
from server.telemetry import Telemetry

log = structlog.get_logger()


class ExactTier:
    """Looks for the entry under a request's exact key."""

    def __init__(
        self, database: Database, opener: EntryOpener, quarantine: Quarantine, telemetry: Telemetry, clock: Clock
    ) -> None:
        self._database = database
        self._opener = opener
        self._quarantine = quarantine
        self._telemetry = telemetry
        self._clock = clock

    async def ask(self, asked: Asked, identity: Identity) -> Sight | None:
        """Return the hit under *identity*, or None; a store that cannot be asked now is a miss."""
        tenant = asked.tenant
        try:
            row = await self._database.read_by_key(
                lambda connection: EntryRepository(connection, tenant.id).get_live(identity.exact_key)
            )
        except StoreError as error:
            self._telemetry.degraded.labels("exact").inc()
            log.warning("exact_tier_failed", error=type(error).__name__)
            return None
        if row is None:
            return None
        payload = await self._open_verified(asked, row, identity)
        if payload is None:
            return None
        return Sight(Hit("exact", row.id, "same_request"), payload.response, row, identity, None)

    async def _open_verified(self, asked: Asked, row: StoredEntry, identity: Identity) -> EntryPayload | None:
        """Verify on read: nothing is served from a row that fails any check; a broken one is quarantined."""
        tenant = asked.tenant
        doubt = doubt_row(
            row,
            tenant=tenant.id,
            fingerprint=identity.fingerprint,
            now_ms=self._clock.now_ms(),
            max_age_s=asked.request.steering.max_age_s,
        )
        if doubt is not None:
            if doubt.quarantine:
                await self._quarantine.put(tenant.id, row.id, doubt.reason)
            return None
        payload = await self._opener.open(tenant, row)
        if payload is None or is_of_conversation(asked.request, payload.messages, payload.parameters, whole=True):
            return payload
        await self._quarantine.put(tenant.id, row.id, "other_conversation")
        return None
