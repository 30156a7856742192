"""Which partitions are in memory: each loaded once when asked for, the least recently used ones unloaded."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from server.index.errors import NotReadyReason, PartitionNotReady
from server.index.growing import GrowingIndex
from server.index.observer import PartitionObserver
from server.index.partition import PARTITION_BYTES, Partition, PartitionKey, PartitionLimits
from server.ports import Clock, Int8Matrix, Int64Vector
from tenants.identifiers import TenantId

Rows: TypeAlias = tuple[Int64Vector, Int8Matrix]
PartitionLoader: TypeAlias = Callable[[PartitionKey], Awaitable[Rows]]


class Residency:
    """The resident set; on the event loop only."""

    def __init__(
        self,
        loader: PartitionLoader,
        *,
        dimension: int,
        clock: Clock,
        limits: PartitionLimits,
        observer: PartitionObserver,
        threads: ThreadPoolExecutor,
    ) -> None:
        self._loader = loader
        self._dimension = dimension
        self._clock = clock
        self._limits = limits
        self._observer = observer
        self._threads = threads
        self._builder = ThreadPoolExecutor(1, thread_name_prefix="index-build")
        self._partitions: OrderedDict[PartitionKey, Partition] = OrderedDict()
        self._load_slots = asyncio.Semaphore(limits.loads_max)
        self._loads = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.size_bytes = 0

    def get(self, key: PartitionKey) -> Partition | None:
        """Return the partition if it is resident or being loaded."""
        return self._partitions.get(key)

    def of(self, tenant: TenantId) -> Iterator[Partition]:
        """Return the tenant's partitions."""
        return iter([partition for key, partition in self._partitions.items() if key.tenant == tenant])

    async def ready(self, key: PartitionKey) -> Partition:
        """Return the resident partition of *key*, loading it if need be. Raises `PartitionNotReady`."""
        partition = self._partitions.get(key)
        if partition is None:
            partition = self._start_load(key)
        else:
            self._partitions.move_to_end(key)
        loading = partition.loading
        if loading is not None:
            await asyncio.wait((loading,), timeout=self._limits.load_wait_s)
            if partition.index is None:
                raise self.not_ready(_why_not(loading))
        return partition

    def settle(self, partition: Partition) -> None:
        """Account for what a load or write did to *partition*, keep the budget, and start maintenance that is due."""
        index = partition.index
        if index is None or self._partitions.get(partition.key) is not partition:
            return
        before, partition.size_bytes = partition.size_bytes, PARTITION_BYTES + index.size_bytes
        self.size_bytes += partition.size_bytes - before
        self._partitions.move_to_end(partition.key)
        self._evict(spare=partition)
        if index.maintenance_due and not partition.maintaining:
            partition.maintaining = True
            self._spawn(self._maintain(partition, index))

    def discard(self, partition: Partition) -> None:
        """Forget *partition*; who still searches it keeps it alive until done."""
        if self._partitions.get(partition.key) is partition:
            del self._partitions[partition.key]
            self.size_bytes -= partition.size_bytes

    def discard_all(self) -> None:
        """Forget every partition; they are loaded again when asked for."""
        self._partitions.clear()
        self.size_bytes = 0

    def not_ready(self, reason: NotReadyReason) -> PartitionNotReady:
        """Report and return the error that says *reason*."""
        self._observer.not_ready(reason)
        return PartitionNotReady(reason)

    async def close(self) -> None:
        """Stop loading; what is being built in a thread ends by itself and is dropped."""
        self._closed = True
        self.discard_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._builder.shutdown(wait=False, cancel_futures=True)

    def __len__(self) -> int:
        return len(self._partitions)

    def _start_load(self, key: PartitionKey) -> Partition:
        if self._closed:
            raise self.not_ready("closed")
        if self._loads >= self._limits.loads_waiting_max:
            raise self.not_ready("overloaded")
        partition = Partition(key)
        self._partitions[key] = partition
        self._loads += 1
        partition.loading = task = self._spawn(self._load(partition))
        task.add_done_callback(lambda done: self._load_ended(partition, done))
        return partition

    async def _load(self, partition: Partition) -> None:
        started_s = self._clock.monotonic_s()
        async with asyncio.timeout(self._limits.load_timeout_s), self._load_slots:
            ids, vectors = await self._loader(partition.key)
        index = GrowingIndex(self._dimension, self._limits.growth)
        if len(ids) > self._limits.inline_rows_max:
            await asyncio.get_running_loop().run_in_executor(self._threads, index.add, ids, vectors)
        else:
            index.add(ids, vectors)
        if self._partitions.get(partition.key) is not partition:
            return  # dropped meanwhile: what was read may be what had to go
        partition.become_resident(index)
        self._observer.loaded(rows=len(index), seconds=self._clock.monotonic_s() - started_s)
        self.settle(partition)

    def _load_ended(self, partition: Partition, task: asyncio.Task[None]) -> None:
        self._loads -= 1
        if partition.index is None:
            self.discard(partition)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._observer.load_failed(error)

    async def _maintain(self, partition: Partition, index: GrowingIndex) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._builder, index.maintain)
        except (RuntimeError, MemoryError) as error:
            self._observer.build_failed(error)  # `maintaining` stays set: no second attempt before the next load
            return
        partition.maintaining = False
        self.settle(partition)

    def _evict(self, *, spare: Partition) -> None:
        while self.size_bytes > self._limits.bytes_max:
            resident = (one for one in self._partitions.values() if one.index is not None and one is not spare)
            oldest = next(resident, None)
            if oldest is None:
                return
            self.discard(oldest)
            self._observer.evicted(size_bytes=oldest.size_bytes)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _why_not(loading: asyncio.Task[None]) -> NotReadyReason:
    if not loading.done():
        return "loading"
    if loading.cancelled() or loading.exception() is not None:
        return "load_failed"
    return "dropped"
