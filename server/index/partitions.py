"""All partitions of this process: searched, written, kept within a byte budget, fed by the change feed.

Everything here is derived from the store. A search that cannot be answered in time raises `PartitionNotReady`, a write
that fails unloads its partition, and every hit is confirmed by its row: lagging behind costs misses, never a wrong
answer.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeAlias

import numpy as np

from server.index.batching import SearchBatcher
from server.index.errors import PartitionNotReady, VectorIndexError
from server.index.growing import GrowingIndex
from server.index.observer import PartitionObserver, SilentObserver
from server.index.partition import Candidate, Partition, PartitionKey, PartitionLimits, candidates_of
from server.index.residency import PartitionLoader, Residency, Rows
from server.index.rows import checked_k, checked_rows, checked_vectors
from server.ports import Clock, Int8Matrix, Int64Vector
from tenants.identifiers import TenantId

__all__ = ["Candidate", "FeedChange", "PartitionKey", "PartitionLimits", "PartitionNotReady", "Partitions"]

RowLoader: TypeAlias = Callable[[PartitionKey, Sequence[int]], Awaitable[Rows]]

#: What an adapter raises when it cannot go on; anything else is a fault of ours and is not hidden.
_ADAPTER_ERRORS: Final = (VectorIndexError, RuntimeError, MemoryError)
_ROWS_PER_FETCH: Final = 500


class FeedChange(Protocol):
    """A row of the change feed, such as `server.store.records.FeedRow`."""

    @property
    def tenant_id(self) -> TenantId:
        """Whose."""
        ...

    @property
    def fingerprint(self) -> bytes | None:
        """The partition's scope; None for the whole tenant."""
        ...

    @property
    def operation(self) -> str:
        """`add`, `remove` or `drop`."""
        ...

    @property
    def entry_id(self) -> int | None:
        """The entry; None for the whole partition or tenant."""
        ...


