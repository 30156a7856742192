"""Read partitions from the store: sealed vectors in, ids and int8 rows out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import structlog

from server.index.partitions import PartitionKey
from server.ports import Clock, Int8Matrix, Int64Vector
from server.reuse.payload import unseal_vector
from server.reuse.tenant_directory import TenantContext, TenantDirectory
from server.store.database import Database
from server.store.entries import EntryRepository
from tenants.errors import TenantError
from tenants.identifiers import EntryId
from tenants.sealing import sealed_epoch

log = structlog.get_logger()


class VectorReader:
    """Loads whole partitions, and single rows of them, of any tenant."""

    def __init__(
        self, database: Database, tenants: TenantDirectory, clock: Clock, *, embedder_digest: str, dimension: int
    ) -> None:
        self._database = database
        self._tenants = tenants
        self._clock = clock
        self._embedder_digest = embedder_digest
        self._dimension = dimension

    async def load_partition(self, key: PartitionKey) -> tuple[Int64Vector, Int8Matrix]:
        """Return all live rows of *key*, in id order."""
        context = await self._tenants.get(key.tenant)
        now_ms = self._clock.now_ms()
        sealed = await self._database.read(
            lambda connection: EntryRepository(connection, key.tenant).load_vectors(
                key.scope, self._embedder_digest, now_ms=now_ms
            )
        )
        return await asyncio.to_thread(open_vectors, context, sealed, self._dimension)

    async def load_rows(self, key: PartitionKey, ids: Sequence[int]) -> tuple[Int64Vector, Int8Matrix]:
        """Return those of *ids* that are live in *key*."""
        context = await self._tenants.get(key.tenant)
        wanted = [EntryId(entry) for entry in ids]
        sealed = await self._database.read(
            lambda connection: EntryRepository(connection, key.tenant).load_vectors_of(wanted, self._embedder_digest)
        )
        return open_vectors(context, sealed, self._dimension)


def open_vectors(
    context: TenantContext, sealed: list[tuple[EntryId, bytes]], dimension: int
) -> tuple[Int64Vector, Int8Matrix]:
    """Open sealed vectors into ids, shape (n,), and rows, shape (n, dimension); one that does not open is left out."""
    ids: list[int] = []
    rows: list[Int8Matrix] = []
    for entry, blob in sealed:
        try:
            key = context.open_with(sealed_epoch(blob))
            rows.append(unseal_vector(blob, key=key, tenant=context.id, entry=entry))
        except TenantError:
            log.warning("vector_not_opened", entry=int(entry))
            continue
        ids.append(int(entry))
    if not ids:
        return np.empty(0, np.int64), np.empty((0, dimension), np.int8)
    return np.array(ids, np.int64), np.stack(rows)
