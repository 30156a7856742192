"""Open an entry's payload, and hold the row's columns to what was sealed with it."""

from __future__ import annotations

from server.reuse.payload import EntryPayload, EntryTerms, UnknownPayload, unseal_payload
from server.reuse.quarantine import Quarantine
from server.reuse.tenant_directory import TenantContext, TenantDirectory
from server.store.records import StoredEntry
from server.telemetry import Telemetry
from tenants.errors import TenantError, UnsealError
from tenants.sealing import sealed_epoch


class EntryOpener:
    """Opens entries of any tenant under that tenant's keys; what nothing healthy looks like goes into quarantine."""

    def __init__(self, tenants: TenantDirectory, quarantine: Quarantine, telemetry: Telemetry) -> None:
        self._tenants = tenants
        self._quarantine = quarantine
        self._telemetry = telemetry

    async def open(self, tenant: TenantContext, row: StoredEntry) -> EntryPayload | None:
        """Return what *row* sealed; None when it does not open, its keys cannot be had, or its columns were changed."""
        try:
            key = await self._tenants.key_for(tenant, sealed_epoch(row.payload))
            payload = unseal_payload(row.payload, key=key, tenant=tenant.id, entry=row.id)
        except UnknownPayload:
            return None  # a newer release's, beside which this one may run: a miss here, and left to those who know it
        except UnsealError:
            await self._quarantine.put(tenant.id, row.id, "does_not_open")
            return None
        except TenantError:
            self._telemetry.degraded.labels("keys").inc()
            return None
        if payload.terms != _terms_of(row):
            await self._quarantine.put(tenant.id, row.id, "changed_terms")
            return None
        return payload


def _terms_of(row: StoredEntry) -> EntryTerms:
    return EntryTerms(row.model_version, row.reported, row.source, row.created_at_ms, row.expires_at_ms)
