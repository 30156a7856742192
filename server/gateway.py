"""The running parts of one process: made, started in their order, and stopped in the opposite one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from crypto.applicability.suites import SUITES
from crypto.errors import Error
from server.api.authentication import Authenticator
from server.api.limits import RequestLimits
from server.api.state import AppState
from server.applicability.build import build_applicability
from server.audit.applicability_files import ApplicabilityFiles
from server.outside import Outside
from server.pooling import Pooling
from server.prover.process import ProverProcess
from server.proving import Proving
from server.reuse.accounting import Accounting
from server.reuse.embedding_statements import EmbeddingStatements
from server.reuse.embedding_subjects import SubjectFinder
from server.reuse.embedding_terms import OwnStatements, RunnerStatements
from server.reuse.engine import ReuseEngine
from server.reuse.eviction import Totals
from server.reuse.flights import Flights
from server.reuse.follower import Follower
from server.reuse.labelling import Labeller
from server.reuse.labels import EmbeddingJudge
from server.reuse.models import ModelRegistry
from server.reuse.opening import EntryOpener
from server.reuse.quarantine import Quarantine
from server.reuse.recorder import Recorder
from server.reuse.retention import QueryVectorRetention, Retention
from server.reuse.storing import Storer
from server.reuse.sweeper import Sweeper
from server.reuse.tenant_directory import TenantDirectory
from server.reusing import build_engine
from server.searching import build_embedder, build_partitions
from server.settings import Settings
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
        self.proving = Proving(settings, outside, telemetry, self.database)
        self.embedder = build_embedder(settings, outside, telemetry)
        self.tenants = TenantDirectory(
            self.database,
            outside.key_provider,
            clock=clock,
            random=outside.random,
            keep_s=settings.tenant_cache_s,
            tenants_max=settings.tenant_cache_max,
        )
        self.partitions = build_partitions(settings, outside, self.database, self.tenants)
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
        self.sweeper = Sweeper(
            self.database,
            clock,
            Retention(self.database, clock, kept_s=settings.audit_retention_s),
            QueryVectorRetention(self.database, clock),
        )
        self.storer = Storer(
            self.database,
            self.totals,
            self.partitions,
            self.proving.writer,
            embedder_digest=outside.embedder.digest,
            clock=clock,
            random=outside.random,
        )
        self.quarantine = Quarantine(self.database, telemetry, clock)
        self.opener = EntryOpener(self.tenants, self.quarantine, telemetry)
        judge = EmbeddingJudge(lambda texts: outside.embedder.embed(texts))
        self.labeller = Labeller(
            self.database,
            self.recorder,
            judge,
            telemetry,
            clock,
            queue_max=settings.label_queue_max,
        )
        self.prover = ProverProcess(settings.srs_file)
        self.embedding_statements = self._embedding_statements()
        self.applicability = build_applicability(
            settings,
            telemetry,
            database=self.database,
            tenants=self.tenants,
            prover=self.prover,
            stater=self.embedding_statements,
            clock=clock,
            random=outside.random,
        )
        self.accounting = Accounting(self.recorder, telemetry, clock, outside.random)
        self.pooling = self._pooling(judge)
        self.state = self._state(self._engine())

    def _pooling(self, judge: EmbeddingJudge) -> Pooling:
        """Wire what shares answers between tenants."""
        return Pooling(
            self._settings,
            self._outside,
            self._telemetry,
            database=self.database,
            tenants=self.tenants,
            partitions=self.partitions,
            models=self.models,
            proving=self.proving,
            opener=self.opener,
            quarantine=self.quarantine,
            judge=judge,
            price=self.accounting.price,
        )

    def _engine(self) -> ReuseEngine:
        """Wire what answers requests."""
        return build_engine(
            self._settings,
            self._outside,
            self._telemetry,
            database=self.database,
            tenants=self.tenants,
            partitions=self.partitions,
            models=self.models,
            embedder=self.embedder,
            proving=self.proving,
            pooling=self.pooling,
            opener=self.opener,
            quarantine=self.quarantine,
            storer=self.storer,
            flights=self.flights,
            labeller=self.labeller,
            accounting=self.accounting,
        )

    def _embedding_statements(self) -> EmbeddingStatements:
        """Wire what has the vectors of entries stated: by runners, or by the gateway itself."""
        outside, settings = self._outside, self._settings
        commit, digest = self.prover.commit, outside.embedder.digest
        return EmbeddingStatements(
            self.database,
            SubjectFinder(
                self.database, self.tenants, self.models, self.opener, self.proving.checker, embedder_digest=digest
            ),
            RunnerStatements(commit, outside.clock, embedder_digest=digest),
            OwnStatements(outside.signer, commit, outside.clock, outside.random, embedder_digest=digest),
            self._telemetry,
            outside.clock,
            outside.random,
            batch_max=settings.embedding_statement_batch_max,
            interval_s=settings.embedding_statement_interval_s,
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
            hit_journal=self.proving.journal,
            high_water=self.proving.high_water,
            log_storage=self.proving.log.storage,
            gateway_signer=outside.signer,
            erasures=self.proving.erasures,
            proof_files=self.proving.proof_files,
            applicability=self.applicability.service,
            applicability_files=ApplicabilityFiles(self.database, self.tenants, self.proving.proof_files),
            missing_proofs=self.applicability.missing,
            export_jobs=self.proving.exports,
            telemetry=self._telemetry,
            key_provider=outside.key_provider,
            pepper=outside.pepper,
            clock=outside.clock,
            random=outside.random,
        )

    async def start(self) -> None:
        """Read the platform's set-up and start what runs beside requests."""
        await self._note_embedder()
        for work in await self.proving.start():
            self._run(work)
        await self.follower.start()
        await self.models.refresh()
        # An upstream that does not answer keeps its last known versions; nobody waits for it to start.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(UPSTREAM_START_S):
                await self.models.ask_upstreams()
        self._run(self.recorder.run())
        self._run(self.follower.run(self._settings.feed_poll_s))
        self._run(self.labeller.run())
        self._run(self.embedding_statements.run())
        self._run(self.applicability.background.run())
        for work in self.pooling.start():
            self._run(work)
        self._run(self.sweeper.run(self._settings.sweep_interval_s))
        self._run(self._ask_upstreams())

    async def stop(self) -> None:
        """Let requests in the air land, write down what waits, and close."""
        await self.flights.drain(self._settings.drain_s)
        await self.proving.exports.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.prover.close()
        await self.recorder.flush()
        await self.proving.stop()
        await self.upstreams.close()
        await self.embedder.close()
        await self.partitions.close()
        await asyncio.to_thread(self.database.close)

    async def _note_embedder(self) -> None:
        """Say so when the embedder is another than last time: its vectors never meet the old ones, which expire unseen.

        And when its vectors are longer than any that proofs of hits by meaning can be about.
        """

        def note(connection: Connection) -> str | None:
            platform = PlatformRepository(connection)
            before = platform.get_meta(EMBEDDER_META)
            if before != self.embedder.digest:
                platform.set_meta(EMBEDDER_META, self.embedder.digest)
            return before

        before = await self.database.write(note)
        if before is not None and before != self.embedder.digest:
            log.warning("embedder_changed", before=before, now=self.embedder.digest)
        if self.embedder.dimension > SUITES[-1].size:
            log.warning("hits_not_provable", dimension=self.embedder.dimension, at_most=SUITES[-1].size)

    def _forget_tenant(self, tenant: TenantId) -> None:
        self.totals.forget(tenant)
        self.authenticator.forget_all()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(_note_end)
        self._tasks.append(task)

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
