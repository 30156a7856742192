"""A hit's applicability document, sealed where it is kept: with it, guesses of the hit's query could be tested.

So it is as confidential as the query's vector beside which it is kept, and ends with that and with its tenant's keys.
"""

from __future__ import annotations

from typing import Final

from server.ports import RandomSource
from tenants.identifiers import TenantId
from tenants.sealing import DataKey, SealContext, seal, unseal

FIELD: Final = "proof"
SCHEMA_VERSION: Final = 1


def seal_document(document: bytes, *, key: DataKey, tenant: TenantId, hit: str, random: RandomSource) -> bytes:
    """Seal the canonical *document* of one hit of one tenant."""
    return seal(key, _context(tenant, hit), document, random=random)


def unseal_document(sealed: bytes, *, key: DataKey, tenant: TenantId, hit: str) -> bytes:
    """Open what `seal_document` sealed for this hit; raises `UnsealError`."""
    return unseal(key, _context(tenant, hit), sealed)


def _context(tenant: TenantId, hit: str) -> SealContext:
    return SealContext(tenant=tenant, entry=0, field=f"{FIELD}/{hit}", schema_version=SCHEMA_VERSION)
