"""Turn a fresh answer and its receipt into an entry: seal, store in one transaction, then make it findable.

In that transaction stand the policy's leaf where it was not announced yet, the receipt with its leaf, the entry and its
feed row: none is ever there without the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import structlog
from sqlalchemy import Connection

from crypto.merkle import leaf_hash
from crypto.similarity import is_matchable
from server.identifiers import new_entry_id
from server.index.partitions import PartitionKey, Partitions
from server.ports import Clock, Int8Matrix, JsonObject, RandomSource
from server.reuse.eviction import Totals
from server.reuse.fingerprint import Identity
from server.reuse.guards import Facts
from server.reuse.payload import EntryPayload, EntryTerms, seal_payload, seal_vector
from server.reuse.proof_writing import ProofWriter
from server.reuse.quantise import norms_squared
from server.reuse.receipt_making import MadeReceipt
from server.reuse.receipts import Receipt
from server.reuse.tenant_directory import TenantContext
from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.errors import Conflict, NotFound
from server.store.records import NewEntry
from server.store.tenancy import DataKeyRepository
from tenants.identifiers import EntryId

log = structlog.get_logger()

#: What a row costs beside its sealed bytes: columns, indexes, feed. Measured in docs/explanation/index.md.
ROW_OVERHEAD_BYTES = 600

#: Ids of one millisecond share 21 bits of chance, so two may meet; the second is drawn anew.
ID_DRAWS_MAX = 3


#: Writes what belongs to an entry with that id, in the transaction that stores it.
WriteAlso: TypeAlias = Callable[[Connection, EntryId], None]


@dataclass(frozen=True, slots=True)
class Question:
    """What an entry may be found by: its text, facts and quantised vector, shape (dimension,)."""

    text: str
    facts: Facts
    vector: Int8Matrix


@dataclass(frozen=True, slots=True)
class Fresh:
    """An answer that may be stored, with everything an entry records about it."""

    identity: Identity
    messages: list[JsonObject]
    parameters: JsonObject
    response: JsonObject
    receipt: MadeReceipt
    provenance: JsonObject | None
    question: Question | None
    source: str
    model: str
    model_version: str
    reported: str
    prompt_tokens: int
    output_tokens: int
    cost_micro: int
    ttl_s: int
    tags: tuple[str, ...]
    also: WriteAlso | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What an answer became: an entry and the receipt that stands behind it."""

    entry: EntryId
    receipt: Receipt


class Storer:
    """Stores entries of any tenant and keeps each within its quota."""

    def __init__(
        self,
        database: Database,
        totals: Totals,
        partitions: Partitions,
        proofs: ProofWriter,
        *,
        embedder_digest: str,
        clock: Clock,
        random: RandomSource,
    ) -> None:
        self._database = database
        self._totals = totals
        self._partitions = partitions
        self._proofs = proofs
        self._embedder_digest = embedder_digest
        self._clock = clock
        self._random = random

    async def store(self, tenant: TenantContext, fresh: Fresh) -> Stored:
        """Store *fresh* durably and say what it became; raises `StoreError`, and then nothing was stored.

        Raises `SignerRevoked` when the receipt's signer ceased to count.
        """
        for _ in range(ID_DRAWS_MAX - 1):
            with contextlib.suppress(Conflict):
                return await self._store_as(tenant, self._seal(tenant, fresh), fresh)
        return await self._store_as(tenant, self._seal(tenant, fresh), fresh)

    async def _store_as(self, tenant: TenantContext, entry: NewEntry, fresh: Fresh) -> Stored:
        def write(connection: Connection) -> int:
            if not DataKeyRepository(connection, tenant.id).has(tenant.data_key.epoch):
                # The tenant was erased while its answer was in the air: nothing of it may appear again.
                raise NotFound("the tenant's data key was destroyed; nothing was stored")
            seq = self._proofs.add_receipt(connection, tenant, fresh.receipt, entry.id)
            EntryRepository(connection, tenant.id).add(entry)
            if fresh.also is not None:
                fresh.also(connection, entry.id)
            self._totals.add(tenant.id, entries=1, size_bytes=entry.size_bytes)
            return seq

        await self._totals.make_room(tenant, entries=1, size_bytes=entry.size_bytes)
        seq = await self._database.write(write)
        if entry.vector is not None and fresh.question is not None:
            key = PartitionKey(tenant.id, entry.fingerprint)
            await self._partitions.add(key, np.array([entry.id]), fresh.question.vector[np.newaxis])
        made = fresh.receipt
        return Stored(entry.id, Receipt(made.id, seq, made.statement.grade, made.digest, leaf_hash(made.leaf)))

    def _seal(self, tenant: TenantContext, fresh: Fresh) -> NewEntry:
        now_ms = self._clock.now_ms()
        expires_at_ms = now_ms + fresh.ttl_s * 1000
        entry = new_entry_id(now_ms, self._random)
        question = fresh.question
        norm_squared = None if question is None else int(norms_squared(question.vector[np.newaxis])[0])
        payload = seal_payload(
            EntryPayload(
                messages=fresh.messages,
                parameters=fresh.parameters,
                facts=None if question is None else question.facts.to_json(),
                norm_squared=norm_squared,
                response=fresh.response,
                provenance=fresh.provenance,
                openings=fresh.receipt.openings,
                terms=EntryTerms(fresh.model_version, fresh.reported, fresh.source, now_ms, expires_at_ms),
            ),
            key=tenant.data_key,
            tenant=tenant.id,
            entry=entry,
            random=self._random,
        )
        vector = None
        if question is not None and norm_squared is not None and is_matchable(norm_squared):
            vector = seal_vector(
                question.vector, key=tenant.data_key, tenant=tenant.id, entry=entry, random=self._random
            )
        return NewEntry(
            id=entry,
            fingerprint=fresh.identity.fingerprint,
            exact_key=fresh.identity.exact_key,
            kind="answer",
            source=fresh.source,
            derivation="none",
            parents="[]",
            model=fresh.model,
            model_version=fresh.model_version,
            reported=fresh.reported,
            embedder=None if vector is None else self._embedder_digest,
            created_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
            prompt_tokens=fresh.prompt_tokens,
            output_tokens=fresh.output_tokens,
            cost_micro=fresh.cost_micro,
            size_bytes=len(payload) + len(vector or b"") + ROW_OVERHEAD_BYTES,
            payload=payload,
            vector=vector,
            tags=fresh.tags,
            receipt_id=fresh.receipt.id,
        )
