"""Make an entry of the pool: sealed under its keys, with its receipt, in one transaction with what it came from.

The pool forgets by age and size alone, oldest first: nothing of an entry changes when it answers, so nothing can be
learned from what stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from sqlalchemy import Connection

from crypto.merkle import leaf_hash
from server.identifiers import new_entry_id
from server.index.partitions import PartitionKey, Partitions
from server.ports import Clock, Int8Matrix, JsonObject, RandomSource
from server.reuse.fingerprint import Identity, PoolMode, pool_fingerprint
from server.reuse.payload import Alias, EntryPayload, EntryTerms, seal_payload, seal_vector
from server.reuse.proof_writing import ProofWriter
from server.reuse.receipt_making import MadeReceipt
from server.reuse.receipts import Receipt
from server.reuse.storing import ROW_OVERHEAD_BYTES, Stored
from server.reuse.tenant_directory import TenantContext
from server.store.database import Database
from server.store.entries import EntryRepository, Selection
from server.store.errors import NotFound
from server.store.records import NewEntry
from server.store.tenancy import DataKeyRepository
from tenants.identifiers import EntryId

#: Entries that go at once where the pool is full, so that not every store pays for the count.
EVICTED_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Publication:
    """What becomes an entry of the pool.

    *identity* is that of the ordinary request: its fingerprint is what readers come with, its exact key what replaces an
    older entry. *messages* are what the entry says of the conversation, *aliases* what it is matched against, *vector*
    what it is found by, shape (dimension,). *expires_at_ms*, where it is given, ends the entry before its time.
    """

    mode: PoolMode
    identity: Identity
    messages: list[JsonObject]
    parameters: JsonObject
    response: JsonObject
    receipt: MadeReceipt
    provenance: JsonObject | None
    aliases: tuple[Alias, ...]
    vector: Int8Matrix
    model: str
    model_version: str
    reported: str
    prompt_tokens: int
    output_tokens: int
    cost_micro: int
    created_at_ms: int
    expires_at_ms: int | None = None


class PoolStorer:
    """Stores entries of the pool, at most *entries_max* of them, each for *ttl_s* seconds."""

    def __init__(
        self,
        database: Database,
        partitions: Partitions,
        proofs: ProofWriter,
        *,
        embedder_digest: str,
        clock: Clock,
        random: RandomSource,
        entries_max: int,
        ttl_s: int,
    ) -> None:
        self._database = database
        self._partitions = partitions
        self._proofs = proofs
        self._embedder_digest = embedder_digest
        self._clock = clock
        self._random = random
        self._entries_max = entries_max
        self._ttl_s = ttl_s

    async def store(
        self, pool: TenantContext, publication: Publication, also: Callable[[Connection, EntryId], None]
    ) -> Stored:
        """Store *publication*; *also* runs in the same transaction, and what it raises undoes all of it.

        Raises `NotFound` where the pool was erased, `SignerRevoked`, and other `StoreError`s.
        """
        entry = self._seal(pool, publication)

        def write(connection: Connection) -> int:
            if not DataKeyRepository(connection, pool.id).has(pool.data_key.epoch):
                raise NotFound("the pool's data key was destroyed; nothing was stored")
            repository = EntryRepository(connection, pool.id)
            self._make_room(repository)
            seq = self._proofs.add_receipt(connection, pool, publication.receipt, entry.id)
            repository.add(entry)
            also(connection, entry.id)
            return seq

        seq = await self._database.write(write)
        key = PartitionKey(pool.id, entry.fingerprint)
        await self._partitions.add(key, np.array([entry.id]), publication.vector[np.newaxis])
        made = publication.receipt
        return Stored(entry.id, Receipt(made.id, seq, made.statement.grade, made.digest, leaf_hash(made.leaf)))

    def _make_room(self, repository: EntryRepository) -> None:
        held, _ = repository.totals()
        if held < self._entries_max:
            return
        count, now_ms = held - self._entries_max + EVICTED_AT_ONCE, self._clock.now_ms()
        # Nothing touches an entry of the pool, so the one least recently hit is the oldest.
        for candidate in repository.load_eviction_candidates(min(count, held)):
            repository.delete(Selection(entry=candidate[0]), at_ms=now_ms)

    def _seal(self, pool: TenantContext, publication: Publication) -> NewEntry:
        entry = new_entry_id(self._clock.now_ms(), self._random)
        created_at_ms = publication.created_at_ms
        lasts_until_ms = created_at_ms + self._ttl_s * 1000
        expires_at_ms = min(lasts_until_ms, publication.expires_at_ms or lasts_until_ms)
        payload = seal_payload(
            EntryPayload(
                messages=publication.messages,
                parameters=publication.parameters,
                facts=None,
                norm_squared=None,
                response=publication.response,
                provenance=publication.provenance,
                openings=publication.receipt.openings,
                terms=EntryTerms(
                    publication.model_version, publication.reported, "runner", created_at_ms, expires_at_ms
                ),
                aliases=publication.aliases,
            ),
            key=pool.data_key,
            tenant=pool.id,
            entry=entry,
            random=self._random,
        )
        vector = seal_vector(publication.vector, key=pool.data_key, tenant=pool.id, entry=entry, random=self._random)
        return NewEntry(
            id=entry,
            fingerprint=pool_fingerprint(publication.mode, publication.identity.fingerprint),
            exact_key=publication.identity.exact_key,
            kind="answer",
            source="runner",
            derivation="none",
            parents="[]",
            model=publication.model,
            model_version=publication.model_version,
            reported=publication.reported,
            embedder=self._embedder_digest,
            created_at_ms=created_at_ms,
            expires_at_ms=expires_at_ms,
            prompt_tokens=publication.prompt_tokens,
            output_tokens=publication.output_tokens,
            cost_micro=publication.cost_micro,
            size_bytes=len(payload) + len(vector) + ROW_OVERHEAD_BYTES,
            payload=payload,
            vector=vector,
            tags=(),
            receipt_id=publication.receipt.id,
        )
