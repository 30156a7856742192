"""Open what a proof is made of: a hit's record and query, its entry's vector, and the statement that commits to that.

Everything is read through repositories of the tenant that asks, and everything opened is compared with what was committed
to before it is used: a proof of another vector would prove nothing, and a bundle that holds it would fail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import Connection

from crypto.applicability.statement import ApplicabilityStatement
from crypto.applicability.suites import Suite, UnsupportedDimension, find_suite, suite_for
from crypto.commitment import hit_salt, query_vector_commitment, vector_commitment
from crypto.embedding_statement import EmbeddingStatement, parse_embedding
from crypto.errors import VerificationError
from crypto.hit import HitRecord, parse_hit_record
from crypto.in_toto import statement_digest
from server.applicability.outcomes import Unprovable
from server.reuse.embedding_statements import EVIDENCE_KIND
from server.reuse.evidence_opening import unseal_opening
from server.reuse.payload import unseal_vector
from server.reuse.query_vectors import unseal_query_vector
from server.reuse.tenant_directory import TenantContext, TenantDirectory
from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.errors import NotFound
from server.store.log_records import StoredEvidence, StoredHit, StoredReceipt
from server.store.receipts import EvidenceRepository, ReceiptRepository
from tenants.errors import UnsealError
from tenants.identifiers import EntryId, TenantId
from tenants.sealing import sealed_epoch

log = structlog.get_logger()

#: What of an evidence's opening opens the algebraic commitment, and what the other one.
SEED: Final = "commitment"
VECTOR: Final = "vector"
_COMMITMENT: Final = re.compile("[0-9a-f]{96}")


@dataclass(frozen=True, slots=True)
class Stated:
    """An embedding statement that commits to a vector, as evidence and as it was read; *digest* names it."""

    evidence: StoredEvidence
    statement: EmbeddingStatement
    digest: str
    suite: Suite
    commitment: bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """Everything that one hit's proof is made of, opened; vectors are quantised components."""

    hit: StoredHit
    receipt: StoredReceipt
    stated: Stated
    query: tuple[int, ...]
    tau: int
    vector: tuple[int, ...]
    seed: bytes

    @property
    def statement(self) -> ApplicabilityStatement:
        """What is to be proved of it."""
        return ApplicabilityStatement(
            suite=self.stated.suite,
            embedding=self.stated.digest,
            record=self.hit.record,
            commitment=self.stated.commitment,
            query=self.query,
            tau=self.tau,
            dimension=self.stated.statement.dimension,
        )


@dataclass(frozen=True, slots=True)
class Query:
    """What opens a hit's `query_vector`: the salt, and the vector with one signed byte per component."""

    salt: bytes
    vector: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """A hit that could be proved, as far as its row says: the receipt and entry that answered, the query in the clear."""

    hit: StoredHit
    record: HitRecord
    receipt: StoredReceipt
    entry: EntryId
    query: bytes


