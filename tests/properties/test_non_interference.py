"""What a tenant sees does not depend on the others: twin runs, byte for byte.

One world holds tenants X and Y, the other X alone does anything. The same requests of X, at the same moments of a
simulated clock, must get the same answers in both: status, headers, body, chunk for chunk. Nothing is normalised away:
the fake source of chance is labelled with X's own step, so even ids are equal.

X's trace is resolved once, in the world with Y; the other world gets the very same requests. What shows the platform's
own numbering (audit log) is left out, see docs/explanation/safety.md.
"""

from __future__ import annotations

import asyncio
import os
import random as chance
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tenants.quotas import Quota
from tests.fakes import FakeClock, FakeGateway, Options, fake_gateway
from tests.traces import (
    KINDS,
    PATIENT,
    Canaries,
    Known,
    LabelledRandom,
    Reply,
    Request,
    TellingUpstream,
    draw_operation,
    introduce,
    learn,
    resolve,
    send,
)

STEPS = 24
PAIRS = 8
DEFAULT_TRACES, CAMPAIGN_TRACES = 32, 10_000
SEED = 20_261_124


@dataclass(slots=True)
class Count:
    traces: int = 0
    compared: int = 0
    of_others: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)


@dataclass(slots=True)
class World:
    """A gateway whose time and chance the test sets."""

    gateway: FakeGateway
    random: LabelledRandom

    async def play(self, request: Request, *, at_ms: int, label: str) -> Reply:
        self._move_to(at_ms)
        self.random.label(label)
        reply = await send(self.gateway, request)
        await self.gateway.settle()
        return reply

    async def idle(self, *, at_ms: int) -> None:
        """Let time pass: what runs by the clock alone runs in both worlds at the same moments."""
        self._move_to(at_ms)
        await self.gateway.settle()

    def _move_to(self, at_ms: int) -> None:
        clock = self.gateway.clock
        clock.advance((at_ms - clock.now_ms() + 0.5) / 1000)  # half a millisecond against rounding


@pytest.fixture
def fast_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    yield folder
    shutil.rmtree(folder)


def test_what_one_tenant_sees_is_the_same_with_and_without_the_other(
    fast_folder: Path, campaign: bool, record_property: pytest.RecordProperty
) -> None:
    seed = chance.SystemRandom().getrandbits(32) if campaign else SEED
    traces = CAMPAIGN_TRACES if campaign else DEFAULT_TRACES
    count, group = Count(), 0
    while count.traces < traces and not count.differences:
        asyncio.run(play_group(fast_folder, seed + group, count, leaky=False))
        group += 1
    print(f"\nnon-interference: seed {seed}, {count}")
    record_property("non_interference", str(count))
    assert count.differences == [], f"seed {seed + group - 1}: {count.differences[0]}"
    assert count.outcomes["hit/exact"] > 0 and count.outcomes["hit/private"] > 0 and count.of_others > 0


def test_an_upstream_that_remembers_the_other_tenant_would_be_noticed(fast_folder: Path) -> None:
    count = Count()
    asyncio.run(play_group(fast_folder, SEED, count, leaky=True))
    assert count.differences


async def play_group(folder: Path, seed: int, count: Count, *, leaky: bool) -> None:
    """Play one trace for each of several pairs of tenants on two gateways that began as the same."""
    source = chance.Random(seed)
    canaries = [Canaries.draw(source) for _ in range(2 * PAIRS)]
    async with AsyncExitStack() as stack:
        worlds = [await enter(stack, folder / f"{seed}-{side}", seed, canaries, leaky) for side in ("both", "alone")]
        for number in range(PAIRS):
            await play_pair(worlds[0], worlds[1], 2 * number, source, canaries, count)
            if count.differences:
                return
    for side in ("both", "alone"):
        shutil.rmtree(folder / f"{seed}-{side}")


async def enter(stack: AsyncExitStack, folder: Path, seed: int, canaries: list[Canaries], leaky: bool) -> World:
    random, upstream = LabelledRandom(seed), RememberingUpstream() if leaky else TellingUpstream()
    options = Options(
        tenants=2 * PAIRS,
        random=random,
        clock=FakeClock(),
        upstream=upstream,
        quota=Quota(requests_per_minute=10**9, tokens_per_minute=10**12),
        settings=PATIENT,
    )
    gateway = await stack.enter_async_context(fake_gateway(folder, options))
    await introduce(gateway, upstream, canaries)
    world = World(gateway, random)
    # The first answer of a model makes its version known to everybody, which is no tenant's secret.
    warm = Request(0, "POST", "/v1/chat/completions", WARM, (("content-type", "application/json"),))
    await world.play(warm, at_ms=gateway.clock.now_ms() + 1, label="warm")
    return world


WARM = b'{"model": "fake-model", "messages": [{"role": "user", "content": "Is anybody there?"}]}'


class RememberingUpstream(TellingUpstream):
    """Counts all calls into its ids: what a shared counter anywhere in the house would look like."""

    async def _work(self, request: dict[str, object], salt: str) -> None:
        await super()._work(request, salt)
        answer, calls = self.answer, len(self.requests)
        self.answer = lambda asked: f"{answer(asked)} ({calls})"


async def play_pair(
    both: World, alone: World, x: int, source: chance.Random, canaries: list[Canaries], count: Count
) -> None:
    """Let X (tenant *x*) and Y (the next) act in one world and X alone in the other."""
    known = {x: Known(), x + 1: Known()}
    start_ms = both.gateway.clock.now_ms() + 1_000
    at_ms = start_ms
    for position in range(2 * STEPS):
        at_ms += source.choice((1, 1, 500, 30_000, 4_000_000))
        actor = x if source.random() < 0.5 else x + 1
        operation = draw_operation(source, 0 if actor == x else 1, KINDS)
        request = resolve(operation, canaries[actor], [known[x], known[x + 1]])
        request = Request(actor, request.method, request.path, request.content, request.headers)
        label = f"{x}/{position}"
        seen = await both.play(request, at_ms=at_ms, label=label)
        learn(known[actor], seen)
        if actor != x:
            count.of_others += 1
            await alone.idle(at_ms=at_ms)
            continue
        expected = await alone.play(request, at_ms=at_ms, label=label)
        count.compared += 1
        if seen != expected:
            count.differences.append(f"{request}\n{first_difference(seen, expected)}")
            return
    count.traces += 1
    count.outcomes.update(known[x].outcomes)


def first_difference(seen: Reply, expected: Reply) -> str:
    """Show where two replies part."""
    with_other, alone = (f"{reply.status}\n".encode() + reply.everything() for reply in (seen, expected))
    start = next((at for at, (a, b) in enumerate(zip(with_other, alone, strict=False)) if a != b), 0)
    around = slice(max(0, start - 80), start + 200)
    return f"with the other: {with_other[around]!r}\nalone: {alone[around]!r}"
