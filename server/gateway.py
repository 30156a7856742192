"""The running parts of one process: made, started in their order, and stopped in the opposite one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from crypto.errors import Error
from crypto.note import VerifierKey
from server.api.authentication import Authenticator
from server.api.limits import RequestLimits
from server.api.state import AppState
from server.audit.jobs import ExportJobs
from server.audit.proof_files import ProofFiles
from server.datafolder import DataFolder
from server.embedding.async_embedder import AsyncEmbedder
from server.erasing import reapply_erasures
from server.erasures import Erasures
from server.index.partitions import PartitionLimits, Partitions
from server.log.build import build_log_service
from server.log.high_water import HighWater
from server.log.keys import ensure_log_key
from server.log.storage import DirectoryStorage
from server.outside import Outside
from server.reuse.accounting import Accounting
from server.reuse.budget import TokenBudget
from server.reuse.computing import Computer, ComputerParts
from server.reuse.engine import ReuseEngine
from server.reuse.eviction import Totals
from server.reuse.exact import ExactTier
from server.reuse.flights import Flights
from server.reuse.follower import Follower
from server.reuse.hit_journal import HitJournal
from server.reuse.labelling import Labeller
from server.reuse.labels import EmbeddingJudge
from server.reuse.models import ModelRegistry
from server.reuse.near import NearTier
from server.reuse.opening import EntryOpener
from server.reuse.proof_writing import ProofWriter
from server.reuse.quarantine import Quarantine
from server.reuse.receipt_making import ReceiptMaker
from server.reuse.receipts import ReceiptChecker
from server.reuse.recorder import Recorder
from server.reuse.reporting import Reporter
from server.reuse.storing import Storer
from server.reuse.sweeper import Sweeper
from server.reuse.tenant_directory import TenantDirectory
from server.reuse.vectors import VectorReader
from server.settings import Settings
from server.standing import note_signer
from server.store.database import Database
from server.store.platform import PlatformRepository
from server.telemetry import Telemetry
from server.upstream.directory import UpstreamDirectory
from tenants.identifiers import TenantId

log = structlog.get_logger()

UPSTREAM_REFRESH_S: Final = 10.0
UPSTREAM_START_S: Final = 5.0
EMBEDDER_META: Final = "embedder"


class Gateway:
    """One process's parts, wired from settings and what it is given from outside."""

    def __init__(self, settings: Settings, outside: Outside, telemetry: Telemetry) -> None:
        self._settings = settings
        self._outside = outside
        self._telemetry = telemetry
        self._tasks: list[asyncio.Task[None]] = []
        clock = outside.clock
        self.database = Database(settings.database, on_fatal=outside.on_fatal)
        # Before anything is signed or logged: whose log it is, and that our own key is known to it.
        log_key = self.database.write_now(self._prepare_proofs)
        self.erasures = Erasures(DataFolder(settings.data).erasures_file)
        reapply_erasures(
            self.database,
            self.erasures,
            provider=outside.key_provider,
            now_ms=clock.now_ms(),
            random=outside.random,
        )
        self.embedder = _embedder(settings, outside, telemetry)
        self.tenants = TenantDirectory(
            self.database,
            outside.key_provider,
            clock=clock,
            random=outside.random,
            keep_s=settings.tenant_cache_s,
            tenants_max=settings.tenant_cache_max,
        )
        self.partitions = _partitions(settings, outside, self.database, self.tenants)
        self.upstreams = UpstreamDirectory(outside.build_upstream)
        self.models = ModelRegistry(self.database, self.upstreams, clock, outside.random)
        self.recorder = Recorder(
            self.database, telemetry, flush_s=settings.record_flush_s, queue_max=settings.record_queue_max
        )
        self.totals = Totals(self.database, telemetry, clock)
        self.authenticator = Authenticator(
            self.database, outside.pepper, clock, keep_s=settings.auth_cache_s, keys_max=settings.auth_cache_max
        )
        self.follower = Follower(self.database, self.partitions, self.tenants, clock, on_change=self._forget_tenant)
        self.flights = Flights(flights_max=settings.flights_max, waiters_max=settings.flight_waiters_max)
        self.sweeper = Sweeper(self.database, clock)
        self.high_water = HighWater(quorum=settings.log_witness_quorum)
        self.log = build_log_service(
            settings,
            self.database,
            DirectoryStorage(DataFolder(settings.data).log),
            self.high_water,
            log_key=log_key,
            clock=clock,
            random=outside.random,
            telemetry=telemetry,
        )
        self.export_jobs = ExportJobs(
            self.database,
            self.log.storage,
            DataFolder(settings.data).exports,
            clock=clock,
            random=outside.random,
        )
        proofs = ProofWriter(clock, outside.random)
        self.journal = HitJournal(
            self.database,
            proofs,
            telemetry,
            clock,
            flush_s=settings.record_flush_s,
            queue_max=settings.hit_queue_max,
        )
        self.storer = Storer(
            self.database,
            self.totals,
            self.partitions,
            proofs,
            embedder_digest=outside.embedder.digest,
            clock=clock,
            random=outside.random,
        )
        self.quarantine = Quarantine(self.database, telemetry, clock)
        self.opener = EntryOpener(self.tenants, self.quarantine, telemetry)
        self.labeller = Labeller(
            self.database,
            self.recorder,
            EmbeddingJudge(lambda texts: outside.embedder.embed(texts)),
            telemetry,
            clock,
            queue_max=settings.label_queue_max,
        )
        self.state = self._state(self._engine())

    def _engine(self) -> ReuseEngine:
        """Wire the lookup flow: both tiers, the computer behind them, and what reports on it."""
        outside, telemetry, clock = self._outside, self._telemetry, self._outside.clock
        digest = outside.embedder.digest
        quarantine = self.quarantine
        checker = ReceiptChecker(self.database, kept_max=self._settings.receipt_cache_max)
        maker = ReceiptMaker(outside.signer, clock, outside.random)
        near = NearTier(
            self.database,
            self.partitions,
            self.embedder,
            telemetry,
            clock,
            covers=outside.embedder.covers,
            opener=self.opener,
            receipts=checker,
            quarantine=quarantine,
        )
        accounting = Accounting(self.recorder, telemetry, clock, outside.random)
        reporter = Reporter(accounting, self.journal, self.high_water.state_of, clock, outside.random)
        exact = ExactTier(self.database, self.opener, checker, quarantine, telemetry, clock)
        computer = Computer(
            ComputerParts(
                exact=exact,
                models=self.models,
                storer=self.storer,
                receipts=maker,
                flights=self.flights,
                labeller=self.labeller,
                accounting=accounting,
                reporter=reporter,
                budget=TokenBudget(),
                telemetry=telemetry,
                clock=clock,
                embedder_digest=digest,
            )
        )
        return ReuseEngine(
            tenants=self.tenants,
            models=self.models,
            exact=exact,
            near=near,
            computer=computer,
            storer=self.storer,
            receipts=maker,
            quarantine=quarantine,
            reporter=reporter,
            accounting=accounting,
            clock=clock,
            embedder_digest=digest,
        )

    def _state(self, engine: ReuseEngine) -> AppState:
        """Collect what the endpoints may use."""
        outside = self._outside
        return AppState(
            settings=self._settings,
            database=self.database,
            authenticator=self.authenticator,
            limits=RequestLimits(wait_s=self._settings.queue_wait_s),
            engine=engine,
            models=self.models,
            tenants=self.tenants,
            storer=self.storer,
            embedder=self.embedder,
            partitions=self.partitions,
            recorder=self.recorder,
            totals=self.totals,
            opener=self.opener,
            labeller=self.labeller,
            hit_journal=self.journal,
            high_water=self.high_water,
            log_storage=self.log.storage,
            gateway_signer=outside.signer,
            erasures=self.erasures,
            proof_files=ProofFiles(self.database, self.log.storage),
            export_jobs=self.export_jobs,
            telemetry=self._telemetry,
            key_provider=outside.key_provider,
            pepper=outside.pepper,
            clock=outside.clock,
            random=outside.random,
        )

    async def start(self) -> None:
        """Read the platform's set-up and start what runs beside requests."""
        await self._note_embedder()
        await self.log.start()
        await self.follower.start()
        await self.models.refresh()
        # An upstream that does not answer keeps its last known versions; nobody waits for it to start.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(UPSTREAM_START_S):
                await self.models.ask_upstreams()
        await self.export_jobs.recover()
        self._run(self.recorder.run())
        self._run(self.journal.run())
        self._run(self._run_log())
        self._run(self.follower.run(self._settings.feed_poll_s))
        self._run(self.labeller.run())
        self._run(self.sweeper.run(self._settings.sweep_interval_s))
        self._run(self._ask_upstreams())

    async def stop(self) -> None:
        """Let requests in the air land, write down what waits, and close."""
        await self.flights.drain(self._settings.drain_s)
        await self.export_jobs.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.recorder.flush()
        await self.journal.flush()
        # The last checkpoint is over all that was written above.
        await self.log.stop()
        await self.upstreams.close()
        await self.embedder.close()
        await self.partitions.close()
        await asyncio.to_thread(self.database.close)

    def _prepare_proofs(self, connection: Connection) -> VerifierKey:
        """Make sure that there is a log to write to, and that our own key is known to it before it signs anything."""
        folder, outside, now_ms = DataFolder(self._settings.data), self._outside, self._outside.clock.now_ms()
        path, signer = folder.log_signing_key_file, outside.signer
        log_key = ensure_log_key(connection, path, outside.random, origin=self._settings.log_origin)
        name = f"gateway {signer.key_id[:16]}"
        note_signer(connection, signer.public_key, "gateway", name, now_ms=now_ms, random=outside.random)
        return log_key

    async def _note_embedder(self) -> None:
        """Say so when the embedder is another than last time: its vectors never meet the old ones, which expire unseen."""

        def note(connection: Connection) -> str | None:
            platform = PlatformRepository(connection)
            before = platform.get_meta(EMBEDDER_META)
            if before != self.embedder.digest:
                platform.set_meta(EMBEDDER_META, self.embedder.digest)
            return before

        before = await self.database.write(note)
        if before is not None and before != self.embedder.digest:
            log.warning("embedder_changed", before=before, now=self.embedder.digest)

    def _forget_tenant(self, tenant: TenantId) -> None:
        self.totals.forget(tenant)
        self.authenticator.forget_all()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(_note_end)
        self._tasks.append(task)

    async def _run_log(self) -> None:
        # How far the log is was read at the start.
        await asyncio.sleep(self._settings.log_interval_s)
        await self.log.run()

    async def _ask_upstreams(self) -> None:
        while True:
            await asyncio.sleep(UPSTREAM_REFRESH_S)
            with contextlib.suppress(Error):
                await self.models.refresh()
                await self.models.ask_upstreams()


def _note_end(task: asyncio.Task[None]) -> None:
    """Say so when something beside the requests ended by a fault of ours, for nothing else would."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("background_work_ended", error=type(error).__name__, exc_info=error)


def _embedder(settings: Settings, outside: Outside, telemetry: Telemetry) -> AsyncEmbedder:
    return AsyncEmbedder(
        outside.embedder,
        batch_max=settings.embed_batch_max,
        queue_max=settings.embed_queue_max,
        timeout_s=settings.embed_timeout_s,
        observe=lambda report: telemetry.embed_batch.observe(report.size),
    )


def _partitions(settings: Settings, outside: Outside, database: Database, tenants: TenantDirectory) -> Partitions:
    vectors = VectorReader(
        database,
        tenants,
        outside.clock,
        embedder_digest=outside.embedder.digest,
        dimension=outside.embedder.dimension,
    )
    return Partitions(
        vectors.load_partition,
        dimension=outside.embedder.dimension,
        clock=outside.clock,
        limits=PartitionLimits(
            bytes_max=settings.index_bytes_max,
            load_wait_s=settings.index_load_timeout_s,
            threads=settings.index_threads,
        ),
        row_loader=vectors.load_rows,
    )