class SubjectReader:
    """Opens subjects of any tenant under that tenant's keys."""

    def __init__(self, database: Database, tenants: TenantDirectory) -> None:
        self._database = database
        self._tenants = tenants

    async def answered(self, tenant: TenantContext, hit: StoredHit) -> Answered | Unprovable:
        """Return what answered *hit*, and its query; raises `NotFound` where its receipt is gone."""
        receipt, entry = await self._database.read(lambda connection: _answering(connection, tenant.id, hit))
        if receipt is None or receipt.body is None:
            raise NotFound("the receipt of this hit is gone")
        if entry is None:
            return Unprovable("entry_gone")
        if hit.query_vector is None:
            return Unprovable("query_not_kept")
        query = await self.query(tenant, hit)
        if query is None:
            return _closed("query", hit.id)
        try:
            suite_for(len(query.vector))
        except UnsupportedDimension:
            return Unprovable("unsupported_dimension")
        return Answered(hit, parse_hit_record(hit.record), receipt, entry, query.vector)

    async def query(self, tenant: TenantContext, hit: StoredHit) -> Query | None:
        """Return what opens the query of *hit*; None where it is not kept, does not open or is not what was logged."""
        if hit.query_vector is None:
            return None
        try:
            key = await self._tenants.key_for(tenant, sealed_epoch(hit.query_vector))
            vector = unseal_query_vector(hit.query_vector, key=key, tenant=tenant.id, hit=hit.id)
        except UnsealError:
            return None
        salt = hit_salt(tenant.hit_salt_key, hit.id, "query_vector")
        is_logged = parse_hit_record(hit.record).query_vector == query_vector_commitment(salt, vector)
        return Query(salt, vector) if is_logged else None

    async def stated(self, tenant: TenantContext, answered: Answered) -> Stated | None:
        """Return the newest statement with a commitment about the receipt that answered; None where there is none."""
        receipt = answered.receipt
        rows = await self._database.read(
            lambda connection: EvidenceRepository(connection, tenant.id).list_of_receipts([receipt.id])
        )
        digest = "sha256:" + receipt.statement_digest.hex()
        found = (read_stated(row) for row in reversed(rows))
        return next((one for one in found if one is not None and one.statement.statement == digest), None)

    async def open(self, tenant: TenantContext, answered: Answered, stated: Stated) -> Subject | Unprovable:
        """Open the vector and the seed, and hold both statements to what they open."""
        entry, embedder, sealed_salts = answered.entry, stated.statement.embedder, stated.evidence.opening
        rows = await self._database.read(
            lambda connection: EntryRepository(connection, tenant.id).load_vectors_of([entry], embedder)
        )
        if not rows or sealed_salts is None:
            return Unprovable("entry_gone")
        try:
            salts = unseal_opening(
                await self._tenants.key_for(tenant, sealed_epoch(sealed_salts)),
                tenant.id,
                stated.evidence.id,
                sealed_salts,
            )
            key = await self._tenants.key_for(tenant, sealed_epoch(rows[0][1]))
            vector = unseal_vector(rows[0][1], key=key, tenant=tenant.id, entry=entry)
        except UnsealError:
            return _closed("entry", answered.hit.id)
        if not {SEED, VECTOR} <= salts.keys() or len(vector) != len(answered.query):
            return Unprovable("not_stated")
        if vector_commitment(salts[VECTOR], vector.tobytes()) != stated.statement.vector_commitment:
            return _closed("vector", answered.hit.id)
        return Subject(
            hit=answered.hit,
            receipt=answered.receipt,
            stated=stated,
            query=components(answered.query),
            tau=answered.record.tau or 0,
            vector=tuple(int(part) for part in vector),
            seed=salts[SEED],
        )


def components(packed: bytes) -> tuple[int, ...]:
    """Return the components of a quantised vector of one signed byte each."""
    return tuple(part - 256 if part > 127 else part for part in packed)


def read_stated(row: StoredEvidence) -> Stated | None:
    """Read evidence as a statement that commits to a vector in a suite known here; None for any other evidence."""
    if row.kind != EVIDENCE_KIND or row.body is None:
        return None
    try:
        envelope, statement = parse_embedding(row.body)
    except VerificationError as error:
        log.warning("embedding_statement_unreadable", evidence=row.id, reason=error.reason)
        return None
    suite = None if statement.suite is None else find_suite(statement.suite)
    if suite is None or statement.commitment is None or _COMMITMENT.fullmatch(statement.commitment) is None:
        return None
    return Stated(row, statement, statement_digest(envelope.payload), suite, bytes.fromhex(statement.commitment))


def _answering(connection: Connection, tenant: TenantId, hit: StoredHit) -> tuple[StoredReceipt | None, EntryId | None]:
    """Return the receipt of *hit*, and its entry unless that is gone or answers under another receipt by now."""
    receipt = ReceiptRepository(connection, tenant).get(hit.receipt_id)
    if receipt is None or receipt.entry_id is None:
        return receipt, None
    row = EntryRepository(connection, tenant).get(receipt.entry_id)
    return receipt, None if row is None or row.receipt_id != receipt.id or row.state != "live" else row.id


def _closed(part: str, hit: str) -> Unprovable:
    log.error("applicability_not_opened", part=part, hit=hit)
    return Unprovable("does_not_open")
