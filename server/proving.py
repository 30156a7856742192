"""What one gateway proves its answers with, wired: its place in the log, receipts, the journal of hits, exports."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog
from sqlalchemy import Connection

from crypto.note import VerifierKey
from server.audit.jobs import ExportJobs
from server.audit.proof_files import ProofFiles
from server.datafolder import DataFolder, DataFolderError
from server.erasing import copy_tombstones, reapply_erasures
from server.erasures import Erasures
from server.log.build import build_log_service
from server.log.high_water import HighWater
from server.log.keys import ensure_log_key
from server.log.storage import DirectoryStorage
from server.outside import Outside
from server.reuse.hit_journal import HitJournal
from server.reuse.proof_writing import ProofWriter
from server.reuse.receipt_making import ReceiptMaker
from server.reuse.receipts import ReceiptChecker
from server.settings import Settings
from server.standing import note_signer
from server.store.database import Database
from server.store.errors import StoreError
from server.store.platform import PlatformRepository
from server.telemetry import Telemetry

log = structlog.get_logger()


class Proving:
    """Makes the parts, and runs and ends those that do something by themselves."""

    def __init__(self, settings: Settings, outside: Outside, telemetry: Telemetry, database: Database) -> None:
        """Make sure, before anything is signed or served, whose log it is and that no erased tenant came back."""
        folder, clock, random = DataFolder(settings.data), outside.clock, outside.random
        self._settings = settings
        self._database = database
        self._clock = clock
        log_key = database.write_now(lambda connection: _prepare(connection, settings, outside))
        self.erasures = Erasures(folder.erasures_file)
        reapply_erasures(database, self.erasures, provider=outside.key_provider, now_ms=clock.now_ms(), random=random)
        self.high_water = HighWater(quorum=settings.log_witness_quorum)
        self.log = build_log_service(
            settings,
            database,
            DirectoryStorage(folder.log),
            self.high_water,
            log_key=log_key,
            clock=clock,
            random=random,
            telemetry=telemetry,
        )
        self.writer = ProofWriter(clock, random)
        self.journal = HitJournal(
            database,
            self.writer,
            telemetry,
            clock,
            random,
            flush_s=settings.record_flush_s,
            queue_max=settings.hit_queue_max,
        )
        self.maker = ReceiptMaker(outside.signer, clock, random)
        self.checker = ReceiptChecker(database, kept_max=settings.receipt_cache_max)
        quorum = settings.log_witness_quorum
        self.exports = ExportJobs(database, self.log.storage, folder.exports, quorum=quorum, clock=clock, random=random)
        self.proof_files = ProofFiles(database, self.log.storage, quorum=quorum)

    async def start(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """Read how far the log is; return what is to run beside requests."""
        await self.log.start()
        await self.exports.recover()
        await self.copy_tombstones()
        every_s = self._settings.sweep_interval_s
        return self.journal.run(), self._run_log(), self.exports.run(every_s), self._copy_tombstones(every_s)

    async def copy_tombstones(self) -> None:
        """Note beside this machine's own files which tenants were erased on others; raises `StoreError`."""
        erased = await self._database.read(lambda connection: PlatformRepository(connection).list_erased())
        copied = await asyncio.to_thread(copy_tombstones, erased, self.erasures, now_ms=self._clock.now_ms())
        if copied:
            log.info("erasures_copied", count=len(copied))

    async def _copy_tombstones(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self.copy_tombstones()
            except (StoreError, DataFolderError) as error:
                log.warning("erasures_not_copied", error=type(error).__name__)

    async def stop(self) -> None:
        """Write down the last hits and let the last checkpoint be over all that was written; call it last."""
        await self.journal.flush()
        try:
            await self.log.stop()
        except Exception as error:  # an edge: the rest must close, and what is not in the log the next start puts there
            log.error("log_not_ended", error=type(error).__name__, exc_info=error)

    async def _run_log(self) -> None:
        # How far the log is was read at the start.
        await asyncio.sleep(self._settings.log_interval_s)
        await self.log.run()


def _prepare(connection: Connection, settings: Settings, outside: Outside) -> VerifierKey:
    """Make sure that there is a log to write to, and that our own key is known to it before it signs anything."""
    path, signer = DataFolder(settings.data).log_signing_key_file, outside.signer
    log_key = ensure_log_key(connection, path, outside.random, origin=settings.log_origin)
    name, now_ms = f"gateway {signer.key_id[:16]}", outside.clock.now_ms()
    note_signer(connection, signer.public_key, "gateway", name, now_ms=now_ms, random=outside.random)
    return log_key
