"""One engine, one thread, several callers: who waits, who is turned away, and what those who leave leave behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import TypeVar

import pytest

from server.runner.engine import Generated, GenerationRequest, Piece, Turn
from server.runner.errors import GenerationFailed, RequestTooLong, RunnerBusy
from server.runner.limits import RunnerLimits
from server.runner.worker import EngineWorker
from tests.runner_fakes import EchoEngine

Result = TypeVar("Result")


def asking(text: str) -> GenerationRequest:
    return GenerationRequest((Turn("user", text),), None, None, None, None, ())


def with_worker(engine: EchoEngine, use: Callable[[EngineWorker], Awaitable[Result]], **limits: float) -> Result:
    async def run() -> Result:
        worker = EngineWorker(engine, replace(RunnerLimits(), **limits))  # type: ignore[arg-type]
        try:
            return await asyncio.wait_for(use(worker), 10)
        finally:
            await worker.close()

    return asyncio.run(run())


async def collect(worker: EngineWorker, text: str) -> list[Piece | Generated]:
    async with aclosing(worker.generate(asking(text))) as items:
        return [item async for item in items]


def test_the_pieces_come_in_order_and_the_whole_last() -> None:
    items = with_worker(EchoEngine(), lambda worker: collect(worker, "a b c"))
    assert [item.text for item in items] == ["a", " b", " c", "a b c"]


def test_one_answer_is_generated_at_a_time() -> None:
    busy = 0
    most = 0

    class Counting(EchoEngine):
        def generate(self, request: GenerationRequest) -> Iterator[Piece | Generated]:
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            try:
                yield from super().generate(request)
            finally:
                busy -= 1

    async def use(worker: EngineWorker) -> list[list[Piece | Generated]]:
        return await asyncio.gather(*(collect(worker, f"question {place}") for place in range(20)))

    answers = with_worker(Counting(), use)
    assert most == 1
    assert [answer[-1].text for answer in answers] == [f"question {place}" for place in range(20)]


class Held(EchoEngine):
    """Stops before its first word until it is let go."""

    def __init__(self) -> None:
        self.begun, self.gate, self.words = threading.Event(), threading.Event(), 0
        super().__init__(pause=self._wait)

    def _wait(self) -> None:
        self.begun.set()
        self.words += 1
        assert self.gate.wait(10)


async def begun(engine: Held) -> None:
    while not engine.begun.is_set():
        await asyncio.sleep(0.001)


def test_a_caller_beyond_the_queue_is_turned_away_at_once() -> None:
    engine = Held()

    async def use(worker: EngineWorker) -> None:
        tasks = [asyncio.create_task(collect(worker, "a")) for _ in range(3)]
        await begun(engine)
        with pytest.raises(RunnerBusy):
            await collect(worker, "too many")
        engine.gate.set()
        await asyncio.gather(*tasks)

    with_worker(engine, use, queue_max=2)


def test_a_caller_who_waited_long_enough_is_sent_away() -> None:
    engine = Held()

    async def use(worker: EngineWorker) -> None:
        task = asyncio.create_task(collect(worker, "a"))
        await begun(engine)
        with pytest.raises(RunnerBusy, match="not free within"):
            await collect(worker, "b")
        engine.gate.set()
        await task

    with_worker(engine, use, queue_wait_s=0.05)


def test_a_caller_who_leaves_stops_the_generation_between_two_pieces() -> None:
    engine = Held()

    async def use(worker: EngineWorker) -> None:
        task = asyncio.create_task(collect(worker, " ".join("abcdefgh")))
        await begun(engine)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        engine.gate.set()
        assert [item.text for item in await collect(worker, "next")] == ["next", "next"]

    with_worker(engine, use)
    assert engine.closed == 2
    assert engine.words == 2, "one word of the abandoned answer, one of the next"


def test_one_who_leaves_the_queue_never_reaches_the_engine() -> None:
    engine = Held()

    async def use(worker: EngineWorker) -> None:
        first = asyncio.create_task(collect(worker, "a"))
        await begun(engine)
        second = asyncio.create_task(collect(worker, "b"))
        await asyncio.sleep(0.01)
        second.cancel()
        engine.gate.set()
        await first
        await collect(worker, "c")

    with_worker(engine, use)
    assert [request.turns[0].text for request in engine.asked] == ["a", "c"]


def test_an_answer_that_takes_too_long_fails_and_frees_the_engine() -> None:
    engine = Held()

    async def use(worker: EngineWorker) -> None:
        with pytest.raises(GenerationFailed, match="time limit"):
            await collect(worker, "a")
        engine.gate.set()
        await collect(worker, "b")

    with_worker(engine, use, answer_timeout_s=0.5)


class Failing(EchoEngine):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def generate(self, request: GenerationRequest) -> Iterator[Piece | Generated]:
        if request.turns[0].text == "fail":
            raise self._error
        yield from super().generate(request)


def test_a_crash_of_the_engine_fails_one_answer_and_says_nothing_of_the_inside() -> None:
    async def use(worker: EngineWorker) -> None:
        with pytest.raises(GenerationFailed) as caught:
            await collect(worker, "fail")
        assert "secret" not in str(caught.value)
        assert [item.text for item in await collect(worker, "ok")] == ["ok", "ok"]

    with_worker(Failing(ValueError("secret")), use)


def test_the_engines_own_refusals_pass_unchanged() -> None:
    async def use(worker: EngineWorker) -> None:
        with pytest.raises(RequestTooLong) as caught:
            await collect(worker, "fail")
        assert (caught.value.tokens, caught.value.tokens_max) == (9, 8)

    with_worker(Failing(RequestTooLong(9, 8)), use)


def test_an_engine_that_ends_without_a_whole_answer_failed() -> None:
    class Short(EchoEngine):
        def generate(self, request: GenerationRequest) -> Iterator[Piece | Generated]:
            yield Piece(1, "a")

    async def use(worker: EngineWorker) -> None:
        with pytest.raises(GenerationFailed, match="without a finished answer"):
            await collect(worker, "a")

    with_worker(Short(), use)
