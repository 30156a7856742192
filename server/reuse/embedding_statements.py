"""Behind the answers: have runners state that an entry's vector is what their embedder makes of its question.

A bounded batch at a time, oldest entry first. What a runner will not or cannot state is left alone until all others have
had their turn and some time has passed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import structlog
from sqlalchemy import Connection

from crypto.commitment import text_commitment, vector_commitment
from crypto.dsse import Envelope, verify_envelope
from crypto.embedding_statement import EmbeddingStatement, parse_embedding
from crypto.errors import Error, VerificationError
from crypto.in_toto import statement_digest
from crypto.leaf import LeafKind
from server.log.bodies import append_envelope
from server.ports import Clock, Int8Matrix, RandomSource
from server.reuse.evidence_opening import seal_opening
from server.reuse.models import ModelRegistry
from server.reuse.opening import EntryOpener
from server.reuse.payload import unseal_vector
from server.reuse.proof_writing import SignerRevoked
from server.reuse.pseudonyms import pseudonym_at
from server.reuse.receipt_making import CLOCK_TOLERANCE_MS
from server.reuse.receipts import Receipt, ReceiptChecker
from server.reuse.request import text_of
from server.reuse.runner_identity import RunnerIdentity
from server.reuse.tenant_directory import TenantContext, TenantDirectory
from server.reuse.verification import Doubt
from server.store.announcements import is_active_signer
from server.store.database import Database
from server.store.embedding_queue import load_unstated
from server.store.entries import EntryRepository
from server.store.log_records import NewEvidence
from server.store.receipts import EvidenceRepository
from server.store.tenancy import DataKeyRepository
from server.telemetry import Telemetry
from server.upstream.runner_answers import EmbeddingStatementAnswer
from tenants.identifiers import EntryId, TenantId
from tenants.sealing import sealed_epoch

log = structlog.get_logger()

EVIDENCE_PREFIX: Final = "evd_"
EVIDENCE_KIND: Final = "embedding"
#: How long what could not be stated is left alone.
RETRY_S: Final = 600.0


@runtime_checkable
class StatesEmbeddings(Protocol):
    """An upstream that recomputes a vector and signs that it did."""

    async def embedding_statement(
        self, *, embedder: str, statement: str, tenant: str, text: str, vector: list[int]
    ) -> EmbeddingStatementAnswer:
        """Return the signed statement and its salts. Raises `UpstreamError`."""
        ...


@dataclass(frozen=True, slots=True)
class _Stated:
    """A statement that was found right, with what opens it."""

    statement: EmbeddingStatement
    envelope: Envelope
    salts: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is to be stated: one entry's question and vector, and the receipt that its prompt has."""

    tenant: TenantContext
    entry: EntryId
    text: str
    vector: Int8Matrix
    receipt: Receipt
    runner: RunnerIdentity
    upstream: StatesEmbeddings


