"""What `hitproof audit` needs of an open data folder: times, keys, proofs, the log's files, and a log that moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from crypto.ed25519 import SigningKey
from crypto.errors import Error
from server.applicability.build import build_applicability
from server.audit.keys import ExportKeys, KeyOfEpoch, PoolKeys
from server.audit.request import ExportRequest
from server.cli.context import Opened
from server.log.build import build_sequencer
from server.log.keys import get_log_key, load_signing_key
from server.log.storage import DirectoryStorage, LogStorage
from server.log.transactions import DirectTransactions
from server.pool.principal import find_pool
from server.prover.process import ProverProcess
from server.reuse.tenant_directory import TenantDirectory
from server.standing import note_signer
from server.store.tenancy import DataKeyRepository
from server.telemetry import Telemetry
from tenants.data_keys import DataKeyRing, derive_tenant_key
from tenants.errors import UnsealError
from tenants.identifiers import TenantId


class TimeUnreadable(Error):
    """A time that is neither a date nor a date and time."""


def parse_time(text: str | None) -> int | None:
    """Return the milliseconds of an ISO 8601 date or time, in UTC where it names no zone; raises `TimeUnreadable`."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise TimeUnreadable(f"{text!r} is no time; write 2026-11-24 or 2026-11-24T12:00:00Z") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    if found.timestamp() < 0:
        raise TimeUnreadable(f"{text!r} lies before 1970")
    return int(found.timestamp() * 1000)


def note_gateway_key(store: Opened) -> SigningKey:
    """Return this folder's gateway key, made and written down first where no gateway has run on it yet."""
    signer = load_signing_key(store.folder.gateway_signing_key_file, store.random)
    store.database.write_now(
        lambda c: note_signer(
            c,
            signer.public_key,
            "gateway",
            f"gateway {signer.key_id[:16]}",
            now_ms=store.clock.now_ms(),
            random=store.random,
        )
    )
    return signer


def export_keys(store: Opened, tenant: TenantId) -> ExportKeys:
    """Return what *tenant*'s bundle is opened and signed with; raises `UnsealError` for one that was erased."""
    pseudonym_key, hit_salt_key, key_of_epoch = _open_keys(store, tenant)
    return ExportKeys(pseudonym_key, key_of_epoch, note_gateway_key(store), _pool_keys(store), hit_salt_key)


def make_missing_proofs(store: Opened, tenant: TenantId, request: ExportRequest) -> int:
    """Make the applicability proofs that *request* asks for, in a process of this command's own; return how many.

    What no statement commits to yet stays without one: runners are asked by gateways alone.
    """
    settings = store.settings

    async def make() -> int:
        prover = ProverProcess(settings.srs_file)
        try:
            parts = build_applicability(
                settings,
                Telemetry(),
                database=store.database,
                tenants=_directory(store),
                prover=prover,
                stater=None,
                clock=store.clock,
                random=store.random,
            )
            return await parts.missing.make(tenant, request)
        finally:
            await prover.close()

    return asyncio.run(make())


def _pool_keys(store: Opened) -> PoolKeys | None:
    pool = store.database.read_now(find_pool)
    if pool is None:
        return None
    context = asyncio.run(_directory(store).get(pool))
    return PoolKeys(pool, context.pseudonym_key, context.open_with, context)


def _directory(store: Opened) -> TenantDirectory:
    settings = store.settings
    return TenantDirectory(
        store.database,
        store.provider,
        clock=store.clock,
        random=store.random,
        keep_s=settings.tenant_cache_s,
        tenants_max=settings.tenant_cache_max,
    )


def _open_keys(store: Opened, tenant: TenantId) -> tuple[bytes, bytes, KeyOfEpoch]:
    wrapped = store.database.read_now(lambda connection: DataKeyRepository(connection, tenant).list_all())
    if not wrapped:
        raise UnsealError("the tenant was erased: its keys are destroyed, and nothing of it can be exported")
    ring = DataKeyRing(store.provider, lambda _tenant: wrapped)
    secret = ring.for_epoch(tenant, min(key.epoch for key in wrapped)).secret
    pseudonym_key, hit_salt_key = (derive_tenant_key(secret, purpose, tenant) for purpose in ("pseudonym", "hit-salt"))
    return pseudonym_key, hit_salt_key, lambda epoch: ring.for_epoch(tenant, epoch)


def open_log_storage(store: Opened) -> LogStorage:
    """Return the folder of tiles beside the database."""
    return DirectoryStorage(store.folder.log)


def advance_log(store: Opened) -> Callable[[], None]:
    """Return what steps the log once where no gateway does; beside one it does nothing, for that holds the lease."""
    log_key = store.database.read_now(get_log_key)

    def advance() -> None:
        sequencer = build_sequencer(
            store.settings,
            DirectTransactions(store.database),
            open_log_storage(store),
            log_key=log_key,
            clock=store.clock,
            random=store.random,
        )
        if sequencer is not None and sequencer.step().leads:
            sequencer.release()

    return advance
