"""Searches of large partitions: what has queued goes together into one call of one of few threads; nothing waits."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from server.index.errors import PartitionNotReady, VectorIndexError
from server.index.growing import GrowingIndex
from server.index.observer import PartitionObserver
from server.index.partition import Candidate, Partition, PartitionLimits, Waiting, candidates_of
from server.ports import Clock, Int8Matrix


class SearchBatcher:
    """Drains the queues of partitions into threads; FAISS releases the interpreter lock while it searches."""

    def __init__(
        self, threads: ThreadPoolExecutor, *, clock: Clock, limits: PartitionLimits, observer: PartitionObserver
    ) -> None:
        self._threads = threads
        self._clock = clock
        self._limits = limits
        self._observer = observer
        self._tasks: set[asyncio.Task[None]] = set()

    async def search(self, partition: Partition, query: Int8Matrix, k: int) -> list[Candidate]:
        """Queue one query, shape (1, dimension). Raises `PartitionNotReady` when the queue is full."""
        if partition.queue is None:
            partition.queue = deque()
        if len(partition.queue) >= self._limits.queue_max:
            raise PartitionNotReady("overloaded")
        loop = asyncio.get_running_loop()
        waiting = Waiting(query, k, loop.create_future())
        partition.queue.append(waiting)
        if partition.drains < self._limits.threads:
            partition.drains += 1
            task = loop.create_task(self._drain(partition, partition.queue))
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._ended(done, partition))
        return await waiting.answer

    async def close(self) -> None:
        """Stop; whoever waits is told that the partition is not ready."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _drain(self, partition: Partition, queue: deque[Waiting]) -> None:
        try:
            while queue and partition.index is not None:
                taken = [queue.popleft() for _ in range(min(len(queue), self._limits.batch_max))]
                batch = [waiting for waiting in taken if not waiting.answer.done()]
                if batch:
                    await self._search(partition.index, batch)
        finally:
            partition.drains -= 1  # in the same step as the look at the queue, or a search could be left behind

    def _ended(self, task: asyncio.Task[None], partition: Partition) -> None:
        """Answer for a drain that was cancelled, perhaps before it began."""
        self._tasks.discard(task)
        if task.cancelled() and partition.queue is not None:
            _refuse(partition.queue, PartitionNotReady("closed"))

    async def _search(self, index: GrowingIndex, batch: list[Waiting]) -> None:
        queries = np.concatenate([waiting.query for waiting in batch])
        k = max(waiting.k for waiting in batch)
        started_s = self._clock.monotonic_s()
        try:
            ids, scores = await asyncio.get_running_loop().run_in_executor(self._threads, index.search, queries, k)
        except (VectorIndexError, RuntimeError, MemoryError) as error:
            _refuse(batch, error)
            return
        except asyncio.CancelledError:
            _refuse(batch, PartitionNotReady("closed"))
            raise
        for row, waiting in enumerate(batch):
            if not waiting.answer.done():
                waiting.answer.set_result(candidates_of(ids, scores, row, waiting.k))
        seconds = self._clock.monotonic_s() - started_s
        self._observer.searched(queries=len(batch), rows=len(index), seconds=seconds)


def _refuse(waiting: deque[Waiting] | list[Waiting], error: Exception) -> None:
    for one in waiting:
        if not one.answer.done():
            one.answer.set_exception(error)
