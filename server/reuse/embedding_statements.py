"""Behind the answers: have it stated that an entry's vector is what an embedder makes of its question.

A bounded batch at a time, oldest entry first. What a runner will not or cannot state is left alone until all others have
had their turn and some time has passed. Whoever waits for a proof has one entry stated at once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

import structlog
from sqlalchemy import Connection

from crypto.errors import Error
from crypto.in_toto import statement_digest
from crypto.leaf import LeafKind
from server.log.bodies import append_envelope
from server.ports import Clock, RandomSource
from server.reuse.embedding_subjects import EmbeddingSubject, SubjectFinder
from server.reuse.embedding_terms import OwnStatements, RunnerStatements, Stated
from server.reuse.evidence_opening import seal_opening
from server.reuse.proof_writing import SignerRevoked
from server.store.announcements import is_active_signer
from server.store.database import Database
from server.store.embedding_queue import load_unstated
from server.store.entries import EntryRepository
from server.store.log_records import NewEvidence
from server.store.receipts import EvidenceRepository
from server.store.tenancy import DataKeyRepository
from server.telemetry import Telemetry
from tenants.identifiers import EntryId, TenantId

log = structlog.get_logger()

EVIDENCE_PREFIX: Final = "evd_"
EVIDENCE_KIND: Final = "embedding"
#: How long what could not be stated is left alone.
RETRY_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class _Found:
    """The evidence that states an entry's vector, whether it commits to it, and whether it is of this moment."""

    evidence: str
    is_committed: bool
    is_new: bool


class EmbeddingStatements:
    """Has at most *batch_max* vectors stated every *interval_s*; none by itself when that is 0."""

    def __init__(
        self,
        database: Database,
        finder: SubjectFinder,
        runners: RunnerStatements,
        own: OwnStatements,
        telemetry: Telemetry,
        clock: Clock,
        random: RandomSource,
        *,
        batch_max: int,
        interval_s: float,
    ) -> None:
        self._database = database
        self._finder = finder
        self._runners = runners
        self._own = own
        self._telemetry = telemetry
        self._clock = clock
        self._random = random
        self._batch_max = batch_max
        self._interval_s = interval_s
        self._after = EntryId(0)
        self._began_s = clock.monotonic_s()
        self._turns: WeakValueDictionary[EntryId, asyncio.Lock] = WeakValueDictionary()

    async def run(self) -> None:
        """Work until cancelled."""
        while self._batch_max:
            await asyncio.sleep(self._interval_s)
            try:
                await self.step()
            except Exception as error:  # noqa: BLE001  # an edge: whatever one round raises, the next one is another
                log.warning("embedding_statements_failed", error=type(error).__name__)

    async def step(self) -> int:
        """Go through the next batch; return how many statements were stored."""
        after, limit = self._after, self._batch_max
        rows = await self._database.read(lambda connection: load_unstated(connection, after=after, limit=limit))
        stated = 0
        for tenant, entry in rows:
            self._after = entry  # first: whatever this one raises, the next round goes on behind it
            found = await self._state(tenant, entry)
            stated += found is not None and found.is_new
        if len(rows) < limit:
            self._rest()
        return stated

    async def state_now(self, tenant: TenantId, entry: EntryId) -> str | None:
        """Return the evidence that commits to an entry's vector, stated at once where none does yet.

        None where nobody can state it now, or nobody can commit to it: the log says why.
        """
        found = await self._state(tenant, entry)
        return found.evidence if found is not None and found.is_committed else None

    def _rest(self) -> None:
        """At the end of the queue: go back to what failed, but not before it has been left alone for a while."""
        if self._clock.monotonic_s() - self._began_s >= RETRY_S:
            self._after, self._began_s = EntryId(0), self._clock.monotonic_s()

    async def _state(self, tenant: TenantId, entry: EntryId) -> _Found | None:
        """State one entry unless it is; None, and counted and logged why, where it cannot be."""
        turn = self._turns.get(entry)
        if turn is None:
            turn = self._turns[entry] = asyncio.Lock()
        try:
            async with turn:  # whoever comes second finds what the first has stored
                found = await self._find_or_state(tenant, entry)
        except Error as error:
            self._telemetry.embedding_statements.labels("failed").inc()
            log.warning(
                "embedding_not_stated",
                entry=int(entry),
                error=type(error).__name__,
                reason=getattr(error, "reason", ""),
            )
            return None
        if found is None:
            self._telemetry.embedding_statements.labels("skipped").inc()
        elif found.is_new:
            self._telemetry.embedding_statements.labels("stored").inc()
        return found

    async def _find_or_state(self, tenant: TenantId, entry: EntryId) -> _Found | None:
        subject = await self._finder.find(tenant, entry)
        if subject is None:
            return None
        before = subject.before
        if before is not None and (before.is_committed or subject.suite is None):
            return _Found(before.evidence, before.is_committed, is_new=False)
        if subject.runner is None:
            stated = await self._own.state(subject)
        else:
            stated = await self._runners.state(subject, subject.runner)
        is_committed = stated.statement.commitment is not None
        if before is not None and not is_committed:
            return None  # it would say what is said already
        name = await self._store(subject, stated)
        return None if name is None else _Found(name, is_committed, is_new=True)

    async def _store(self, subject: EmbeddingSubject, stated: Stated) -> str | None:
        """Store a statement behind its leaf and return its evidence; None for a tenant erased a moment ago."""
        tenant, issued_at_ms = subject.tenant, stated.statement.issued_at_ms
        name = EVIDENCE_PREFIX + statement_digest(stated.envelope.payload).removeprefix("sha256:")[:32]
        opening = seal_opening(tenant.data_key, tenant.id, name, stated.salts, random=self._random)
        instead_of = None if subject.before is None else subject.before.evidence
        now_ms = self._clock.now_ms()

        def write(connection: Connection) -> bool:
            if not DataKeyRepository(connection, tenant.id).has(tenant.data_key.epoch):
                return False  # nothing of it may appear again
            if not is_active_signer(connection, stated.statement.signer):
                raise SignerRevoked("the key that signed this statement is not in use")
            seq = append_envelope(
                connection, LeafKind.EVIDENCE, stated.envelope, tenant=tenant.id, time_ms=issued_at_ms
            )
            found = NewEvidence(name, seq, subject.receipt.id, EVIDENCE_KIND, opening, now_ms)
            EvidenceRepository(connection, tenant.id).add(found)
            entries = EntryRepository(connection, tenant.id)
            entries.set_embedding_statement(subject.entry, name, instead_of=instead_of)
            return True

        return name if await self._database.write(write) else None
