"""What the pool holds is felt by those alone who read it, and who reads it is felt by nobody: twin runs, byte for byte.

As in the twin runs of tenants, the same requests of X at the same moments of a simulated clock must get the same answers
in both worlds. The worlds differ in what the pool holds, or in whether a neighbour reads it and speaks ill of it.
"""

from __future__ import annotations

import asyncio
import json
import random as chance
import shutil
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tenants.quotas import Quota
from tests.fakes import FakeClock, Options, fake_gateway
from tests.pool_entries import POOL_SETTINGS, Item, open_pool, put_pool_entry
from tests.properties.test_non_interference import SEED, World, fast_folder, first_difference
from tests.signing_runner import SigningRunner
from tests.traces import (
    KINDS,
    NOUNS,
    ORDERS,
    PATIENT,
    Canaries,
    Known,
    LabelledRandom,
    Request,
    accounts_of,
    draw_operation,
    learn,
    resolve,
)

__all__ = ["fast_folder"]

STEPS = 60
READER, NEIGHBOUR = 0, 1
#: X's policy stays as it is: whether it reads is what the runs differ in.
STEADY = tuple(kind for kind in KINDS if kind[0] != "policy")
QUESTIONS = tuple(order.format(noun=noun) for order in ORDERS[::3] for noun in NOUNS)
READS = {"pool_read": True, "pool_clock": "fast", "threshold_ten_thousandths": 9_000}


@dataclass(slots=True)
class Seen:
    """What X was told, and whether the worlds told it alike."""

    differences: list[str] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    of_neighbour: Counter[str] = field(default_factory=Counter)


def test_a_tenant_that_does_not_read_the_pool_sees_the_same_whatever_it_holds(fast_folder: Path) -> None:
    seen = asyncio.run(play(fast_folder, is_filled=(True, False), reads=False))
    assert seen.differences == []
    assert seen.outcomes["hit/exact"] > 0 and seen.of_neighbour["hit/pool"] > 0
    assert "hit/pool" not in seen.outcomes


def test_a_tenant_that_reads_the_pool_sees_what_it_holds(fast_folder: Path) -> None:
    seen = asyncio.run(play(fast_folder, is_filled=(True, False), reads=True))
    assert seen.differences and seen.outcomes["hit/pool"] > 0


def test_a_tenant_that_reads_the_pool_sees_the_same_whoever_else_reads_it_and_speaks_ill_of_it(
    fast_folder: Path,
) -> None:
    seen = asyncio.run(play(fast_folder, is_filled=(True, True), reads=True))
    assert seen.differences == []
    assert seen.outcomes["hit/pool"] > 0 and seen.of_neighbour["hit/pool"] > 0


async def play(folder: Path, *, is_filled: tuple[bool, bool], reads: bool) -> Seen:
    """Let X act in two worlds, with a neighbour who reads the pool in the first; it ends at the first difference."""
    seen, source = Seen(), chance.Random(SEED)
    own, known = Canaries.draw(source), Known()
    async with AsyncExitStack() as stack:
        worlds = [await enter(stack, folder / str(side), reads=reads, is_filled=is_filled[side]) for side in range(2)]
        unread = list(QUESTIONS)
        at_ms = worlds[0].gateway.clock.now_ms() + 1_000
        for position in range(STEPS):
            at_ms += source.choice((1, 500, 30_000))
            if position % 3 == 0 and unread:
                await read_beside(worlds[0], unread.pop(), at_ms=at_ms, label=f"beside/{position}", seen=seen)
                await worlds[1].idle(at_ms=at_ms)
            operation = draw_operation(source, READER, STEADY)
            request = resolve(operation, own, [known, Known()])
            first, second = [await world.play(request, at_ms=at_ms, label=f"x/{position}") for world in worlds]
            learn(known, first)
            if first != second:
                seen.differences.append(f"{request}\n{first_difference(first, second)}")
                if known.outcomes.get("hit/pool"):
                    break
    seen.outcomes = known.outcomes
    for side in range(2):
        shutil.rmtree(folder / str(side))
    return seen


async def enter(stack: AsyncExitStack, folder: Path, *, reads: bool, is_filled: bool) -> World:
    clock, random = FakeClock(), LabelledRandom(SEED)
    options = Options(
        tenants=2,
        random=random,
        clock=clock,
        upstream=SigningRunner(clock),
        upstream_kind="runner",
        quota=Quota(requests_per_minute=10**9, tokens_per_minute=10**12),
        settings=PATIENT | POOL_SETTINGS,
    )
    gateway = await stack.enter_async_context(fake_gateway(folder, options))
    open_pool(gateway, threshold_ten_thousandths=9_000)
    gateway.set_policy(tenant=READER, **(READS | {"pool_read": reads}))
    gateway.set_policy(tenant=NEIGHBOUR, **READS)
    writer = SigningRunner(clock)  # of its own, so that the other answers' ids are the same with and without a pool
    for number, question in enumerate(QUESTIONS if is_filled else ()):
        random.label(f"item {number}")
        await put_pool_entry(gateway, writer, Item(question, mode="noised" if number % 2 else "pooled"))
    return World(gateway, random)


async def read_beside(world: World, question: str, *, at_ms: int, label: str, seen: Seen) -> None:
    """Have the neighbour ask what the pool can answer, and call it bad."""
    headers = (("content-type", "application/json"),)
    body = {"model": "fake-model", "messages": [{"role": "user", "content": question}]}
    asked = Request(NEIGHBOUR, "POST", "/v1/chat/completions", json.dumps(body).encode(), headers)
    reply = await world.play(asked, at_ms=at_ms, label=label)
    (account,) = accounts_of(reply.body)
    seen.of_neighbour[f"{account['outcome']}/{account['tier']}"] += 1
    verdict = json.dumps({"hit": account["hit"], "verdict": "bad"}).encode()
    told = Request(NEIGHBOUR, "POST", "/v1/cache/feedback", verdict, headers)
    await world.play(told, at_ms=at_ms, label=f"{label}/feedback")
