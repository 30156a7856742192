"""No byte of one tenant reaches another: random traces, every answer searched for everybody else's canaries.

Four tenants ask the same questions of one gateway, whole and streamed, one after another and at once, while entries are
put, listed, guessed at and removed, policies change, time passes and the process restarts on its folder. The upstream
answers each tenant with that tenant's canary, so that a foreign answer shows even where the questions are equal.
"""

from __future__ import annotations

import asyncio
import io
import os
import random as chance
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog

from tenants.quotas import Quota
from tests.fakes import FakeClock, FakeGateway, Options, fake_gateway
from tests.traces import (
    KINDS,
    PATIENT,
    PLATFORM_KINDS,
    Canaries,
    Known,
    Operation,
    Request,
    TellingUpstream,
    draw_operation,
    introduce,
    learn,
    resolve,
    send,
)

TENANTS = 4
STEPS = 40
TRACES_PER_FOLDER = 10
DEFAULT_TRACES, CAMPAIGN_TRACES = 40, 10_000
SEED = 20_261_123


@dataclass(slots=True)
class Count:
    """What a run went through."""

    traces: int = 0
    requests: int = 0
    bytes_searched: int = 0
    restarts: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the house logs meanwhile."""
    lines = io.StringIO()
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=lines), cache_logger_on_first_use=False)
    yield lines
    structlog.reset_defaults()


@pytest.fixture
def fast_folder() -> Iterator[Path]:
    """A folder in memory where there is one: durability is not what is tested here."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    yield folder
    shutil.rmtree(folder)


def test_no_trace_of_requests_shows_a_byte_of_another_tenant(
    fast_folder: Path, log: io.StringIO, campaign: bool, record_property: pytest.RecordProperty
) -> None:
    seed = chance.SystemRandom().getrandbits(32) if campaign else SEED
    traces = CAMPAIGN_TRACES if campaign else DEFAULT_TRACES
    count, group = Count(), 0
    while count.traces < traces and not count.leaks:
        folder = fast_folder / str(group)
        asyncio.run(play_group(folder, seed + group, count, log))
        shutil.rmtree(folder)
        group += 1
    print(f"\nisolation: seed {seed}, {count}")
    record_property("isolation", str(count))
    assert count.leaks == [], f"seed {seed + group - 1}: {count.leaks[:5]}"
    assert count.statuses[500] == 0, "a request failed in a way that nobody planned"
    for outcome in ("hit/exact", "hit/private", "miss/None", "bypass/None", "refused/None"):
        assert count.outcomes[outcome] > 0, f"{outcome} never came up, so nothing was shown about it"
    assert count.restarts > 0


async def play_group(folder: Path, seed: int, count: Count, log: io.StringIO) -> None:
    """Play some traces on one folder, restarting now and then; then look at what lies on the disk."""
    source = chance.Random(seed)
    canaries = [Canaries.draw(source) for _ in range(TENANTS)]
    known = [Known() for _ in range(TENANTS)]
    clock, upstream = FakeClock(), TellingUpstream()
    steps_left = TRACES_PER_FOLDER * STEPS
    while steps_left > 0 and not count.leaks:
        options = Options(
            tenants=TENANTS,
            clock=clock,
            upstream=upstream,
            quota=Quota(requests_per_minute=10**9, tokens_per_minute=10**12),
            settings=PATIENT,
            seed=seed ^ 0x5EED,
        )
        async with fake_gateway(folder, options) as gateway:
            await introduce(gateway, upstream, canaries)
            for _ in range(min(steps_left, source.randrange(2 * STEPS, 8 * STEPS))):
                steps_left -= 1
                await step(gateway, source, canaries, known, count)
            metrics = await gateway.client.get("/metrics")
            search(f"metrics (seed {seed})", metrics.content, canaries, None, count)
        count.restarts += 1
    count.traces += TRACES_PER_FOLDER
    for owner in known:
        count.outcomes.update(owner.outcomes)
    search(f"log (seed {seed})", log.getvalue().encode(), canaries, None, count)
    log.truncate(0)
    log.seek(0)
    for path in folder.rglob("*"):
        if path.is_file():
            texts = [Canaries(own.text, own.text) for own in canaries]
            search(f"{path.name} on disk (seed {seed})", path.read_bytes(), texts, None, count)


async def step(
    gateway: FakeGateway, source: chance.Random, canaries: list[Canaries], known: list[Known], count: Count
) -> None:
    """Do one thing, or several tenants' things at once, and search whatever comes back."""
    gateway.clock.advance(source.choice((0.001, 0.001, 0.5, 30, 4_000)))
    if source.random() < 0.1:
        await gateway.settle()
    operations = [
        draw_operation(source, source.randrange(TENANTS), KINDS + PLATFORM_KINDS)
        for _ in range(source.choice((1, 1, 1, 2, 5)))
    ]
    if len(operations) > 1 and source.random() < 0.5:
        # The same question of several tenants at one moment: where a key without the tenant would show.
        first = operations[0]
        operations = [Operation(tenant, "chat", first.number, False) for tenant in range(TENANTS)]
    requests = [resolve(operation, canaries[operation.tenant], known) for operation in operations]
    await asyncio.gather(*(exchange(gateway, request, canaries, known, count) for request in requests))


async def exchange(
    gateway: FakeGateway, request: Request, canaries: list[Canaries], known: list[Known], count: Count
) -> None:
    reply = await send(gateway, request)
    count.requests += 1
    count.statuses[reply.status] += 1
    where = f"{request.method} {request.path} of tenant {request.tenant}"
    search(where, reply.everything(), canaries, request.tenant, count)
    if reply.status >= 500 and reply.status != 504:
        count.statuses[500] += 1
    learn(known[request.tenant], reply)


def search(where: str, seen: bytes, canaries: list[Canaries], reader: int | None, count: Count) -> None:
    """Look for the canaries of everybody but *reader* (None: of everybody)."""
    count.bytes_searched += len(seen)
    for tenant, own in enumerate(canaries):
        if tenant != reader and (own.text.encode() in seen or own.label.encode() in seen):
            count.leaks.append(f"{where} shows tenant {tenant}: {seen[:400]!r}")


def test_a_foreign_canary_in_an_answer_would_be_noticed(fast_folder: Path, log: io.StringIO) -> None:
    async def leak() -> Count:
        count, source = Count(), chance.Random(1)
        canaries = [Canaries.draw(source) for _ in range(TENANTS)]
        upstream = TellingUpstream()
        options = Options(tenants=TENANTS, upstream=upstream, settings=PATIENT)
        async with fake_gateway(fast_folder / "leak", options) as gateway:
            await introduce(gateway, upstream, canaries)
            salts = list(upstream.canaries)
            # An upstream that mixes two tenants up: beyond any cache's power to prevent, and in the search's to see.
            upstream.canaries[salts[0]] = canaries[1]
            request = resolve(Operation(0, "chat", 7, False), canaries[0], [Known() for _ in range(TENANTS)])
            await exchange(gateway, request, canaries, [Known() for _ in range(TENANTS)], count)
        return count

    assert len(asyncio.run(leak()).leaks) == 1
