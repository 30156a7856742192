"""Micro-batching: whatever queued while the machine was busy is computed together.

Nobody ever waits for a batch to fill. On an idle server an item starts in the same turn of the event loop, with
whatever else that turn submitted; under load the next batch fills by itself. (Measured: a waiting window only costs.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from server.embedding.errors import (
    BatchDeadlineError,
    BatcherClosedError,
    BatchingError,
    BatchQueueFullError,
)

Item = TypeVar("Item")
Result = TypeVar("Result")
#: What became of one item: its result, or why there is none.
Outcome: TypeAlias = tuple[Result, None] | tuple[None, Exception]


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What one batch did: *size* items run, *failed* of them without result, *waiting* left behind, *run_s* seconds."""

    size: int
    failed: int
    waiting: int
    run_s: float


@dataclass(eq=False, slots=True)
class _Waiter(Generic[Item, Result]):
    item: Item
    future: asyncio.Future[Result]


class MicroBatcher(Generic[Item, Result]):
    """Calls *run* with lists of items, one call at a time, in a thread of its own.

    Belongs to the event loop that submits first. At most *queue_max* items wait and at most *batch_max* run together.
    A batch that fails is tried again in halves, so that one bad item fails alone; unless *isolates* says of its error
    that no item is to blame (a service is down), which fails the whole batch at once. *observe* hears of every batch.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        *,
        name: str,
        batch_max: int,
        queue_max: int,
        isolates: Callable[[Exception], bool] | None = None,
        observe: Callable[[BatchReport], None] | None = None,
    ) -> None:
        if batch_max < 1 or queue_max < 1:
            raise ValueError("batch_max and queue_max must be at least 1")
        self._run = run
        self._name = name
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._isolates = isolates or (lambda _: True)
        self._observe = observe
        # A dict keeps the order of arrival and lets those who gave up leave from the middle.
        self._waiting: dict[_Waiter[Item, Result], None] = {}
        self._running: tuple[_Waiter[Item, Result], ...] = ()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._launch_due = False
        self._closed = False
        self._idle: asyncio.Event | None = None

    @property
    def depth(self) -> int:
        """Items that wait and do not run yet."""
        return len(self._waiting)

    async def submit(self, item: Item, *, timeout_s: float) -> Result:
        """Return the result for *item*, or raise what its computation raised.

        Raises `BatchQueueFullError` at once, `BatchDeadlineError` after *timeout_s* whether or not the item runs by
        then, and `BatcherClosedError`. Cancelling the caller takes the item out of the queue.
        """
        if self._closed:
            raise BatcherClosedError(self._name)
        if len(self._waiting) >= self._queue_max:
            raise BatchQueueFullError(self._name, self._queue_max)
        loop = asyncio.get_running_loop()
        waiter = _Waiter[Item, Result](item, loop.create_future())
        self._waiting[waiter] = None
        self._launch_soon(loop)
        deadline = loop.call_later(timeout_s, self._expire, waiter, timeout_s)
        try:
            return await waiter.future
        finally:
            deadline.cancel()
            self._waiting.pop(waiter, None)

    async def close(self, *, grace_s: float = 5.0) -> None:
        """Fail what waits, give the running batch *grace_s* to finish, then fail it too; nothing is taken any more."""
        self._closed = True
        for waiter in tuple(self._waiting):
            _settle(waiter, (None, BatcherClosedError(self._name)))
        self._waiting.clear()
        if self._running:
            self._idle = asyncio.Event()
            try:
                await asyncio.wait_for(self._idle.wait(), grace_s)
            except TimeoutError:
                for waiter in self._running:
                    _settle(waiter, (None, BatcherClosedError(self._name)))
        # Not joined here: a run that outlived its grace must not hold up the event loop.
        self._thread.shutdown(wait=False)

    def _expire(self, waiter: _Waiter[Item, Result], timeout_s: float) -> None:
        _settle(waiter, (None, BatchDeadlineError(self._name, timeout_s)))

    def _launch_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting and not self._running and not self._launch_due and not self._closed:
            self._launch_due = True
            loop.call_soon(self._launch, loop)

    def _launch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._launch_due = False
        batch: list[_Waiter[Item, Result]] = []
        while self._waiting and len(batch) < self._batch_max and not self._closed:
            waiter = next(iter(self._waiting))
            del self._waiting[waiter]
            if not waiter.future.done():
                batch.append(waiter)
        if not batch:
            return
        self._running = tuple(batch)
        started_s = loop.time()
        done = self._thread.submit(self._compute, batch)
        done.add_done_callback(lambda future: _tell(loop, self._finish, loop, future, started_s))

    def _finish(self, loop: asyncio.AbstractEventLoop, done: Future[list[Outcome[Result]]], started_s: float) -> None:
        batch, self._running = self._running, ()
        outcomes = _outcomes(done, self._name, len(batch))
        for waiter, outcome in zip(batch, outcomes, strict=True):
            _settle(waiter, outcome)
        if self._idle is not None:
            self._idle.set()
        self._launch_soon(loop)
        if self._observe is not None:
            failed = sum(error is not None for _, error in outcomes)
            self._observe(BatchReport(len(batch), failed, len(self._waiting), loop.time() - started_s))

    def _compute(self, batch: list[_Waiter[Item, Result]]) -> list[Outcome[Result]]:
        """Run *batch* in the worker thread; on failure run its halves, down to single items."""
        try:
            results = self._run([waiter.item for waiter in batch])
            if len(results) != len(batch):
                raise BatchingError(f"{self._name} gave {len(results)} results for {len(batch)} items")
            return [(result, None) for result in results]
        except Exception as error:  # noqa: BLE001  # an edge: whatever the model raises belongs to those who asked
            if len(batch) == 1 or not self._isolates(error):
                return [(None, self._raisable(error)) for _ in batch]
        middle = len(batch) // 2
        return [outcome for half in (batch[:middle], batch[middle:]) for outcome in self._compute_wanted(half)]

    def _raisable(self, error: Exception) -> Exception:
        # A future refuses StopIteration, which would end the coroutine that awaits it instead of failing it.
        return BatchingError(f"{self._name} stopped: {error!r}") if isinstance(error, StopIteration) else error

    def _compute_wanted(self, batch: list[_Waiter[Item, Result]]) -> list[Outcome[Result]]:
        # Whoever gave up meanwhile is left out, so that retries end when the deadlines have passed.
        wanted = [waiter for waiter in batch if not waiter.future.done()]
        found = dict(zip(wanted, self._compute(wanted) if wanted else (), strict=True))
        nobody: Outcome[Result] = (None, BatchingError(f"nobody waits for this result of {self._name}"))
        return [found.get(waiter, nobody) for waiter in batch]


def _settle(waiter: _Waiter[Item, Result], outcome: Outcome[Result]) -> None:
    if waiter.future.done():
        return
    result, error = outcome
    if error is not None:
        waiter.future.set_exception(error)
    else:
        waiter.future.set_result(result)  # type: ignore[arg-type]  # without an error it is a Result, maybe None


def _outcomes(done: Future[list[Outcome[Result]]], name: str, count: int) -> list[Outcome[Result]]:
    fatal = done.exception()
    if fatal is None:
        return done.result()
    return [(None, BatchingError(f"the thread of {name} stopped: {fatal!r}")) for _ in range(count)]


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: object) -> None:
    # A loop that closed while the thread was busy has nobody left to tell.
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback, *arguments)