class EmbeddingStatements:
    """Asks runners for embedding statements, at most *batch_max* every *interval_s*; none when that is 0."""

    def __init__(
        self,
        database: Database,
        tenants: TenantDirectory,
        models: ModelRegistry,
        opener: EntryOpener,
        receipts: ReceiptChecker,
        telemetry: Telemetry,
        clock: Clock,
        random: RandomSource,
        *,
        embedder_digest: str,
        batch_max: int,
        interval_s: float,
    ) -> None:
        self._database = database
        self._tenants = tenants
        self._models = models
        self._opener = opener
        self._receipts = receipts
        self._telemetry = telemetry
        self._clock = clock
        self._random = random
        self._embedder_digest = embedder_digest
        self._batch_max = batch_max
        self._interval_s = interval_s
        self._after = EntryId(0)
        self._began_s = clock.monotonic_s()

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
        if not self._models.has_runners:
            return 0
        after, limit = self._after, self._batch_max
        rows = await self._database.read(lambda connection: load_unstated(connection, after=after, limit=limit))
        stated = 0
        for tenant, entry in rows:
            stated += await self._state(tenant, entry)
            self._after = entry
        if len(rows) < limit:
            self._rest()
        return stated

    def _rest(self) -> None:
        """At the end of the queue: go back to what failed, but not before it has been left alone for a while."""
        if self._clock.monotonic_s() - self._began_s >= RETRY_S:
            self._after, self._began_s = EntryId(0), self._clock.monotonic_s()

    async def _state(self, tenant: TenantId, entry: EntryId) -> bool:
        try:
            subject = await self._find(tenant, entry)
            if subject is None:
                self._telemetry.embedding_statements.labels("skipped").inc()
                return False
            await self._store(subject, await self._ask(subject))
        except Error as error:
            self._telemetry.embedding_statements.labels("failed").inc()
            log.warning(
                "embedding_not_stated",
                entry=int(entry),
                error=type(error).__name__,
                reason=getattr(error, "reason", ""),
            )
            return False
        self._telemetry.embedding_statements.labels("stored").inc()
        return True

    async def _find(self, tenant: TenantId, entry: EntryId) -> _Subject | None:
        """Open what is to be stated; None for an entry that went, or whose runner or embedder is another by now."""
        context = await self._tenants.get(tenant)
        row, vectors = await self._database.read(
            lambda connection: (
                EntryRepository(connection, tenant).get(entry),
                EntryRepository(connection, tenant).load_vectors_of([entry], self._embedder_digest),
            )
        )
        if row is None or not vectors:
            return None
        payload = await self._opener.open(context, row)
        model = self._models.resolve(row.model)
        text = None if payload is None else text_of(payload.messages[-1])
        if payload is None or text is None or model.runner is None or not isinstance(model.upstream, StatesEmbeddings):
            return None
        receipt = await self._receipts.check(context, row, payload)
        if isinstance(receipt, Doubt):
            return None
        sealed = vectors[0][1]
        key = await self._tenants.key_for(context, sealed_epoch(sealed))
        vector = unseal_vector(sealed, key=key, tenant=tenant, entry=entry)
        return _Subject(context, entry, text, vector, receipt, model.runner, model.upstream)

    async def _ask(self, subject: _Subject) -> _Stated:
        """Have the runner sign, and verify that it signed what was asked."""
        answer = await subject.upstream.embedding_statement(
            embedder=self._embedder_digest,
            statement=subject.receipt.statement,
            tenant=pseudonym_at(subject.tenant, self._clock.now_ms()),
            text=subject.text,
            vector=[int(component) for component in subject.vector],
        )
        envelope, statement = parse_embedding(answer.envelope)
        verify_envelope(envelope, subject.runner.public_key)
        salts = {"text": answer.text_salt, "vector": answer.vector_salt}
        self._verify_terms(subject, statement, salts)
        return _Stated(statement, envelope, salts)

    def _verify_terms(self, subject: _Subject, statement: EmbeddingStatement, salts: dict[str, bytes]) -> None:
        said = (statement.embedder, statement.dimension, statement.statement, statement.commitment)
        if said != (self._embedder_digest, len(subject.vector), subject.receipt.statement, None):
            raise VerificationError("the runner states another embedding", reason="evidence_mismatch")
        if statement.tenant != pseudonym_at(subject.tenant, statement.issued_at_ms):
            raise VerificationError("the statement is for another tenant", reason="tenant_mismatch")
        if abs(self._clock.now_ms() - statement.issued_at_ms) > CLOCK_TOLERANCE_MS:
            raise VerificationError("the runner's clock is more than 5 minutes off", reason="signer_expired")
        if (
            text_commitment(salts["text"], subject.text) != statement.text_commitment
            or vector_commitment(salts["vector"], subject.vector.tobytes()) != statement.vector_commitment
        ):
            raise VerificationError("the salts do not open what was signed", reason="opening_mismatch")

    async def _store(self, subject: _Subject, stated: _Stated) -> None:
        tenant, issued_at_ms = subject.tenant, stated.statement.issued_at_ms
        name = EVIDENCE_PREFIX + statement_digest(stated.envelope.payload).removeprefix("sha256:")[:32]
        opening = seal_opening(tenant.data_key, tenant.id, name, stated.salts, random=self._random)
        now_ms = self._clock.now_ms()

        def write(connection: Connection) -> None:
            if not DataKeyRepository(connection, tenant.id).has(tenant.data_key.epoch):
                return  # erased a moment ago: nothing of it may appear again
            if not is_active_signer(connection, stated.statement.signer):
                raise SignerRevoked("the key that signed this statement is not in use")
            seq = append_envelope(
                connection, LeafKind.EVIDENCE, stated.envelope, tenant=tenant.id, time_ms=issued_at_ms
            )
            found = NewEvidence(name, seq, subject.receipt.id, EVIDENCE_KIND, opening, now_ms)
            EvidenceRepository(connection, tenant.id).add(found)
            EntryRepository(connection, tenant.id).set_embedding_statement(subject.entry, name)

        await self._database.write(write)
