"""A hit's query vector, sealed beside the hit: what its applicability can still be proved from, for a while.

It tells what was asked, so it is kept no longer than the tenant keeps its recorded lookups.
"""

from __future__ import annotations

from typing import Final

from server.ports import RandomSource
from tenants.identifiers import LookupId, TenantId
from tenants.sealing import DataKey, SealContext, seal, unseal

FIELD: Final = "hit"
SCHEMA_VERSION: Final = 1


def seal_query_vector(vector: bytes, *, key: DataKey, tenant: TenantId, hit: LookupId, random: RandomSource) -> bytes:
    """Seal a quantised vector, one signed byte per component, for one hit of one tenant."""
    return seal(key, _context(tenant, hit), vector, random=random)


def unseal_query_vector(sealed: bytes, *, key: DataKey, tenant: TenantId, hit: str) -> bytes:
    """Open what `seal_query_vector` sealed for this hit; raises `UnsealError`."""
    return unseal(key, _context(tenant, hit), sealed)


def _context(tenant: TenantId, hit: str) -> SealContext:
    return SealContext(tenant=tenant, entry=0, field=f"{FIELD}/{hit}", schema_version=SCHEMA_VERSION)
