"""What an embedding statement is to be about: one entry's question and vector, opened, and who may state them.

An answer of a runner's is stated by that runner, which recomputes the vector. About an answer that nobody attested (another
vendor's, or put by a client) the gateway may speak itself, under its own key: then the vector is the operator's word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from sqlalchemy import Connection

from crypto.applicability.suites import Suite, UnsupportedDimension, suite_for
from crypto.embedding_statement import parse_embedding
from crypto.errors import VerificationError
from server.ports import Int8Matrix
from server.reuse.models import ModelRegistry
from server.reuse.opening import EntryOpener
from server.reuse.payload import unseal_vector
from server.reuse.receipts import Receipt, ReceiptChecker
from server.reuse.request import text_of
from server.reuse.runner_identity import RunnerIdentity
from server.reuse.tenant_directory import TenantContext, TenantDirectory
from server.reuse.verification import Doubt
from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.log_records import StoredEvidence
from server.store.receipts import EvidenceRepository
from server.store.records import StoredEntry
from server.upstream.runner_answers import EmbeddingStatementAnswer
from tenants.identifiers import EntryId, TenantId
from tenants.sealing import sealed_epoch

RUNNER_SOURCE: Final = "runner"
DECLARED: Final = "declared"


@runtime_checkable
class StatesEmbeddings(Protocol):
    """An upstream that recomputes a vector and signs that it did."""

    async def embedding_statement(
        self, *, embedder: str, statement: str, tenant: str, text: str, vector: list[int]
    ) -> EmbeddingStatementAnswer:
        """Return the signed statement and what opens it. Raises `UpstreamError`."""
        ...


@dataclass(frozen=True, slots=True)
class StatingRunner:
    """A runner that can be asked, and the key that it must sign under."""

    identity: RunnerIdentity
    upstream: StatesEmbeddings


@dataclass(frozen=True, slots=True)
class Before:
    """The evidence that states an entry's vector already, and whether it commits to it."""

    evidence: str
    is_committed: bool


@dataclass(frozen=True, slots=True)
class EmbeddingSubject:
    """What is to be stated: one entry's question and vector, and the receipt that its prompt has.

    *runner* is None where the gateway states it itself, *suite* where the dimension has none.
    """

    tenant: TenantContext
    entry: EntryId
    text: str
    vector: Int8Matrix
    receipt: Receipt
    runner: StatingRunner | None
    before: Before | None

    @property
    def suite(self) -> Suite | None:
        """The suite that fits the vector; None where none takes so many components."""
        try:
            return suite_for(len(self.vector))
        except UnsupportedDimension:
            return None

    @property
    def components(self) -> list[int]:
        """The vector as plain integers."""
        return [int(component) for component in self.vector]


class SubjectFinder:
    """Opens subjects of any tenant, as far as *embedder_digest* is what embedded them."""

    def __init__(
        self,
        database: Database,
        tenants: TenantDirectory,
        models: ModelRegistry,
        opener: EntryOpener,
        receipts: ReceiptChecker,
        *,
        embedder_digest: str,
    ) -> None:
        self._database = database
        self._tenants = tenants
        self._models = models
        self._opener = opener
        self._receipts = receipts
        self._embedder_digest = embedder_digest

    async def find(self, tenant: TenantId, entry: EntryId) -> EmbeddingSubject | None:
        """Open what is to be stated.

        None for an entry that went, whose receipt is not right, whose embedder is another by now, or that nobody here may
        state.
        """
        context = await self._tenants.get(tenant)
        row, vectors, stated = await self._database.read(
            lambda connection: (
                EntryRepository(connection, tenant).get(entry),
                EntryRepository(connection, tenant).load_vectors_of([entry], self._embedder_digest),
                _load_before(connection, tenant, entry),
            )
        )
        if row is None or not vectors:
            return None
        payload = await self._opener.open(context, row)
        text = None if payload is None else text_of(payload.messages[-1])
        if payload is None or text is None:
            return None
        receipt = await self._receipts.check(context, row, payload)
        if isinstance(receipt, Doubt):
            return None
        runner = self._find_runner(row)
        if runner is None and (row.source == RUNNER_SOURCE or receipt.grade != DECLARED):
            return None
        sealed = vectors[0][1]
        key = await self._tenants.key_for(context, sealed_epoch(sealed))
        vector = unseal_vector(sealed, key=key, tenant=tenant, entry=entry)
        return EmbeddingSubject(context, entry, text, vector, receipt, runner, stated)

    def _find_runner(self, row: StoredEntry) -> StatingRunner | None:
        """Return the runner that answered, as far as it still stands behind the model and signs."""
        if row.source != RUNNER_SOURCE:
            return None
        model = self._models.resolve(row.model)
        if model.runner is None or not isinstance(model.upstream, StatesEmbeddings):
            return None
        return StatingRunner(model.runner, model.upstream)


def _load_before(connection: Connection, tenant: TenantId, entry: EntryId) -> Before | None:
    name = EntryRepository(connection, tenant).get_embedding_statement(entry)
    if name is None:
        return None
    evidence = EvidenceRepository(connection, tenant).get(name)
    return Before(name, evidence is not None and _is_committed(evidence))


def _is_committed(evidence: StoredEvidence) -> bool:
    """Whether it names a commitment; what cannot be read names none, so that another statement takes its place."""
    try:
        return evidence.body is not None and parse_embedding(evidence.body)[1].commitment is not None
    except VerificationError:
        return False
