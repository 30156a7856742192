"""Put hits into batches: one leaf for all hits of one tenant and pseudonym since the last time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from sqlalchemy import Connection

from crypto.bodies import HitBatch
from crypto.merkle import MemoryTree, leaf_hash
from server.log.bodies import append_body
from server.ports import RandomSource
from server.store.log import LogRepository
from server.store.log_records import UnbatchedHit
from tenants.identifiers import TenantId

#: Hits per transaction, and so at most per batch: the writer is held for some 50 ms.
HITS_MAX: Final = 5_000
NONCE_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that is to be logged, and its hits in order."""

    tenant: TenantId
    body: HitBatch
    hits: tuple[str, ...]


def make_batches(waiting: Sequence[UnbatchedHit], *, at_ms: int, random: RandomSource) -> list[Batch]:
    """Make the batches of *waiting*, which comes tenant by tenant; a tenant's pseudonyms are kept apart."""
    keyed = [((hit.tenant_id, _pseudonym_of(hit)), hit) for hit in waiting]
    keyed.sort(key=lambda item: item[0])  # stable: within a pseudonym the order stays
    return [
        _make_batch(tenant, pseudonym, [hit for _key, hit in group], at_ms, random.token_bytes(NONCE_BYTES))
        for (tenant, pseudonym), group in groupby(keyed, key=lambda item: item[0])
    ]


def _pseudonym_of(hit: UnbatchedHit) -> str:
    """Return the pseudonym in a record; it was checked when it was made, and reading it whole costs ten times as much."""
    return str(json.loads(hit.record)["tenant"])


def _make_batch(tenant: TenantId, pseudonym: str, hits: list[UnbatchedHit], at_ms: int, nonce: bytes) -> Batch:
    tree = MemoryTree(leaf_hash(hit.record) for hit in hits)
    body = HitBatch(at_ms=at_ms, count=tree.size, nonce=nonce, root=tree.root(), tenant=pseudonym)
    return Batch(tenant, body, tuple(hit.id for hit in hits))


def log_batches(connection: Connection, batches: Sequence[Batch], token: int) -> None:
    """Append the batches' leaves and note where each hit is; all in the caller's transaction. Raises `StoreError`."""
    repository = LogRepository(connection)
    for batch in batches:
        seq = append_body(connection, batch.body, tenant=batch.tenant)
        repository.put_into_batch(token, batch.tenant, seq, batch.hits)
