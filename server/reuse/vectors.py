"""Read partitions from the store: sealed vectors in, ids and int8 rows out."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence

import numpy as np
import structlog
from sqlalchemy import Connection

from server.index.partitions import PartitionKey
from server.ports import Clock, Int8Matrix, Int64Vector
from server.reuse.payload import unseal_vector
from server.reuse.tenant_directory import TenantContext, TenantDirectory
from server.store.database import Database
from server.store.entries import VECTORS_MAX, EntryRepository
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
        pages: list[tuple[Int64Vector, Int8Matrix]] = []
        after = -1
        while True:  # page by page: a million sealed vectors at once would take three times their memory
            read = functools.partial(self._read_page, key, now_ms, after)
            sealed = await self._database.read(read)
            pages.append(await asyncio.to_thread(open_vectors, context, sealed, self._dimension))
            if len(sealed) < VECTORS_MAX:
                break
            after = int(sealed[-1][0])
        if len(pages) == 1:
            return pages[0]
        return np.concatenate([ids for ids, _ in pages]), np.concatenate([rows for _, rows in pages])

    async def load_rows(self, key: PartitionKey, ids: Sequence[int]) -> tuple[Int64Vector, Int8Matrix]:
        """Return those of *ids* that are live in *key*."""
        context = await self._tenants.get(key.tenant)
        wanted = [EntryId(entry) for entry in ids]
        sealed = await self._database.read(
            lambda connection: EntryRepository(connection, key.tenant).load_vectors_of(wanted, self._embedder_digest)
        )
        return open_vectors(context, sealed, self._dimension)

    def _read_page(
        self, key: PartitionKey, now_ms: int, after: int, connection: Connection
    ) -> list[tuple[EntryId, bytes]]:
        entries = EntryRepository(connection, key.tenant)
        return entries.load_vectors(key.scope, self._embedder_digest, now_ms=now_ms, after=after)


def open_vectors(
    context: TenantContext, sealed: list[tuple[EntryId, bytes]], dimension: int
) -> tuple[Int64Vector, Int8Matrix]:
    """Open sealed vectors into ids, shape (n,), and rows, shape (n, dimension); one that does not open is left out."""
    ids = np.empty(len(sealed), np.int64)
    rows = np.empty((len(sealed), dimension), np.int8)
    count = 0
    for entry, blob in sealed:
        try:
            key = context.open_with(sealed_epoch(blob))
            row = unseal_vector(blob, key=key, tenant=context.id, entry=entry)
        except TenantError:
            log.warning("vector_not_opened", entry=int(entry))
            continue
        rows[count], ids[count] = row, entry
        count += 1
    return ids[:count], rows[:count]
