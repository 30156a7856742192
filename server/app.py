"""The only place that wires: settings in, a running gateway out. Tests pass their own clock, embedder or upstreams."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog
from fastapi import FastAPI
from sqlalchemy import Connection
from starlette.routing import Route

from crypto.errors import Error
from server.api import admin, admin_access, cache, chat, health, openai, unseal
from server.api.authentication import Authenticator
from server.api.contract import set_contract
from server.api.faults import add_fault_handlers
from server.api.limits import RequestLimits
from server.api.state import AppState
from server.clock import SystemClock, SystemRandom
from server.embedding.async_embedder import AsyncEmbedder
from server.embedding.select import CoveringEmbedder
from server.index.partitions import PartitionLimits, Partitions
from server.middleware import Edge
from server.ports import Clock, RandomSource
from server.reuse.accounting import Accounting
from server.reuse.budget import TokenBudget
from server.reuse.computing import Computer, ComputerParts
from server.reuse.engine import ReuseEngine
from server.reuse.eviction import Totals
from server.reuse.exact import ExactTier
from server.reuse.flights import Flights
from server.reuse.follower import Follower
from server.reuse.labelling import Labeller
from server.reuse.labels import EmbeddingJudge
from server.reuse.models import ModelRegistry
from server.reuse.near import NearTier
from server.reuse.quarantine import Quarantine
from server.reuse.recorder import Recorder
from server.reuse.reporting import Reporter
from server.reuse.storing import Storer
from server.reuse.sweeper import Sweeper
from server.reuse.tenant_directory import TenantDirectory
from server.reuse.vectors import VectorReader
from server.settings import Settings
from server.store.database import Database
from server.store.platform import PlatformRepository
from server.telemetry import Telemetry
from server.upstream.directory import BuildUpstream, UpstreamDirectory
from tenants.identifiers import TenantId
from tenants.key_providers import KeyProvider

log = structlog.get_logger()

UPSTREAM_REFRESH_S = 10.0
EMBEDDER_META = "embedder"
ROUTERS = (chat.router, openai.router, cache.router, admin.router, admin_access.router, unseal.router, health.router)


@dataclass(frozen=True, slots=True)
class Outside:
    """What a gateway is given from outside: keys, models, and the ports that tests replace."""

    key_provider: KeyProvider
    pepper: bytes
    embedder: CoveringEmbedder
    build_upstream: BuildUpstream
    clock: Clock = field(default_factory=SystemClock)
    random: RandomSource = field(default_factory=SystemRandom)
    on_fatal: Callable[[BaseException], None] | None = None


def create_app(settings: Settings, outside: Outside) -> Edge:
    """Wire a gateway; its parts start and stop with the ASGI lifespan."""
    telemetry = Telemetry()
    app = FastAPI(
        title="hitproof",
        version="1",
        description="A cache for language-model inference whose every hit carries its proof.",
        lifespan=_lifespan(settings, outside, telemetry),
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    add_fault_handlers(app, ROUTERS)
    set_contract(app)
    direct = {("POST", "/v1/chat/completions"): chat.create_chat_completion}
    return Edge(
        app,
        settings=settings,
        telemetry=telemetry,
        random=outside.random,
        direct=direct,
        with_parameters=_parameter_prefixes(),
    )


def _parameter_prefixes() -> tuple[bytes, ...]:
    """Return the spelled-out beginnings of the paths that end in a parameter."""
    paths = {route.path for router in ROUTERS for route in router.routes if isinstance(route, Route)}
    return tuple(sorted({path.partition("{")[0].encode() for path in paths if "{" in path}))


def _lifespan(
    settings: Settings, outside: Outside, telemetry: Telemetry
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        gateway = Gateway(settings, outside, telemetry)
        await gateway.start()
        app.state.parts = gateway.state
        app.state.gateway = gateway
        try:
            yield
        finally:
            await gateway.stop()

    return lifespan


class Gateway:
    """The running parts of one process: what is started, in which order, and stopped in the opposite one."""

    def __init__(self, settings: Settings, outside: Outside, telemetry: Telemetry) -> None:
        self._settings = settings
        clock, random = outside.clock, outside.random
        self.database = Database(settings.database, on_fatal=outside.on_fatal)
        self.embedder = AsyncEmbedder(
            outside.embedder,
            batch_max=settings.embed_batch_max,
            queue_max=settings.embed_queue_max,
            timeout_s=settings.embed_timeout_s,
            observe=lambda report: telemetry.embed_batch.observe(report.size),
        )
        self.tenants = TenantDirectory(
            self.database,
            outside.key_provider,
            clock=clock,
            random=random,
            keep_s=settings.tenant_cache_s,
            tenants_max=settings.tenant_cache_max,
        )
        digest = outside.embedder.digest
        vectors = VectorReader(
            self.database, self.tenants, clock, embedder_digest=digest, dimension=outside.embedder.dimension
        )
        self.partitions = Partitions(
            vectors.load_partition,
            dimension=outside.embedder.dimension,
            clock=clock,
            limits=PartitionLimits(
                bytes_max=settings.index_bytes_max,
                load_wait_s=settings.index_load_timeout_s,
                threads=settings.index_threads,
            ),
            row_loader=vectors.load_rows,
        )
        self.upstreams = UpstreamDirectory(outside.build_upstream)
        self.models = ModelRegistry(self.database, self.upstreams, clock)
        self.recorder = Recorder(
            self.database, telemetry, flush_s=settings.record_flush_s, queue_max=settings.record_queue_max
        )
        self.totals = Totals(self.database, telemetry, clock)
        self.authenticator = Authenticator(
            self.database, outside.pepper, clock, keep_s=settings.auth_cache_s, keys_max=settings.auth_cache_max
        )
        self.follower = Follower(self.database, self.partitions, self.tenants, clock, on_change=self._forget_tenant)
        storer = Storer(self.database, self.totals, self.partitions, embedder_digest=digest, clock=clock, random=random)
        self.labeller = Labeller(
            self.database,
            self.recorder,
            EmbeddingJudge(lambda texts: outside.embedder.embed(texts)),
            telemetry,
            clock,
            queue_max=settings.label_queue_max,
        )
        self.flights = Flights(flights_max=settings.flights_max, waiters_max=settings.flight_waiters_max)
        self.sweeper = Sweeper(self.database, clock)
        quarantine = Quarantine(self.database, telemetry, clock)
        near = NearTier(
            self.database,
            self.partitions,
            self.embedder,
            telemetry,
            clock,
            covers=outside.embedder.covers,
            quarantine=quarantine,
        )
        accounting = Accounting(self.recorder, telemetry, clock, random)
        reporter = Reporter(accounting, clock, random)
        exact = ExactTier(self.database, quarantine, telemetry, clock)
        computer = Computer(
            ComputerParts(
                exact=exact,
                models=self.models,
                storer=storer,
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
        engine = ReuseEngine(
            tenants=self.tenants,
            models=self.models,
            exact=exact,
            near=near,
            computer=computer,
            storer=storer,
            quarantine=quarantine,
            reporter=reporter,
            accounting=accounting,
            clock=clock,
            embedder_digest=digest,
        )
        self.state = AppState(
            settings=settings,
            database=self.database,
            authenticator=self.authenticator,
            limits=RequestLimits(wait_s=settings.queue_wait_s),
            engine=engine,
            models=self.models,
            tenants=self.tenants,
            storer=storer,
            embedder=self.embedder,
            partitions=self.partitions,
            recorder=self.recorder,
            totals=self.totals,
            labeller=self.labeller,
            telemetry=telemetry,
            key_provider=outside.key_provider,
            pepper=outside.pepper,
            clock=clock,
            random=random,
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Read the platform's set-up and start what runs beside requests."""
        await self._note_embedder()
        await self.follower.start()
        await self.models.refresh()
        await self.models.ask_upstreams()
        self._run(self.recorder.run())
        self._run(self.follower.run(self._settings.feed_poll_s))
        self._run(self.labeller.run())
        self._run(self.sweeper.run(self._settings.sweep_interval_s))
        self._run(self._ask_upstreams())

    async def stop(self) -> None:
        """Let requests in the air land, write down what waits, and close."""
        await self.flights.drain(self._settings.drain_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.recorder.flush()
        await self.upstreams.close()
        await self.embedder.close()
        await self.partitions.close()
        await asyncio.to_thread(self.database.close)

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
        self._tasks.append(asyncio.create_task(work))

    async def _ask_upstreams(self) -> None:
        while True:
            await asyncio.sleep(UPSTREAM_REFRESH_S)
            with contextlib.suppress(Error):
                await self.models.refresh()
                await self.models.ask_upstreams()
