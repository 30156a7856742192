"""Keep proofs and log that they exist: each document with its evidence leaf in one transaction, once per subject.

A hit's document lies sealed, and as long as the query's vector that it is about: guesses of that could be tested with it.
Two gateways may make the same document at the same time. Whoever comes second finds the first one's, and gives that out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from sqlalchemy import Connection

from crypto.applicability.documents import Applicability, ProofDocument, WellFormedness
from crypto.bodies import Evidence
from server.applicability.sealed_documents import seal_document, unseal_document
from server.applicability.subjects import Stated, Subject
from server.log.bodies import append_body
from server.ports import Clock, RandomSource
from server.reuse.tenant_directory import TenantContext, TenantDirectory
from server.store.applicability import ApplicabilityRepository
from server.store.database import Database
from server.store.errors import Conflict, NotFound
from server.store.log_records import (
    NewApplicability,
    NewWellFormedness,
    StoredApplicability,
    StoredEvidence,
    StoredHit,
    StoredWellFormedness,
)
from server.store.receipts import EvidenceRepository, HitRepository
from server.store.tenancy import DataKeyRepository
from tenants.sealing import sealed_epoch

Stored = TypeVar("Stored")

NONCE_BYTES: Final = 32


class ProofStore:
    """Reads and writes the proofs of any tenant."""

    def __init__(self, database: Database, tenants: TenantDirectory, clock: Clock, random: RandomSource) -> None:
        self._database = database
        self._tenants = tenants
        self._clock = clock
        self._random = random

    async def find_hit(self, tenant: TenantContext, hit: str) -> StoredHit:
        """Return a hit of *tenant*; raises `NotFound`."""
        found = await self._database.read(lambda connection: HitRepository(connection, tenant.id).get(hit))
        if found is None:
            raise NotFound("there is no such hit; one of a moment ago is written down within a second")
        return found

    async def find(
        self, tenant: TenantContext, hit: str
    ) -> tuple[StoredEvidence, StoredWellFormedness, StoredApplicability] | None:
        """Return what proves *hit*, if that was made already: the statement, its well-formedness and the proof, opened.

        Raises `UnsealError` where the proof does not open any more.
        """
        found = await self._database.read(lambda connection: _find(connection, tenant, hit))
        if found is None:
            return None
        evidence, formed, proof = found
        key = await self._tenants.key_for(tenant, sealed_epoch(proof.document))
        document = unseal_document(proof.document, key=key, tenant=tenant.id, hit=hit)
        return evidence, formed, replace(proof, document=document)

    async def find_well_formedness(self, tenant: TenantContext, evidence: str) -> StoredWellFormedness | None:
        """Return the well-formedness document of one embedding statement's commitment, if there is one."""
        return await self._database.read(
            lambda connection: ApplicabilityRepository(connection, tenant.id).get_well_formedness(evidence)
        )

    async def add_well_formedness(self, tenant: TenantContext, subject: Subject, proof: bytes) -> None:
        """Store and log *proof* of the subject's commitment, unless one is there."""
        stated = subject.stated
        document = WellFormedness(stated.digest, proof, stated.suite.name)

        def write(connection: Connection) -> None:
            proofs, name = ApplicabilityRepository(connection, tenant.id), stated.evidence.id
            if proofs.get_well_formedness(name) is None:
                at_ms, seq = self._append(connection, tenant, stated, document)
                proofs.add_well_formedness(NewWellFormedness(name, seq, document.to_payload(), at_ms))

        await self._write(tenant, write)

    async def add(self, tenant: TenantContext, subject: Subject, proof: bytes) -> None:
        """Store and log *proof* of the subject's hit, unless one is there, or the query's vector is forgotten by now."""
        stated, hit = subject.stated, subject.hit.id
        document = Applicability(stated.digest, hit, proof, stated.suite.name)
        sealed = seal_document(
            document.to_payload(), key=tenant.data_key, tenant=tenant.id, hit=hit, random=self._random
        )

        def write(connection: Connection) -> None:
            proofs, row = ApplicabilityRepository(connection, tenant.id), HitRepository(connection, tenant.id).get(hit)
            if row is not None and row.query_vector is not None and proofs.get(hit) is None:
                at_ms, seq = self._append(connection, tenant, stated, document)
                proofs.add(NewApplicability(hit, stated.evidence.id, seq, sealed, at_ms))

        await self._write(tenant, write)

    def _append(
        self, connection: Connection, tenant: TenantContext, stated: Stated, document: ProofDocument
    ) -> tuple[int, int]:
        """Append the leaf of *document*; return its time and its number."""
        body = Evidence(
            at_ms=self._clock.now_ms(),
            digest=document.digest(),
            kind=document.kind,
            nonce=self._random.token_bytes(NONCE_BYTES),
            statement=stated.statement.statement,
        )
        return body.at_ms, append_body(connection, body, tenant=tenant.id)

    async def _write(self, tenant: TenantContext, write: Callable[[Connection], None]) -> None:
        def write_unless_erased(connection: Connection) -> None:
            if not DataKeyRepository(connection, tenant.id).has(tenant.data_key.epoch):
                raise NotFound("there is no such hit")  # erased a moment ago: nothing of it may appear again
            write(connection)

        try:
            await self._database.write(write_unless_erased)
        except Conflict:
            # Another gateway's, committed between our look and our write: that one counts, and its leaf alone was kept.
            return


def _find(
    connection: Connection, tenant: TenantContext, hit: str
) -> tuple[StoredEvidence, StoredWellFormedness, StoredApplicability] | None:
    proofs = ApplicabilityRepository(connection, tenant.id)
    proof = proofs.get(hit)
    if proof is None:
        return None
    evidence = EvidenceRepository(connection, tenant.id).get(proof.evidence_id)
    formed = proofs.get_well_formedness(proof.evidence_id)
    return None if evidence is None or formed is None else (evidence, formed, proof)
