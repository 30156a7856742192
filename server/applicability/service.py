"""Make the proof of a hit when somebody wants it: once, and one at a time; whoever asks again gets the stored one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from crypto.applicability.statement import ApplicabilityStatement
from server.applicability.limits import ProbingLimits
from server.applicability.outcomes import Outcome, PooledHit, ProvedHit, StatesNow, Unprovable
from server.applicability.proof_store import ProofStore
from server.applicability.subjects import Answered, Query, Stated, Subject, SubjectReader
from server.ports import Clock
from server.prover.errors import NotProvable, ProverBusy, ProverError
from server.reuse.tenant_directory import TenantContext
from server.store.database import Database
from server.store.log_records import StoredHit
from server.telemetry import Telemetry
from tenants.errors import UnsealError

log = structlog.get_logger()

POOL_TIER: Final = "pool"
PROVABLE_TIER: Final = "private"
#: The longest wait for a runner's statement; whoever asks again later may find it there.
STATED_WITHIN_S: Final = 20.0


class Proves(Protocol):
    """Makes commitments and proofs somewhere else than on the event loop."""

    async def commit(self, suite_name: str, vector: Sequence[int], seed: bytes) -> bytes:
        """Return the commitment to *vector* that *seed* opens."""
        ...

    async def prove_well_formedness(self, suite_name: str, vector: Sequence[int], seed: bytes) -> bytes:
        """Return the well-formedness proof of that commitment."""
        ...

    async def prove_applicability(self, statement: ApplicabilityStatement, vector: Sequence[int], seed: bytes) -> bytes:
        """Return a proof of *statement*; raises `NotProvable` where it does not hold."""
        ...


class ApplicabilityService:
    """Makes, keeps and returns proofs of any tenant's hits."""

    def __init__(
        self,
        database: Database,
        store: ProofStore,
        subjects: SubjectReader,
        prover: Proves,
        limits: ProbingLimits,
        telemetry: Telemetry,
        clock: Clock,
        *,
        stater: StatesNow | None,
        queue_max: int,
    ) -> None:
        """Without a *stater* hits whose entries nobody has stated yet are `not_stated`."""
        self._database = database
        self._store = store
        self._subjects = subjects
        self._prover = prover
        self._limits = limits
        self._telemetry = telemetry
        self._clock = clock
        self._stater = stater
        self._queue_max = queue_max
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def ensure(self, tenant: TenantContext, hit_id: str) -> Outcome:
        """Return the proof of a hit of *tenant*, made now if there is none; waits for its turn.

        Raises `NotFound`, `RateLimited` where too many were made, and `ProverBusy` where too many wait.
        """
        hit = await self._store.find_hit(tenant, hit_id)
        found = await self._find(tenant, hit)
        if found is not None:
            return found
        # Before anything is done for it: a runner may have to be asked, and that often it may not be.
        self._limits.count(tenant.id)
        return await self._make(tenant, hit, is_asked_for=True)

    async def open_query(self, tenant: TenantContext, hit: StoredHit) -> Query | None:
        """Return what opens the query of *hit*, for those who may see it; None where it is not kept any more."""
        return await self._subjects.query(tenant, hit)

    async def prepare(self, tenant: TenantContext, hit: StoredHit, *, is_export: bool) -> Outcome:
        """Do as `ensure` does for work with a bound of its own; raises `RateLimited` for one entry's hits.

        An export's bound is its number of proofs, which the operator sets: for it neither limit holds.
        """
        found = await self._find(tenant, hit)
        return found or await self._make(tenant, hit, is_asked_for=False, is_export=is_export)

    async def _find(self, tenant: TenantContext, hit: StoredHit) -> Outcome | None:
        """Return what is known of *hit* without any work."""
        if hit.tier == POOL_TIER:
            return PooledHit(hit)
        if hit.tier != PROVABLE_TIER:
            return Unprovable("not_by_meaning")
        try:
            stored = await self._store.find(tenant, hit.id)
        except UnsealError:
            log.error("applicability_not_opened", part="proof", hit=hit.id)
            return Unprovable("does_not_open")
        return None if stored is None else ProvedHit(hit, *stored)

    async def _make(
        self, tenant: TenantContext, hit: StoredHit, *, is_asked_for: bool, is_export: bool = False
    ) -> Outcome:
        began_s = self._clock.monotonic_s()
        # A runner may take its time to state a vector: nobody else's turn waits for it, and no place in the queue.
        ready = await self._prepare(tenant, hit)
        if is_asked_for and self._waiting >= self._queue_max:
            raise ProverBusy("too many hits wait for their proof; try again in a moment")
        self._waiting += 1
        try:
            async with self._turn:
                outcome = await self._find(tenant, hit)
                if outcome is not None:
                    return outcome
                if isinstance(ready, Unprovable):
                    outcome = ready
                else:
                    outcome = await self._make_now(tenant, *ready, is_export=is_export)
        except ProverError:
            self._telemetry.applicability_proofs.labels("failed").inc()
            raise
        finally:
            self._waiting -= 1
        self._telemetry.applicability_proofs.labels(_result(outcome)).inc()
        self._telemetry.applicability_s.observe(self._clock.monotonic_s() - began_s)
        return outcome

    async def _prepare(self, tenant: TenantContext, hit: StoredHit) -> tuple[Answered, Stated] | Unprovable:
        answered = await self._subjects.answered(tenant, hit)
        if isinstance(answered, Unprovable):
            return answered
        stated = await self._state(tenant, answered)
        return Unprovable("not_stated") if stated is None else (answered, stated)

    async def _make_now(self, tenant: TenantContext, answered: Answered, stated: Stated, *, is_export: bool) -> Outcome:
        hit = answered.hit
        if not is_export:
            await self._refuse_probing(tenant, stated)
        subject = await self._subjects.open(tenant, answered, stated)
        if isinstance(subject, Unprovable):
            return subject
        try:
            await self._prove(tenant, subject)
        except NotProvable as error:
            # The decision was the very inequality that is proved: whatever fails here is broken, and not the hit.
            log.error("applicability_not_provable", hit=hit.id, error=str(error))
            return Unprovable("not_provable")
        stored = await self._store.find(tenant, hit.id)
        return Unprovable("query_not_kept") if stored is None else ProvedHit(hit, *stored)

    async def _state(self, tenant: TenantContext, answered: Answered) -> Stated | None:
        """Return the statement that commits to the entry's vector; one that nobody has made yet is made now, if it can."""
        stated = await self._subjects.stated(tenant, answered)
        if stated is not None or self._stater is None:
            return stated
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STATED_WITHIN_S):
                await self._stater.state_now(tenant.id, answered.entry)
        # Looked for whatever came of it: another gateway may have had the same entry stated at the same moment.
        return await self._subjects.stated(tenant, answered)

    async def _refuse_probing(self, tenant: TenantContext, stated: Stated) -> None:
        name = stated.evidence.id
        if not await self._database.read(lambda connection: self._limits.is_entry_due(connection, tenant.id, name)):
            raise self._limits.refuse_entry()

    async def _prove(self, tenant: TenantContext, subject: Subject) -> None:
        """Make and store what is missing: the commitment's well-formedness first, for without it a proof says nothing."""
        suite, vector, seed = subject.stated.suite.name, subject.vector, subject.seed
        if await self._store.find_well_formedness(tenant, subject.stated.evidence.id) is None:
            if await self._prover.commit(suite, vector, seed) != subject.stated.commitment:
                raise NotProvable("the statement commits to another vector than the entry's")
            formed = await self._prover.prove_well_formedness(suite, vector, seed)
            await self._store.add_well_formedness(tenant, subject, formed)
        proof = await self._prover.prove_applicability(subject.statement, vector, seed)
        await self._store.add(tenant, subject, proof)


def _result(outcome: Outcome) -> str:
    return outcome.reason if isinstance(outcome, Unprovable) else "made"
