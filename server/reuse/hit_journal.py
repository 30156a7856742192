"""Write every hit down: what was reused, for which request, under which policy, so that an auditor can be shown it.

A hit is given only if there is room to note it; a full journal makes misses (`log_behind`) until the store has caught up.
Records are made when they are written, not while somebody waits for an answer. What cannot be written now is kept and
tried again, within the same bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import Connection

from crypto.commitment import hit_salt, query_commitment, query_vector_commitment
from crypto.errors import EncodingError
from crypto.hit import HitRecord
from crypto.pseudonym import epoch_of
from server.ports import Clock, Int8Matrix, JsonObject, RandomSource
from server.reuse.outcomes import Derivation, Hit, Tier
from server.reuse.proof_writing import ProofWriter
from server.reuse.pseudonyms import pseudonym_at
from server.reuse.query_vectors import seal_query_vector
from server.reuse.receipts import Receipt
from server.reuse.tenant_directory import TenantContext
from server.store.database import Database
from server.store.errors import Conflict
from server.store.log_records import NewHit
from server.store.receipts import HitRepository
from server.store.tenancy import DataKeyRepository
from server.telemetry import Telemetry
from tenants.identifiers import LookupId, TenantId

log = structlog.get_logger()

#: Hits in one transaction: other writes wait for no longer than these take.
HITS_PER_WRITE_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Match:
    """Why a hit by meaning was one: the query's quantised vector, shape (dimension,), and τ that it passed."""

    vector: Int8Matrix
    tau: int


@dataclass(frozen=True, slots=True)
class GivenHit:
    """A hit as it was given; *tenant* is the context, policy and all, under which it was.

    *keeps_query* is false where the request asked that nothing of it be stored.
    """

    tenant: TenantContext
    id: LookupId
    at_ms: int
    tier: Tier
    derivation: Derivation
    receipt: Receipt
    messages: Sequence[JsonObject]
    match: Match | None
    keeps_query: bool


class HitJournal:
    """Collects hits and writes them every *flush_s* seconds; holds at most *queue_max* that are not written yet."""

    def __init__(
        self,
        database: Database,
        proofs: ProofWriter,
        telemetry: Telemetry,
        clock: Clock,
        random: RandomSource,
        *,
        flush_s: float,
        queue_max: int,
    ) -> None:
        self._database = database
        self._proofs = proofs
        self._telemetry = telemetry
        self._clock = clock
        self._random = random
        self._flush_s = flush_s
        self._queue_max = queue_max
        self._waiting: list[GivenHit] = []
        self._being_written = 0
        self._flushing = asyncio.Lock()

    @property
    def is_full(self) -> bool:
        """Whether no further hit may be given now."""
        return len(self._waiting) + self._being_written >= self._queue_max

    def note(
        self,
        tenant: TenantContext,
        lookup: LookupId,
        outcome: Hit,
        receipt: Receipt,
        messages: Sequence[JsonObject],
        match: Match | None,
        *,
        keeps_query: bool,
    ) -> None:
        """Note a hit that is about to be given; ask `is_full` before."""
        self._waiting.append(
            GivenHit(
                tenant=tenant,
                id=lookup,
                at_ms=self._clock.now_ms(),
                tier=outcome.tier,
                derivation=outcome.derivation,
                receipt=receipt,
                messages=messages,
                match=match,
                keeps_query=keeps_query,
            )
        )

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            await asyncio.sleep(self._flush_s)
            await self.flush()

    async def flush(self) -> None:
        """Write down all that waits; what cannot be written now waits on."""
        async with self._flushing:
            waiting, self._waiting = self._waiting, []
            self._being_written = len(waiting)
            try:
                while waiting:
                    await self._write(waiting[:HITS_PER_WRITE_MAX])
                    waiting = waiting[HITS_PER_WRITE_MAX:]
                    self._being_written = len(waiting)
            except Exception as error:  # noqa: BLE001  # an edge: whatever a write raises, these hits are still to be written
                self._telemetry.degraded.labels("hits").inc()
                log.warning("hits_not_written", count=len(waiting), error=type(error).__name__)
            finally:
                self._waiting = waiting + self._waiting
                self._being_written = 0

    async def _write(self, given: Sequence[GivenHit]) -> None:
        made = await asyncio.to_thread(self._make_records, given)
        try:
            await self._database.write(lambda connection: self._add(connection, made))
        except Conflict:
            # A commit whose success was never heard of: what is there is not written twice.
            await self._database.write(lambda connection: self._add(connection, _missing(connection, made)))

    def _add(self, connection: Connection, made: Sequence[tuple[TenantContext, list[NewHit]]]) -> None:
        for tenant, hits in made:
            # Nothing of a tenant that was erased a moment ago may appear again.
            if DataKeyRepository(connection, tenant.id).has(tenant.data_key.epoch):
                self._proofs.add_hits(connection, tenant, hits)

    def _make_records(self, given: Sequence[GivenHit]) -> list[tuple[TenantContext, list[NewHit]]]:
        """Make the records of *given*, grouped by tenant and the policy that decided."""
        groups: dict[tuple[TenantId, int], tuple[TenantContext, list[NewHit]]] = {}
        pseudonyms: dict[tuple[TenantId, int], str] = {}
        for hit in given:
            place = (hit.tenant.id, epoch_of(hit.at_ms))
            if place not in pseudonyms:
                pseudonyms[place] = pseudonym_at(hit.tenant, hit.at_ms)
            try:
                record = make_record(hit, pseudonyms[place]).to_payload()
            except EncodingError as error:
                # No request that has an entry gets here: it would have had no receipt. It must not stop the others.
                self._telemetry.records_dropped.inc()
                log.error("hit_not_recorded", hit=hit.id, error=type(error).__name__)
                continue
            _, hits = groups.setdefault((hit.tenant.id, hit.tenant.policy_version), (hit.tenant, []))
            hits.append(NewHit(hit.id, hit.at_ms, hit.receipt.id, hit.tier, record, self._seal_query(hit)))
        return list(groups.values())

    def _seal_query(self, hit: GivenHit) -> bytes | None:
        """Seal what the hit was found by, for as long as its tenant keeps lookups; None where this one is not kept."""
        tenant, match = hit.tenant, hit.match
        if match is None or not hit.keeps_query or not tenant.policy.lookup_retention_s:
            return None
        vector = match.vector.tobytes()
        return seal_query_vector(vector, key=tenant.data_key, tenant=tenant.id, hit=hit.id, random=self._random)


def _missing(
    connection: Connection, made: Sequence[tuple[TenantContext, list[NewHit]]]
) -> list[tuple[TenantContext, list[NewHit]]]:
    """Return what of *made* is not in the store."""
    return [
        (tenant, [hit for hit in hits if HitRepository(connection, tenant.id).get(hit.id) is None])
        for tenant, hits in made
    ]


def make_record(hit: GivenHit, pseudonym: str) -> HitRecord:
    """Return what is logged of *hit*: commitments alone, whose salts its tenant's key gives again."""
    key, match = hit.tenant.hit_salt_key, hit.match
    return HitRecord(
        at_ms=hit.at_ms,
        derivation=hit.derivation,
        hit=hit.id,
        policy=hit.tenant.policy_digest,
        query=query_commitment(hit_salt(key, hit.id, "query"), list(hit.messages)),
        query_vector=None
        if match is None
        else query_vector_commitment(hit_salt(key, hit.id, "query_vector"), match.vector.tobytes()),
        receipt=hit.receipt.statement,
        receipt_leaf=hit.receipt.leaf_hash,
        tau=None if match is None else match.tau,
        tenant=pseudonym,
        tier=hit.tier,
    )
