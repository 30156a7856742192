"""Wire the pool: what a gateway runs beside its requests, and what the command line releases with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import Connection

from privacy.noise import NoiseSampler
from server.index.partitions import Partitions
from server.pool.admission import Admission
from server.pool.aliases import AliasTrial, AliasWriter
from server.pool.anchors import Anchors
from server.pool.answering import AnswererParts, PoolAnswerer
from server.pool.asking import Asker
from server.pool.consented import Consented, ConsentParts
from server.pool.eligibility import Eligibility
from server.pool.principal import Pool, ensure_pool
from server.pool.publishing import Publisher, PublisherParts
from server.pool.release import PoolReleaser, ReleaseParts
from server.pool.restating import Restater, RestaterParts
from server.pool.service import PoolService, ServiceParts
from server.pool.storing import PoolStorer
from server.pool.terms import PoolRules, rules_of
from server.pool.votes import VoteBox, VoteRules
from server.pool.writer import ReleaseWriter
from server.ports import Clock, Float32Matrix, JsonObject, RandomSource
from server.reuse.labels import AnswerJudge
from server.reuse.models import ModelRegistry
from server.reuse.opening import EntryOpener
from server.reuse.proof_writing import ProofWriter
from server.reuse.receipt_making import ReceiptMaker
from server.reuse.receipts import ReceiptChecker
from server.reuse.tenant_directory import TenantDirectory
from server.settings import Settings
from server.store.database import Database
from server.store.records import ModelRecord
from server.telemetry import Telemetry
from tenants.errors import SealedError
from tenants.identifiers import TenantId
from tenants.key_providers import KeyProvider

log = structlog.get_logger()

HOLDER_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Embedding:
    """What turns texts into vectors: *many* gives unit rows, on a thread."""

    digest: str
    dimension: int
    covers: Callable[[str], bool]
    many: Callable[[Sequence[str]], Float32Matrix]


@dataclass(frozen=True, slots=True)
class PoolNeeds:
    """What the pool is wired from."""

    database: Database
    tenants: TenantDirectory
    provider: KeyProvider
    partitions: Partitions
    models: ModelRegistry
    proofs: ProofWriter
    receipts: ReceiptMaker
    judge: AnswerJudge
    price: Callable[[ModelRecord, JsonObject], tuple[int, int, int]]
    embedding: Embedding
    telemetry: Telemetry
    clock: Clock
    random: RandomSource
    noise: NoiseSampler
    opener: EntryOpener
    checker: ReceiptChecker


@dataclass(frozen=True, slots=True)
class PoolParts:
    """The running parts of the pool."""

    rules: PoolRules
    pool: Pool
    votes: VoteBox
    anchors: Anchors
    releaser: PoolReleaser
    answerer: PoolAnswerer
    storer: PoolStorer
    publisher: Publisher
    restater: Restater
    service: PoolService


def open_pool(
    settings: Settings, database: Database, provider: KeyProvider, *, clock: Clock, random: RandomSource
) -> TenantId | None:
    """Return the pool's tenant id, making it at the first call; None where the pool is off, or cannot be made now."""
    if not settings.pool_models:
        return None

    def ensure(connection: Connection) -> TenantId:
        return ensure_pool(connection, provider=provider, now_ms=clock.now_ms(), random=random)

    try:
        return database.write_now(ensure)
    except SealedError as error:
        # Its first data key must be wrapped; once it was, a sealed start finds the pool as it is.
        log.warning("pool_not_made", error=type(error).__name__, mend="unseal, then start again")
        return None


