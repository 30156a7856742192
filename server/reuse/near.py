"""The private semantic tier: embed the query, search the tenant's own partition, and decide.

Everything here fails open to a miss: a slow embedder, a partition that is still loading, a row that does not open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import structlog

from crypto.errors import Error
from crypto.similarity import is_matchable, threshold_integer
from server.embedding.async_embedder import AsyncEmbedder
from server.index.partitions import PartitionKey, PartitionNotReady, Partitions
from server.ports import Clock, Int8Matrix
from server.reuse.decision import Accept, CandidateView, Decision, QueryView, WouldAccept, decide, threshold_in_force
from server.reuse.guards import Facts, facts_of
from server.reuse.opening import EntryOpener
from server.reuse.payload import EntryPayload
from server.reuse.policy import ReusePolicy
from server.reuse.quantise import norms_squared, quantise
from server.reuse.quarantine import Quarantine
from server.reuse.receipts import Receipt, ReceiptChecker
from server.reuse.storing import Question
from server.reuse.tenant_directory import TenantContext
from server.reuse.verification import OF_RECEIPTS, Doubt, doubt_row
from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.records import StoredEntry
from server.telemetry import Telemetry
from tenants.identifiers import EntryId

log = structlog.get_logger()

CANDIDATES: Final = 8


@dataclass(frozen=True, slots=True)
class Found:
    """An opened candidate: the row, what it sealed, its exact score, and the receipt behind it."""

    row: StoredEntry
    payload: EntryPayload
    score: int
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Near:
    """What the semantic tier came to. *decision* is None when *fault* says why nothing was compared.

    *doubt* is why a candidate that would have been compared was left out, where its receipt was the reason.
    """

    question: Question | None
    decision: Decision | None
    found: dict[EntryId, Found]
    scores: tuple[tuple[EntryId, int], ...]
    fault: str | None
    doubt: str | None = None

    @property
    def candidate(self) -> Found | None:
        """The nearest candidate that was opened: what a free label is taken against."""
        if self.decision is None or self.decision.explanation.nearest is None:
            return None
        return self.found.get(self.decision.explanation.nearest)

    @property
    def accepted(self) -> Found | None:
        """The candidate that may answer."""
        if not isinstance(self.decision, Accept | WouldAccept):
            return None
        return self.found[self.decision.candidate.entry_id]


class NearTier:
    """Looks for entries that mean the same, within one tenant and fingerprint."""

    def __init__(
        self,
        database: Database,
        partitions: Partitions,
        embedder: AsyncEmbedder,
        telemetry: Telemetry,
        clock: Clock,
        *,
        covers: Callable[[str], bool],
        opener: EntryOpener,
        receipts: ReceiptChecker,
        quarantine: Quarantine,
    ) -> None:
        self._database = database
        self._partitions = partitions
        self._embedder = embedder
        self._telemetry = telemetry
        self._clock = clock
        self._covers = covers
        self._opener = opener
        self._receipts = receipts
        self._quarantine = quarantine

    async def ask(
        self,
        tenant: TenantContext,
        fingerprint: bytes,
        query: str,
        *,
        max_age_s: int | None,
        threshold_ten_thousandths: int | None,
        search: bool,
    ) -> Near:
        """Embed *query* and, if *search*, decide on the nearest entries of the partition."""
        if not self._covers(query):
            return Near(None, None, {}, (), "too_long_to_embed")
        question = await self._question(query)
        if question is None:
            return Near(None, None, {}, (), "embedder")
        if not search:
            return Near(question, None, {}, (), "not_searched")
        try:
            key = PartitionKey(tenant.id, fingerprint)
            candidates = await self._partitions.search(key, question.vector, CANDIDATES)
            scores = tuple((EntryId(candidate.id), candidate.score) for candidate in candidates)
            worth = _worth_opening(scores, tenant.policy, question, threshold_ten_thousandths)
            found, doubt = await self._open(tenant, fingerprint, worth, max_age_s)
        except PartitionNotReady:
            self._telemetry.degraded.labels("index_loading").inc()
            return Near(question, None, {}, (), "index_loading")
        except Error as error:
            self._telemetry.degraded.labels("index").inc()
            log.warning("semantic_tier_failed", error=type(error).__name__)
            return Near(question, None, {}, (), "index")
        decision = decide(
            QueryView(_norm_squared(question), question.facts),
            [_view(item) for item in found.values()],
            tenant.policy,
            steer_threshold_ten_thousandths=threshold_ten_thousandths,
        )
        return Near(question, decision, found, scores, None, doubt)

    async def _question(self, query: str) -> Question | None:
        try:
            vector = await self._embedder.embed(query)
            row: Int8Matrix = quantise(vector[np.newaxis])[0]
        except Exception as error:  # noqa: BLE001  # an edge: whatever a model raises, or gives for a vector, costs a miss
            self._telemetry.degraded.labels("embedder").inc()
            log.warning("embedding_failed", error=type(error).__name__)
            return None
        return Question(query, facts_of(query), row)

    async def _open(
        self,
        tenant: TenantContext,
        fingerprint: bytes,
        scores: tuple[tuple[EntryId, int], ...],
        max_age_s: int | None,
    ) -> tuple[dict[EntryId, Found], str | None]:
        """Read and open candidates, best first; those that may not answer now are left out.

        Also returned is the first doubt about a receipt that left one out.
        """
        rows: dict[EntryId, StoredEntry] = {}
        for entry, _ in scores:
            row = await self._database.read_by_key(
                lambda connection, entry=entry: EntryRepository(connection, tenant.id).get(entry)  # type: ignore[misc]
            )
            if row is not None:
                rows[entry] = row
        now_ms = self._clock.now_ms()
        found: dict[EntryId, Found] = {}
        doubted: str | None = None
        for entry, score in scores:
            row = rows.get(entry)
            if row is None:
                continue
            opened: Found | Doubt | None = doubt_row(
                row, tenant=tenant.id, fingerprint=fingerprint, now_ms=now_ms, max_age_s=max_age_s
            )
            if opened is None:
                opened = await self._open_one(tenant, row, score)
            if isinstance(opened, Doubt):
                doubted = doubted or (opened.reason if opened.reason in OF_RECEIPTS else None)
                if opened.quarantine:
                    await self._quarantine.put(tenant.id, entry, opened.reason)
            elif opened is not None:
                found[entry] = opened
        return found, doubted

    async def _open_one(self, tenant: TenantContext, row: StoredEntry, score: int) -> Found | Doubt | None:
        payload = await self._opener.open(tenant, row)
        if payload is None or payload.facts is None or payload.norm_squared is None:
            return None
        receipt = await self._receipts.check(tenant, row, payload)
        return receipt if isinstance(receipt, Doubt) else Found(row, payload, score, receipt)


def _worth_opening(
    scores: tuple[tuple[EntryId, int], ...], policy: ReusePolicy, question: Question, steered: int | None
) -> tuple[tuple[EntryId, int], ...]:
    """Keep the candidates that satisfy the inequality, or else the nearest, which the explanation names."""
    norm_squared = _norm_squared(question)
    if not is_matchable(norm_squared):
        return ()
    tau = threshold_integer(threshold_in_force(policy, steered), norm_squared)
    return tuple(item for item in scores if item[1] >= tau) or scores[:1]


def _norm_squared(question: Question) -> int:
    return int(norms_squared(question.vector[np.newaxis])[0])


def _view(found: Found) -> CandidateView:
    facts = found.payload.facts
    norm_squared = found.payload.norm_squared
    if facts is None or norm_squared is None:
        raise ValueError("a candidate without facts is never opened for a decision")
    return CandidateView(found.row.id, found.score, norm_squared, Facts.from_json(facts))
