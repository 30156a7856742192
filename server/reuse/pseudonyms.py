"""What a tenant is called in receipts and in the log at a moment."""

from __future__ import annotations

from crypto.pseudonym import epoch_of, pseudonym, pseudonym_key
from server.reuse.tenant_directory import TenantContext


def pseudonym_at(tenant: TenantContext, at_ms: int) -> str:
    """Return the pseudonym of *tenant* at that time."""
    return pseudonym(pseudonym_key(tenant.pseudonym_key, epoch_of(at_ms)), tenant.id)