def build_pool(settings: Settings, tenant: TenantId, needs: PoolNeeds) -> PoolParts:
    """Wire the pool whose tenant is *tenant*; raises `TermsError` for terms that no noise keeps."""
    rules = rules_of(settings)
    pool = Pool(tenant, needs.tenants)
    embedding = needs.embedding
    anchors = Anchors(embedding.many, dimension=embedding.dimension, covers=embedding.covers)
    votes = VoteBox(
        needs.database,
        pool,
        anchors,
        needs.provider,
        embedding.many,
        needs.telemetry,
        needs.clock,
        needs.random,
        eligibility=Eligibility(frozenset(rules.models)),
        rules=VoteRules(rules.calendar, rules.terms.keys_max, rules.terms.vector_source == "dp_mean"),
        queue_max=settings.pool_vote_queue_max,
    )
    storer = PoolStorer(
        needs.database,
        needs.partitions,
        needs.proofs,
        embedder_digest=embedding.digest,
        clock=needs.clock,
        random=needs.random,
        entries_max=settings.pool_entries_max,
        ttl_s=settings.pool_ttl_s,
    )
    releaser = build_releaser(
        rules, pool, needs.database, needs.provider, embedding, needs.noise, clock=needs.clock, random=needs.random
    )
    answerer = PoolAnswerer(
        AnswererParts(
            database=needs.database,
            pool=pool,
            asker=Asker(needs.database, needs.models, needs.receipts, needs.judge),
            storer=storer,
            admission=Admission(anchors),
            embed=embedding.many,
            embedder=embedding.digest,
            price=needs.price,
            clock=needs.clock,
            random=needs.random,
        ),
        models=rules.models,
        quarantine_s=settings.pool_quarantine_s,
    )
    consented = _consented(settings, needs, votes)
    publisher = _publisher(settings, rules, pool, needs, consented)
    restater = _restater(rules, pool, needs, consented, storer)
    service = PoolService(
        ServiceParts(needs.database, pool, rules.calendar, anchors, votes, releaser, answerer, publisher, restater),
        models=rules.models,
        anchor_file=settings.pool_anchors,
        interval_s=settings.pool_interval_s,
        answer_batch_max=settings.pool_answer_batch_max,
    )
    return PoolParts(rules, pool, votes, anchors, releaser, answerer, storer, publisher, restater, service)


def _consented(settings: Settings, needs: PoolNeeds, votes: VoteBox) -> Consented:
    """Wire what looks at labelled entries."""
    embedding = needs.embedding
    return Consented(
        ConsentParts(
            database=needs.database,
            tenants=needs.tenants,
            models=needs.models,
            opener=needs.opener,
            receipts=needs.checker,
            writer=AliasWriter(needs.models, settings.pool_alias_model),
            trial=AliasTrial(needs.judge),
            embed=embedding.many,
            embedder=embedding.digest,
            eligibility=lambda: votes.eligibility,
            clock=needs.clock,
        )
    )


def _publisher(settings: Settings, rules: PoolRules, pool: Pool, needs: PoolNeeds, consented: Consented) -> Publisher:
    """Wire what publishes labelled entries, under a name of its own."""
    holder = f"noised-{needs.random.token_bytes(HOLDER_BYTES).hex()}"
    return Publisher(
        PublisherParts(
            database=needs.database,
            pool=pool,
            consented=consented,
            writer=ReleaseWriter(rules.calendar, rules.budget, needs.clock, needs.random, holder=holder),
            noise=needs.noise,
            calendar=rules.calendar,
            embedder=needs.embedding.digest,
            noised_delta_atto=rules.noised_delta_atto,
            quarantine_s=settings.pool_quarantine_s,
            clock=needs.clock,
            random=needs.random,
        )
    )


def _restater(rules: PoolRules, pool: Pool, needs: PoolNeeds, consented: Consented, storer: PoolStorer) -> Restater:
    """Wire what makes entries of what was published."""
    return Restater(
        RestaterParts(
            database=needs.database,
            pool=pool,
            consented=consented,
            receipts=needs.receipts,
            storer=storer,
            calendar=rules.calendar,
            embed=needs.embedding.many,
            embedder=needs.embedding.digest,
            price=needs.price,
            clock=needs.clock,
            random=needs.random,
        )
    )


def build_releaser(
    rules: PoolRules,
    pool: Pool,
    database: Database,
    provider: KeyProvider,
    embedding: Embedding,
    noise: NoiseSampler,
    *,
    clock: Clock,
    random: RandomSource,
) -> PoolReleaser:
    """Wire what releases epochs, under a name of its own."""
    holder = f"pooled-{random.token_bytes(HOLDER_BYTES).hex()}"
    parts = ReleaseParts(
        database=database,
        pool=pool,
        writer=ReleaseWriter(rules.calendar, rules.budget, clock, random, holder=holder),
        noise=noise,
        provider=provider,
        embed=embedding.many,
        embedder=embedding.digest,
        dimension=embedding.dimension,
        clock=clock,
        random=random,
    )
    return PoolReleaser(rules, parts)
