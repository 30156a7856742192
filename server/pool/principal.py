"""The pool as a principal: one reserved tenant of an organisation of its own, with keys, policy and receipts of its own.

Nobody is called it: no API key can be made for it, and lists of customers leave it out.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from crypto.pseudonym import organisation_pseudonym
from server.ports import RandomSource
from server.reuse.tenant_directory import TenantContext, TenantDirectory
from server.setup import create_organisation, create_tenant
from server.store.platform import PlatformRepository
from server.store.pool_items import POOL_TENANT_META
from server.store.records import OrganisationRecord, TenantRecord
from tenants.data_keys import derive_tenant_key
from tenants.identifiers import OrganisationId, TenantId
from tenants.key_providers import KeyProvider
from tenants.quotas import Quota

POOL_ORGANISATION: Final = "hitproof pool"
POOL_TENANT: Final = "pool"
ACTOR: Final = "hitproof"
#: Keys of a tenant that must outlive rotations come from its first data key.
FIRST_KEY: Final = 1
#: Purposes of the pool's own tenant keys (docs/formats.md, "Tenant keys").
ORGANISATION_PURPOSE: Final = "organisation"
VOTED_PURPOSE: Final = "voted"


def find_pool(connection: Connection) -> TenantId | None:
    """Return the pool's tenant id; None before there is a pool."""
    found = PlatformRepository(connection).get_meta(POOL_TENANT_META)
    return None if found is None else TenantId(found)


def ensure_pool(connection: Connection, *, provider: KeyProvider, now_ms: int, random: RandomSource) -> TenantId:
    """Return the pool's tenant id, making organisation and tenant at the first call; raises `SealedError` then."""
    found = find_pool(connection)
    if found is not None:
        return found
    organisation = create_organisation(connection, POOL_ORGANISATION, actor=ACTOR, now_ms=now_ms, random=random)
    tenant = create_tenant(
        connection,
        organisation.id,
        POOL_TENANT,
        quota=Quota(),
        provider=provider,
        actor=ACTOR,
        now_ms=now_ms,
        random=random,
    )
    PlatformRepository(connection).set_meta(POOL_TENANT_META, tenant.id)
    return tenant.id


def list_customers(connection: Connection) -> list[TenantRecord]:
    """Return all tenants but the pool, oldest first."""
    pool = find_pool(connection)
    return [row for row in PlatformRepository(connection).list_tenants() if row.id != pool]


def list_customer_organisations(connection: Connection) -> list[OrganisationRecord]:
    """Return all organisations but the pool's, by name."""
    platform, pool = PlatformRepository(connection), find_pool(connection)
    own = None if pool is None else platform.get_tenant(pool).organisation_id
    return [row for row in platform.list_organisations() if row.id != own]


class Pool:
    """The pool of one gateway, and the names it has for organisations."""

    def __init__(self, tenant: TenantId, tenants: TenantDirectory) -> None:
        self._tenant = tenant
        self._tenants = tenants

    @property
    def id(self) -> TenantId:
        """Its tenant id."""
        return self._tenant

    async def context(self) -> TenantContext:
        """Return its policy and keys; raises `SealedError` when they cannot be opened now."""
        return await self._tenants.get(self._tenant)

    async def organisation_key(self) -> bytes:
        """Return the key of the names that organisations have in the ledger; raises `SealedError`."""
        return organisation_key(await self.context())

    async def pseudonym(self, organisation: OrganisationId) -> str:
        """Return what the log calls *organisation*; raises `SealedError`."""
        return organisation_pseudonym(await self.organisation_key(), organisation)


def organisation_key(pool: TenantContext) -> bytes:
    """Return the pool's tenant key `organisation`: whoever has it can name organisations in the ledger."""
    return derive_tenant_key(pool.open_with(FIRST_KEY).secret, ORGANISATION_PURPOSE, pool.id)


def voted_key(pool: TenantContext) -> bytes:
    """Return the pool's tenant key `voted`: whoever has it can test what an organisation voted for in a period."""
    return derive_tenant_key(pool.open_with(FIRST_KEY).secret, VOTED_PURPOSE, pool.id)