class Partitions:
    """Answers searches within one tenant and scope; used from one event loop.

    Entry ids are never used twice, so an id that was removed stays removed: a late `add` of it is ignored.
    """

    def __init__(
        self,
        loader: PartitionLoader,
        *,
        dimension: int,
        clock: Clock,
        limits: PartitionLimits | None = None,
        row_loader: RowLoader | None = None,
        observer: PartitionObserver | None = None,
    ) -> None:
        """*loader* reads a whole partition, *row_loader* some of its rows; both return live rows only.

        Without *row_loader* a partition that another process added to is unloaded instead of patched.
        """
        self._limits = limits or PartitionLimits()
        self._observer: PartitionObserver = observer or SilentObserver()
        self._dimension = dimension
        self._clock = clock
        self._row_loader = row_loader
        self._threads = ThreadPoolExecutor(self._limits.threads, thread_name_prefix="index-search")
        self._residency = Residency(
            loader,
            dimension=dimension,
            clock=clock,
            limits=self._limits,
            observer=self._observer,
            threads=self._threads,
        )
        self._batcher = SearchBatcher(self._threads, clock=clock, limits=self._limits, observer=self._observer)
        self._removed: OrderedDict[tuple[TenantId, int], None] = OrderedDict()
        self._writes: set[asyncio.Task[None]] = set()

    async def search(self, key: PartitionKey, query: Int8Matrix, k: int) -> list[Candidate]:
        """Return the *k* nearest entries of one partition, best first, ties by lower id.

        *query* has shape (dimension,) or (1, dimension). Raises `PartitionNotReady`, which means: treat it as a miss.
        """
        row = checked_vectors(np.atleast_2d(query), self._dimension)
        checked_k(k)
        partition = await self._residency.ready(key)
        index = partition.index
        if index is None:
            raise self._residency.not_ready("loading")
        try:
            if len(index) <= self._limits.inline_rows_max and not partition.writes_pending:
                return self._search_here(index, row, k)
            return await self._batcher.search(partition, row, k)
        except PartitionNotReady as error:
            self._observer.not_ready(error.reason)
            raise
        except _ADAPTER_ERRORS as error:
            self._residency.discard(partition)
            raise self._residency.not_ready("broken") from error

    async def add(self, key: PartitionKey, ids: Int64Vector | Sequence[int], vectors: Int8Matrix) -> None:
        """Make entries findable, once their rows are committed; a partition that is not in memory will read them.

        Raises `RowsRefused` for rows that no index may hold. Any other failure unloads the partition and is reported to
        the observer, not to the caller.
        """
        numbers, rows = checked_rows(np.asarray(ids, dtype=np.int64), np.atleast_2d(vectors), self._dimension)
        if self._removed:
            kept = [(key.tenant, number) not in self._removed for number in numbers.tolist()]
            numbers, rows = numbers[kept], rows[kept]
        partition = self._residency.get(key)
        if partition is None or not len(numbers):
            return
        if partition.journal is not None:
            partition.journal.add(numbers, rows)
            self._limit_journal(partition)
            return
        await self._write(partition, len(numbers), lambda index: index.add(numbers, rows))

    async def remove(self, key: PartitionKey, ids: Int64Vector | Sequence[int]) -> None:
        """Make entries unfindable at once and for good."""
        numbers = np.asarray(ids, dtype=np.int64)
        for number in numbers.tolist():
            self._removed[key.tenant, number] = None
        while len(self._removed) > self._limits.removed_ids_max:
            self._removed.popitem(last=False)
        partition = self._residency.get(key)
        if partition is None:
            return
        if partition.journal is not None:
            partition.journal.remove(numbers)
            self._limit_journal(partition)
            return
        await self._write(partition, 0, lambda index: index.remove(numbers))

    def drop(self, tenant: TenantId) -> None:
        """Forget everything held of *tenant*, including what is being loaded."""
        for partition in self._residency.of(tenant):
            self._residency.discard(partition)

    def drop_all(self) -> None:
        """Forget everything: for a gap in the feed."""
        self._residency.discard_all()

    async def apply(self, changes: Iterable[FeedChange]) -> None:
        """Follow the feed, in order; changes made through this object come back here and change nothing.

        Whatever *row_loader* raises is passed on; applying the same changes again is safe.
        """
        added: dict[PartitionKey, list[int]] = {}
        for change in changes:
            key = None if change.fingerprint is None else PartitionKey(change.tenant_id, change.fingerprint)
            if key is None or change.entry_id is None:
                self.drop(change.tenant_id)
            elif change.operation == "add":
                added.setdefault(key, []).append(change.entry_id)
            elif change.operation == "remove":
                if change.entry_id in (pending := added.get(key, [])):
                    pending.remove(change.entry_id)
                await self.remove(key, [change.entry_id])
            else:
                self.drop(change.tenant_id)
        for key, ids in added.items():
            await self._add_from_store(key, ids)

    async def close(self) -> None:
        """Stop loading and searching; whoever waits is told that the partition is not ready."""
        await asyncio.gather(*self._writes)
        await self._residency.close()
        await self._batcher.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def size_bytes(self) -> int:
        """Memory of all resident partitions, bounded from above."""
        return self._residency.size_bytes

    def __len__(self) -> int:
        return len(self._residency)

    def _search_here(self, index: GrowingIndex, row: Int8Matrix, k: int) -> list[Candidate]:
        started_s = self._clock.monotonic_s()
        ids, scores = index.search(row, k)
        self._observer.searched(queries=1, rows=len(index), seconds=self._clock.monotonic_s() - started_s)
        return candidates_of(ids, scores, 0, k)

    async def _add_from_store(self, key: PartitionKey, ids: list[int]) -> None:
        partition = self._residency.get(key)
        if partition is None:
            return
        if partition.index is not None:
            index = partition.index
            ids = [number for number in ids if not index.contains(np.array([number], dtype=np.int64))]
        ids = [number for number in ids if (key.tenant, number) not in self._removed]
        if not ids:
            return
        if self._row_loader is None:
            self._residency.discard(partition)
            return
        for start in range(0, len(ids), _ROWS_PER_FETCH):
            numbers, rows = await self._row_loader(key, ids[start : start + _ROWS_PER_FETCH])
            if len(numbers):  # none of them may be left: an entry that came and went before its feed row was read
                await self.add(key, numbers, rows)

    async def _write(self, partition: Partition, rows: int, write: Callable[[GrowingIndex], None]) -> None:
        """Write in the order of calls: here if it is quick and nothing is pending, else by a thread, in turn."""
        index = partition.index
        if index is None:
            return
        if not partition.writes_pending and len(index) + rows <= self._limits.inline_rows_max:
            try:
                write(index)
            except _ADAPTER_ERRORS as error:
                self._give_up(partition, error)
            self._residency.settle(partition)
            return
        partition.writes_pending += 1
        task = asyncio.get_running_loop().create_task(self._write_in_turn(partition, index, write))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        await asyncio.shield(task)  # a caller that goes away must not let the next write overtake this one

    async def _write_in_turn(
        self, partition: Partition, index: GrowingIndex, write: Callable[[GrowingIndex], None]
    ) -> None:
        if partition.write_turn is None:
            partition.write_turn = asyncio.Lock()
        try:
            async with partition.write_turn:
                await asyncio.get_running_loop().run_in_executor(self._threads, write, index)
        except _ADAPTER_ERRORS as error:
            self._give_up(partition, error)
        finally:
            partition.writes_pending -= 1
        self._residency.settle(partition)

    def _give_up(self, partition: Partition, error: Exception) -> None:
        self._residency.discard(partition)
        self._observer.write_failed(error)

    def _limit_journal(self, partition: Partition) -> None:
        if partition.journal is not None and len(partition.journal) > self._limits.journal_rows_max:
            self._residency.discard(partition)
