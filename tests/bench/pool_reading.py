"""CPU time that reading the pool adds to a lookup, in process, on fakes: embedding and HTTP are left out of it.

    python -m tests.bench.pool_reading [--entries 2000] [--lookups 500]

Prints milliseconds of process time per lookup (median of 5 rounds): a miss that asks no pool, a miss that asks it while
none of its candidates was opened before, the same once they were, and a hit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random as chance
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from server.reuse.outcomes import outcome_name
from server.reuse.request import ChatRequest, Steering
from tenants.identifiers import KeyId
from tests.fakes import FakeClock, FakeGateway, Options, SystemLikeRandom, fake_gateway
from tests.pool_entries import POOL_SETTINGS, Item, open_pool, put_pool_entry
from tests.signing_runner import SigningRunner

WORDS = [f"{first}{last}" for first in ("bran", "col", "dov", "fen", "gar", "hul", "mer", "pol", "sil", "tor") for last in
         ("an", "be", "der", "el", "in", "mo", "ok", "ra", "st", "um")]  # fmt: skip
ROUNDS = 5
READS: dict[str, Any] = {"pool_read": True, "pool_clock": "fast", "lookup_retention_s": 0}


def question(source: chance.Random) -> str:
    return "where is the " + " ".join(source.sample(WORDS, 12))


async def time_lookups(gateway: FakeGateway, texts: list[str], outcome: str) -> float:
    """Return milliseconds of process time per dry run of *texts*, each of which comes to *outcome*."""
    engine, tenant = gateway.gateway.state.engine, gateway.tenants[0].id
    started_s = time.process_time()
    for text in texts:
        body = {"model": "fake-model", "messages": [{"role": "user", "content": text}]}
        account, _ = await engine.look_up(tenant, KeyId("bench"), ChatRequest(body, Steering()))
        assert outcome_name(account.outcome) == outcome, account
    return (time.process_time() - started_s) * 1000 / len(texts)


async def measure(folder: Path, entries: int, lookups: int) -> dict[str, float]:
    clock, source = FakeClock(), chance.Random(1)
    runner = SigningRunner(clock)
    options = Options(
        tenants=1,
        clock=clock,
        random=SystemLikeRandom(),
        upstream=runner,
        upstream_kind="runner",
        settings=POOL_SETTINGS,
    )
    async with fake_gateway(folder, options) as gateway:
        open_pool(gateway)
        texts = [question(source) for _ in range(entries)]
        for number, text in enumerate(texts):
            clock.advance(0.01)  # entries of one millisecond could draw the same id
            aliases = (text, *(question(source) for _ in range(3))) if number % 2 else ()
            await put_pool_entry(gateway, runner, Item(text, aliases, mode="noised" if number % 2 else "pooled"))
        misses, hits = [question(source) for _ in range(lookups)], texts[:lookups]
        found: dict[str, list[float]] = {name: [] for name in ("off", "cold", "warm", "hit")}
        for text in misses[:50]:  # the partitions are loaded
            await gateway.ask(text, headers={"cache-control": "no-store"})
        for _ in range(ROUNDS):
            gateway.set_policy(**(READS | {"pool_read": False}))
            found["off"].append(await time_lookups(gateway, misses, "miss"))
            gateway.set_policy(**READS)
            book = gateway.gateway.state.engine._pool._book  # type: ignore[union-attr]
            book._kept.clear()
            book._count = 0
            found["cold"].append(await time_lookups(gateway, misses[:20], "miss"))
            await time_lookups(gateway, misses, "miss")
            found["warm"].append(await time_lookups(gateway, misses, "miss"))
            found["hit"].append(await time_lookups(gateway, hits, "hit"))
        return {name: round(statistics.median(times), 3) for name, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--entries", type=int, default=2000)
    parser.add_argument("--lookups", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(measure(Path(folder), options.entries, options.lookups))))


if __name__ == "__main__":
    main()
