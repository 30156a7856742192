"""One engine and the thread it generates in, seen from the event loop.

Generation holds the interpreter or the device for long, so it has a thread of its own; a bounded number of callers wait
for it, and one who leaves is noticed between two pieces.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from crypto.manifest import model_version
from server.ports import UpstreamModel
from server.runner.engine import Engine, Generated, GenerationRequest, Piece
from server.runner.errors import GenerationFailed, RunnerBusy, RunnerError
from server.runner.limits import RunnerLimits

_ENDED: Final = object()


class EngineWorker:
    """Runs one engine, one answer at a time; the queue before it has a length and a longest wait."""

    def __init__(self, engine: Engine, limits: RunnerLimits) -> None:
        self._engine = engine
        self._limits = limits
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self.model = UpstreamModel(engine.name, model_version(engine.manifest), engine.manifest)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Piece | Generated, None]:
        """Yield what the engine yields; closing or cancelling this iterator abandons the generation.

        Raises `RunnerBusy` before the first piece, `GenerationFailed` when the engine crashes or ends early, and
        whatever `RunnerError` the engine raises.
        """
        await self._take_turn()
        loop = asyncio.get_running_loop()
        # Unbounded in form only: the engine itself stops at the model's window.
        items: asyncio.Queue[object] = asyncio.Queue()
        abandoned = threading.Event()

        def post(item: object) -> None:
            loop.call_soon_threadsafe(items.put_nowait, item)

        thread = loop.run_in_executor(self._executor, self._run, request, abandoned, post)
        # The turn passes on when the thread is free, not when the caller has left.
        thread.add_done_callback(lambda _: self._turn.release())
        deadline_s = loop.time() + self._limits.answer_timeout_s
        try:
            while True:
                item = await _next_item(items, deadline_s)
                if isinstance(item, Piece):
                    yield item
                elif isinstance(item, Generated):
                    yield item
                    return
                elif isinstance(item, RunnerError):
                    raise item
                else:
                    raise GenerationFailed(f"the model {self.model.name!r} ended without a finished answer")
        finally:
            abandoned.set()

    async def close(self) -> None:
        """Let the thread end; an answer in progress is finished or abandoned by its own caller."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _take_turn(self) -> None:
        if self._waiting >= self._limits.queue_max:
            raise RunnerBusy(f"{self._waiting} requests wait for {self.model.name!r} already", retry_after_s=1)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.queue_wait_s):
                await self._turn.acquire()
        except TimeoutError:
            raise RunnerBusy(
                f"{self.model.name!r} was not free within {self._limits.queue_wait_s:g} s", retry_after_s=5
            ) from None
        finally:
            self._waiting -= 1

    def _run(self, request: GenerationRequest, abandoned: threading.Event, post: Callable[[object], None]) -> None:
        try:
            _pump(self._engine, request, abandoned, post)
        except RunnerError as error:
            post(error)
        except Exception as error:  # noqa: BLE001  # the edge between engines and the server: nothing may pass it
            failure = GenerationFailed(f"the model {self._engine.name!r} failed: {type(error).__name__}")
            failure.__cause__ = error
            post(failure)
        else:
            post(_ENDED)


def _pump(
    engine: Engine, request: GenerationRequest, abandoned: threading.Event, post: Callable[[object], None]
) -> None:
    if abandoned.is_set():
        return
    pieces = engine.generate(request)
    try:
        for piece in pieces:
            post(piece)
            if abandoned.is_set():
                return
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


async def _next_item(items: asyncio.Queue[object], deadline_s: float) -> object:
    try:
        async with asyncio.timeout_at(deadline_s):
            return await items.get()
    except TimeoutError:
        raise GenerationFailed("the answer took longer than the runner's time limit") from None
