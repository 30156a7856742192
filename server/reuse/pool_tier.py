"""The pool's tier: what a tenant's own entries could not answer may be answered from what was released to all.

    poolable? → nearest in both families of the pool's partitions → the best alias of each → verify on read → decide

Candidates come by the vectors under which they were released, which may be noised; what is decided on is the exact
vector of a public alias, by the very inequality and guards of the private tier, at the stricter of the pool's and the
caller's policy. Nothing of an entry changes when it answers, and no score leaves. Whatever fails here is a miss.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias

import numpy as np
import structlog

from crypto.similarity import is_matchable, threshold_integer
from server.index.partitions import PartitionKey, Partitions
from server.ports import Clock
from server.reuse.alias_book import AliasBook, best_scores, rows_of
from server.reuse.decision import CANDIDATES_MAX, Accept, CandidateView, QueryView, decide, threshold_in_force
from server.reuse.fingerprint import PoolMode, is_of_conversation, pool_fingerprint
from server.reuse.guards import Facts
from server.reuse.hit_journal import Match
from server.reuse.near import Found
from server.reuse.opening import EntryOpener
from server.reuse.outcomes import Hit
from server.reuse.plan import reason_for_exact_only, reason_to_bypass
from server.reuse.policy import ReusePolicy
from server.reuse.quantise import norms_squared
from server.reuse.quarantine import Quarantine
from server.reuse.receipts import ReceiptChecker
from server.reuse.sight import Asked, Sight
from server.reuse.storing import Question
from server.reuse.tenant_directory import TenantContext
from server.reuse.verification import Doubt, doubt_row
from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.suppressions import SuppressionRepository
from server.telemetry import Telemetry
from tenants.identifiers import EntryId, TenantId

log = structlog.get_logger()

#: Asked of each family: a noised vector may stand far down the list and its alias match all the same.
CANDIDATES: Final = 50
MODES: Final[tuple[PoolMode, ...]] = ("pooled", "noised")
#: Nothing of a lower grade is in the pool.
GRADE: Final = "attested"

#: Whether a request may be answered from the pool, by itself and its tenant's policy.
IsPoolable: TypeAlias = Callable[[Asked], bool]


class Pool(Protocol):
    """The pool as a principal: a tenant of its own."""

    @property
    def id(self) -> TenantId:
        """Its tenant id."""
        ...

    async def context(self) -> TenantContext:
        """Return its policy and keys; raises what `TenantDirectory.get` raises."""
        ...


@dataclass(frozen=True, slots=True)
class _Look:
    """One look into the pool: who asks what of it, and the inner product that an alias must reach."""

    asked: Asked
    pool: TenantContext
    fingerprint: bytes
    question: Question
    tau: int

    @property
    def dimension(self) -> int:
        return len(self.question.vector)


class PoolTier:
    """Looks for entries of the pool that mean the same, for any tenant that reads it."""

    def __init__(
        self,
        pool: Pool,
        database: Database,
        partitions: Partitions,
        telemetry: Telemetry,
        clock: Clock,
        *,
        is_poolable: IsPoolable,
        book: AliasBook,
        opener: EntryOpener,
        receipts: ReceiptChecker,
        quarantine: Quarantine,
    ) -> None:
        self._pool = pool
        self._database = database
        self._partitions = partitions
        self._telemetry = telemetry
        self._clock = clock
        self._is_poolable = is_poolable
        self._book = book
        self._opener = opener
        self._receipts = receipts
        self._quarantine = quarantine

    @property
    def id(self) -> TenantId:
        """The pool's tenant id."""
        return self._pool.id

    async def ask(self, asked: Asked, sight: Sight) -> Sight:
        """Return the pool's hit for a request that the private tier compared and missed, or the miss that it was."""
        question = None if sight.near is None else sight.near.question
        if question is None or not self._is_poolable(asked):
            return sight
        sight = replace(sight, is_pool_asked=True)
        try:
            found = await self._look(asked, sight.identity.fingerprint, question)
        except Exception as error:  # noqa: BLE001  # an edge: whatever the pool holds or lacks, its reader has an upstream
            self._degrade(error)
            return sight
        if found is None:
            return sight
        entry, tau = found
        return replace(
            sight,
            outcome=Hit("pool", entry.row.id, "same_meaning"),
            response=entry.payload.response,
            row=entry.row,
            receipt=entry.receipt,
            pool_match=Match(question.vector, tau),
        )

    async def _look(self, asked: Asked, fingerprint: bytes, question: Question) -> tuple[Found, int] | None:
        """Return the entry that may answer and the τ that its best alias reaches; None where nothing may."""
        pool = await self._pool.context()
        if reason_to_bypass(asked.request, pool.policy) or reason_for_exact_only(asked.request, pool.policy):
            return None
        policy, steered = stricter(pool.policy, asked.tenant.policy), asked.request.steering.threshold_ten_thousandths
        query = QueryView(int(norms_squared(question.vector[np.newaxis])[0]), question.facts)
        if not is_matchable(query.norm_squared):
            return None
        tau = threshold_integer(threshold_in_force(policy, steered), query.norm_squared)
        look = _Look(asked, pool, fingerprint, question, tau)
        families = await self._search(look)
        views: list[CandidateView] = []
        found: dict[EntryId, Found] = {}
        for entry in await self._worth_opening(look, list(families)):
            verified = await self._verify(look, entry, families[entry])
            if isinstance(verified, Doubt):
                if verified.quarantine:
                    await self._quarantine.put(pool.id, entry, verified.reason)
            elif verified is not None:
                found[entry], view = verified
                views.append(view)
        decision = decide(query, views, policy, steer_threshold_ten_thousandths=steered)
        return (found[decision.candidate.entry_id], decision.tau) if isinstance(decision, Accept) else None

    async def _search(self, look: _Look) -> dict[EntryId, PoolMode]:
        """Return the nearest entries of both families; one that cannot answer now leaves the other."""
        searches = (
            self._partitions.search(
                PartitionKey(self._pool.id, pool_fingerprint(mode, look.fingerprint)), look.question.vector, CANDIDATES
            )
            for mode in MODES
        )
        found: dict[EntryId, PoolMode] = {}
        for mode, result in zip(MODES, await asyncio.gather(*searches, return_exceptions=True), strict=True):
            if isinstance(result, Exception):
                self._degrade(result)
            elif isinstance(result, BaseException):
                raise result
            else:
                found.update((EntryId(candidate.id), mode) for candidate in result)
        return found

    async def _worth_opening(self, look: _Look, entries: list[EntryId]) -> list[EntryId]:
        """Return the entries with an alias that reaches τ and that the caller did not suppress, nearest first."""
        scores = best_scores(await self._book.find(look.pool, entries, look.dimension), look.question.vector)
        ranked = sorted((-score, entry) for entry, score in scores.items() if score >= look.tau)
        nearest = [entry for _, entry in ranked]
        if not nearest:
            return []
        suppressed = await self._database.read_by_key(
            lambda connection: SuppressionRepository(connection, look.asked.tenant.id).find_among(nearest)
        )
        return [entry for entry in nearest if entry not in suppressed][:CANDIDATES_MAX]

    async def _verify(self, look: _Look, entry: EntryId, mode: PoolMode) -> tuple[Found, CandidateView] | Doubt | None:
        """Read and open one candidate under the pool's id, and hold it to all that an entry must be to answer."""
        pool = look.pool
        row = await self._database.read_by_key(lambda connection: EntryRepository(connection, pool.id).get(entry))
        if row is None:
            return None
        doubt = doubt_row(
            row,
            tenant=pool.id,
            fingerprint=pool_fingerprint(mode, look.fingerprint),
            now_ms=self._clock.now_ms(),
            max_age_s=look.asked.request.steering.max_age_s,
        )
        if doubt is not None:
            return doubt
        payload = await self._opener.open(pool, row)
        if payload is None or payload.aliases is None:
            return None
        best = rows_of(payload.aliases, look.dimension).best(look.question.vector)
        if best is None:
            return None
        # The question of a labelled entry is not in the pool: all that its messages hold is the profile's system prompt.
        context = payload.messages[:-1] if mode == "pooled" else payload.messages
        if not is_of_conversation(look.asked.request, [*context, {}], payload.parameters, whole=False):
            return Doubt("other_conversation", quarantine=True)
        receipt = await self._receipts.check(pool, row, payload)
        if isinstance(receipt, Doubt):
            return receipt
        if receipt.grade != GRADE:
            return Doubt("not_attested", quarantine=True)
        facts = Facts.from_json(payload.aliases[best.position].facts)
        return Found(row, payload, best.score, receipt), CandidateView(entry, best.score, best.norm_squared, facts)

    def _degrade(self, error: Exception) -> None:
        self._telemetry.degraded.labels("pool").inc()
        log.warning("pool_tier_failed", error=type(error).__name__)


def stricter(pool: ReusePolicy, caller: ReusePolicy) -> ReusePolicy:
    """Return the policy under which *caller* reads: each rule of a decision as in whichever of the two is stricter."""
    may_be_foreign = pool.other_languages == caller.other_languages == "allow"
    return replace(
        caller,
        threshold_ten_thousandths=max(pool.threshold_ten_thousandths, caller.threshold_ten_thousandths),
        guards=tuple(dict.fromkeys((*caller.guards, *pool.guards))),
        other_languages="allow" if may_be_foreign else "exact_only",
    )
