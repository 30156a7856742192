"""The salts of an embedding statement and the seed of its commitment, sealed beside the evidence that they open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from server.ports import RandomSource
from tenants.errors import UnsealError
from tenants.identifiers import TenantId
from tenants.sealing import DataKey, SealContext, seal, unseal

FIELD: Final = "evidence"
SCHEMA_VERSION: Final = 1


def seal_opening(
    key: DataKey, tenant: TenantId, evidence: str, salts: Mapping[str, bytes], *, random: RandomSource
) -> bytes:
    """Seal *salts* by kind (`text`, `vector`, perhaps `commitment`: its seed) for one piece of evidence of one tenant."""
    plain = orjson.dumps({kind: salt.hex() for kind, salt in salts.items()})
    return seal(key, _context(tenant, evidence), plain, random=random)


def unseal_opening(key: DataKey, tenant: TenantId, evidence: str, sealed: bytes) -> dict[str, bytes]:
    """Open what `seal_opening` sealed; raises `UnsealError`."""
    found = orjson.loads(unseal(key, _context(tenant, evidence), sealed))
    try:
        return {str(kind): bytes.fromhex(salt) for kind, salt in found.items()}
    except (AttributeError, TypeError, ValueError):
        raise UnsealError("the sealed opening holds something else than salts") from None


def _context(tenant: TenantId, evidence: str) -> SealContext:
    return SealContext(tenant=tenant, entry=0, field=f"{FIELD}/{evidence}", schema_version=SCHEMA_VERSION)
