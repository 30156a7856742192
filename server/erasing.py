"""Erase a tenant: its keys, its rows and whatever would prove its answers, for good and in restored backups too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import Connection

from crypto.bodies import Erasure as ErasureBody
from crypto.pseudonym import epoch_of, pseudonym, pseudonym_key
from server.erasures import Erasure, Erasures
from server.log.bodies import append_body
from server.ports import RandomSource
from server.store.database import Database
from server.store.entries import EntryRepository, Selection
from server.store.erasure import ProofErasure, overwrite_freed_space
from server.store.errors import NotFound
from server.store.lookups import LookupRepository
from server.store.maintenance import AuditEvent, add_notice, append_audit
from server.store.platform import PlatformRepository
from server.store.pool_items import POOL_TENANT_META, PoolItemRepository
from server.store.shares import ShareRepository
from server.store.suppressions import SuppressionRepository
from server.store.tenancy import DataKeyRepository, KeyRepository
from tenants.data_keys import derive_tenant_key
from tenants.errors import TenantError
from tenants.identifiers import TenantId
from tenants.key_providers import KeyProvider

log = structlog.get_logger()

NONCE_BYTES: Final = 32


def erase_tenant(
    connection: Connection,
    tenant: TenantId,
    *,
    erasures: Erasures,
    provider: KeyProvider,
    actor: str,
    now_ms: int,
    random: RandomSource,
) -> list[str]:
    """Destroy *tenant*'s data keys and rows; what was sealed under them can never be opened again, backups included.

    The log says that it happened, under the tenant's pseudonym. A tombstone is on the disk before anything is committed.
    Returns the names of the tenant's export files, which the caller removes. Raises `NotFound`, for the pool too,
    `SealedError` while the keys cannot be opened, and `DataFolderError` when the tombstone cannot be written: then nothing
    was erased.
    """
    PlatformRepository(connection).get_tenant(tenant)
    if PlatformRepository(connection).get_meta(POOL_TENANT_META) == tenant:
        raise NotFound("there is no such tenant: the pool is no customer, and what others rest on is not erased")
    name = _pseudonym_of(connection, tenant, provider, now_ms)
    append_audit(connection, AuditEvent(actor, tenant, "tenant.erase", tenant, {}), at_ms=now_ms)
    erasures.add(Erasure(tenant, now_ms))
    return _destroy(connection, tenant, name, now_ms=now_ms, random=random)


def reapply_erasures(
    database: Database, erasures: Erasures, *, provider: KeyProvider, now_ms: int, random: RandomSource
) -> list[TenantId]:
    """Erase again what a restored database holds of tenants that were erased after it was copied; return which.

    Runs before anything is served. Keys that cannot be opened now are destroyed all the same, and the log is then not told
    a second time.
    """
    gone = {erasure.tenant for erasure in erasures.list_all()}
    if not gone:
        return []
    rows = database.read_now(lambda connection: PlatformRepository(connection).list_tenants())
    returned = [row.id for row in rows if row.id in gone and row.status != "erased"]
    for tenant in returned:
        database.write_now(partial(_erase_again, tenant=tenant, provider=provider, now_ms=now_ms, random=random))
        log.warning("erased_again", tenant=tenant)
    return returned


def copy_tombstones(erased: Sequence[TenantId], erasures: Erasures, *, now_ms: int) -> list[TenantId]:
    """Note tenants that were erased elsewhere in *erasures* too; return which. Raises `DataFolderError`.

    So whichever machine first opens a restored database knows of every erasure that it has lived to see.
    """
    known = {erasure.tenant for erasure in erasures.list_all()}
    missing = [tenant for tenant in erased if tenant not in known]
    for tenant in missing:
        erasures.add(Erasure(tenant, now_ms))
    return missing


def remove_exports(folder: Path, names: list[str]) -> None:
    """Remove the files of a tenant's exports, as far as they lie in *folder*."""
    for name in names:
        (folder / Path(name).name).unlink(missing_ok=True)


def _erase_again(
    connection: Connection, *, tenant: TenantId, provider: KeyProvider, now_ms: int, random: RandomSource
) -> None:
    try:
        name = _pseudonym_of(connection, tenant, provider, now_ms)
    except TenantError:
        name = None
    event = AuditEvent("hitproof", tenant, "tenant.erase", tenant, {"reason": "restored after it was erased"})
    append_audit(connection, event, at_ms=now_ms)
    _destroy(connection, tenant, name, now_ms=now_ms, random=random)


def _pseudonym_of(connection: Connection, tenant: TenantId, provider: KeyProvider, now_ms: int) -> str | None:
    """Return what the log calls *tenant* now; None when its keys are destroyed already, and with them that name."""
    wrapped = DataKeyRepository(connection, tenant).list_all()
    if not wrapped:
        return None
    first = wrapped[0]
    secret = provider.unwrap(first.wrapped, tenant=tenant, epoch=first.epoch)
    key = pseudonym_key(derive_tenant_key(secret, "pseudonym", tenant), epoch_of(now_ms))
    return pseudonym(key, tenant)


def _destroy(
    connection: Connection, tenant: TenantId, name: str | None, *, now_ms: int, random: RandomSource
) -> list[str]:
    overwrite_freed_space(connection)
    DataKeyRepository(connection, tenant).destroy_all()
    EntryRepository(connection, tenant).delete(Selection(everything=True), at_ms=now_ms)
    LookupRepository(connection, tenant).delete_all()
    _leave_pool(connection, tenant, now_ms=now_ms)
    files = ProofErasure(connection, tenant).run()
    if name is not None:
        # Said of nobody's rows: the leaf must outlive whatever else is forgotten of this tenant.
        append_body(connection, ErasureBody(now_ms, random.token_bytes(NONCE_BYTES), name), tenant=None)
    for key in KeyRepository(connection, tenant).list_all():
        KeyRepository(connection, tenant).revoke(key.key_id, at_ms=now_ms)
    PlatformRepository(connection).set_tenant_status(tenant, "erased")
    add_notice(connection, tenant, "drop", at_ms=now_ms)
    return files


def _leave_pool(connection: Connection, tenant: TenantId, *, now_ms: int) -> None:
    """Take what *tenant* shared out of the pool. Its organisation's spendings stay: they are numbered without gaps.

    Votes stay until their epoch ends: nobody can tell any more which of an organisation's tenants one was of.
    """
    shares = ShareRepository(connection, tenant)
    items = shares.list_items()
    PoolItemRepository(connection).withdraw(items, reason="whoever shared it was erased", at_ms=now_ms)
    shares.delete_all()
    SuppressionRepository(connection, tenant).delete_all()
