"""The lookup flow of one gateway, wired: the tiers, the computer behind them, and what reports on it."""

from __future__ import annotations

from server.embedding.async_embedder import AsyncEmbedder
from server.index.partitions import Partitions
from server.outside import Outside
from server.pool.sharing import ShareLabels
from server.pooling import Pooling
from server.proving import Proving
from server.reuse.accounting import Accounting
from server.reuse.budget import TokenBudget
from server.reuse.computing import Computer, ComputerParts
from server.reuse.engine import ReuseEngine
from server.reuse.exact import ExactTier
from server.reuse.flights import Flights
from server.reuse.labelling import Labeller
from server.reuse.models import ModelRegistry
from server.reuse.near import NearTier
from server.reuse.opening import EntryOpener
from server.reuse.quarantine import Quarantine
from server.reuse.release_clock import ReleaseClock
from server.reuse.reporting import Reporter
from server.reuse.sight import Asked
from server.reuse.storing import Storer
from server.reuse.tenant_directory import TenantDirectory
from server.settings import Settings
from server.store.database import Database
from server.telemetry import Telemetry


def build_engine(
    settings: Settings,
    outside: Outside,
    telemetry: Telemetry,
    *,
    database: Database,
    tenants: TenantDirectory,
    partitions: Partitions,
    models: ModelRegistry,
    embedder: AsyncEmbedder,
    proving: Proving,
    pooling: Pooling,
    opener: EntryOpener,
    quarantine: Quarantine,
    storer: Storer,
    flights: Flights,
    labeller: Labeller,
    accounting: Accounting,
) -> ReuseEngine:
    """Wire what answers requests."""
    clock, digest = outside.clock, outside.embedder.digest
    near = NearTier(
        database, partitions, embedder, telemetry, clock,
        covers=outside.embedder.covers, opener=opener, receipts=proving.checker, quarantine=quarantine,
    )  # fmt: skip
    reporter = Reporter(accounting, proving.journal, proving.high_water.state_of, clock, outside.random)
    exact = ExactTier(database, opener, proving.checker, quarantine, telemetry, clock)
    labels = _labels(outside, database, pooling)
    release_clock = _release_clock(settings, outside)
    computer = Computer(
        ComputerParts(
            exact=exact,
            models=models,
            storer=storer,
            receipts=proving.maker,
            labels=labels,
            flights=flights,
            labeller=labeller,
            accounting=accounting,
            reporter=reporter,
            budget=TokenBudget(),
            release_clock=release_clock,
            telemetry=telemetry,
            clock=clock,
            embedder_digest=digest,
        )
    )
    return ReuseEngine(
        tenants=tenants,
        models=models,
        exact=exact,
        near=near,
        pool=pooling.tier,
        votes=None if pooling.parts is None else pooling.parts.votes,
        labels=labels,
        release_clock=release_clock,
        computer=computer,
        storer=storer,
        receipts=proving.maker,
        quarantine=quarantine,
        reporter=reporter,
        accounting=accounting,
        clock=clock,
        embedder_digest=digest,
    )


def _release_clock(settings: Settings, outside: Outside) -> ReleaseClock:
    """Wire the clock by which the pool's hits leave."""
    return ReleaseClock(
        outside.clock,
        outside.random,
        step_ms=settings.pool_clock_step_ms,
        floor_ms=settings.pool_clock_floor_ms,
        tenants_max=settings.tenant_cache_max,
    )


def _labels(outside: Outside, database: Database, pooling: Pooling) -> ShareLabels:
    """Wire what labels entries that their tenants publish."""
    is_poolable = _is_never_poolable if pooling.parts is None else pooling.parts.votes.is_poolable
    return ShareLabels(database, outside.clock, outside.random, is_poolable=is_poolable)


def _is_never_poolable(_asked: Asked) -> bool:
    """Stand in where the pool is off: nothing can be published there."""
    return False
