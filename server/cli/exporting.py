"""The lines of a cache export: `hitproof/cache-export/v1`, described in docs/formats.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from crypto.errors import Error
from server.cli.context import Opened
from server.identifiers import format_entry_id
from server.reuse.payload import unseal_payload
from server.store.entries import LIST_MAX, EntryRepository
from server.store.tenancy import DataKeyRepository
from tenants.data_keys import DataKeyRing
from tenants.identifiers import EntryId, TenantId
from tenants.sealing import sealed_epoch

EXPORT_SCHEMA: Final = "hitproof/cache-export/v1"
LINE_BYTES_MAX: Final = 16 << 20


class CacheCommandError(Error):
    """The flags do not fit, or the file is not an export."""


def exported_lines(store: Opened, tenant: TenantId) -> Iterator[dict[str, Any]]:
    """Yield a tenant's live entries, opened, newest first."""
    wrapped = store.database.read_now(lambda c: DataKeyRepository(c, tenant).list_all())
    ring = DataKeyRing(store.provider, lambda _tenant: wrapped)
    after: EntryId | None = None
    while True:
        behind = after
        page = store.database.read_now(
            lambda c, behind=behind: EntryRepository(c, tenant).list_page(  # type: ignore[misc]
                after=behind, limit=LIST_MAX, tag=None, model=None
            )
        )
        if not page:
            return
        for summary in page:
            after = summary.id
            row = store.database.read_now(
                lambda c, entry=summary.id: EntryRepository(c, tenant).get(entry)  # type: ignore[misc]
            )
            if row is None or row.state != "live":
                continue
            key = ring.for_epoch(tenant, sealed_epoch(row.payload))
            payload = unseal_payload(row.payload, key=key, tenant=tenant, entry=row.id)
            yield {
                "schema": EXPORT_SCHEMA,
                "id": format_entry_id(row.id),
                "model": row.model,
                "model_version": row.model_version,
                "messages": payload.messages,
                "parameters": payload.parameters,
                "response": payload.response,
                "tags": list(summary.tags),
                "expires_at_ms": row.expires_at_ms,
            }
