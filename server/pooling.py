"""The pool of one gateway, wired: what votes, releases and answers beside requests, and what reads for them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from server.index.partitions import Partitions
from server.outside import Outside
from server.pool.build import Embedding, PoolNeeds, PoolParts, build_pool, open_pool
from server.ports import JsonObject
from server.proving import Proving
from server.reuse.alias_book import AliasBook, AliasReader
from server.reuse.labels import AnswerJudge
from server.reuse.models import ModelRegistry
from server.reuse.opening import EntryOpener
from server.reuse.pool_tier import PoolTier
from server.reuse.quarantine import Quarantine
from server.reuse.tenant_directory import TenantDirectory
from server.settings import Settings
from server.store.database import Database
from server.store.records import ModelRecord
from server.telemetry import Telemetry

#: Aliases of the pool's entries that are kept opened, about 500 bytes each.
ALIASES_KEPT_MAX: Final = 100_000


class Pooling:
    """The pool's parts of one gateway; *parts* is None where the pool is off, and then nothing of it runs."""

    def __init__(
        self,
        settings: Settings,
        outside: Outside,
        telemetry: Telemetry,
        *,
        database: Database,
        tenants: TenantDirectory,
        partitions: Partitions,
        models: ModelRegistry,
        proving: Proving,
        opener: EntryOpener,
        quarantine: Quarantine,
        judge: AnswerJudge,
        price: Callable[[ModelRecord, JsonObject], tuple[int, int, int]],
    ) -> None:
        """Find or make the pool's tenant, and wire what it runs on; raises `TermsError` for impossible terms."""
        self.parts: PoolParts | None = None
        self.tier: PoolTier | None = None
        tenant = open_pool(settings, database, outside.key_provider, clock=outside.clock, random=outside.random)
        if tenant is None:
            return
        plain = outside.embedder
        needs = PoolNeeds(
            database=database,
            tenants=tenants,
            provider=outside.key_provider,
            partitions=partitions,
            models=models,
            proofs=proving.writer,
            receipts=proving.maker,
            judge=judge,
            price=price,
            embedding=Embedding(plain.digest, plain.dimension, plain.covers, plain.embed),
            telemetry=telemetry,
            clock=outside.clock,
            random=outside.random,
            noise=outside.noise,
            opener=opener,
            checker=proving.checker,
        )
        self.parts = build_pool(settings, tenant, needs)
        self.tier = PoolTier(
            self.parts.pool,
            database,
            partitions,
            telemetry,
            outside.clock,
            is_poolable=self.parts.votes.is_poolable,
            book=AliasBook(AliasReader(database, opener).load, aliases_max=ALIASES_KEPT_MAX),
            opener=opener,
            receipts=proving.checker,
            quarantine=quarantine,
        )

    def start(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """Return what is to run beside requests."""
        return () if self.parts is None else (self.parts.votes.run(), self.parts.service.run())
