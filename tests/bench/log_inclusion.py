"""How long a leaf waits for its checkpoint under load, and how fast a backlog is caught up.

    python -m tests.bench.log_inclusion [--leaves-per-s 500] [--hits-per-s 1000] [--seconds 30] [--backlog 100000]

A log on SQLite in a temporary folder, a service as a gateway runs it (interval 1 s, real clock, real disk, fsync), and
writers through the same group commit. Waits are counted from the commit of a leaf to the moment when this process says
`included` of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from pathlib import Path

from prometheus_client import CollectorRegistry
from sqlalchemy import Connection

from crypto.bodies import Erasure
from server.clock import SystemClock
from server.log.bodies import append_body
from server.log.high_water import HighWater
from server.log.keys import load_signing_key
from server.log.metrics import LogTelemetry
from server.log.sequencer import SequencerLimits
from server.log.service import LogOptions, LogService
from server.store.log_records import NewHit
from server.store.receipts import HitRepository
from tests.fakes import SystemLikeRandom
from tests.log_worlds import TENANT, LogWorld, hit_record

TICK_S = 0.05


def make_service(world: LogWorld) -> LogService:
    return LogService(
        world.database,
        world.storage,
        HighWater(quorum=0),
        log_key=world.log_key,
        signer=load_signing_key(world.key_file, world.random),
        clock=SystemClock(),
        random=world.random,
        options=LogOptions(interval_s=1.0, limits=SequencerLimits(status_interval_ms=0)),
        metrics=LogTelemetry(CollectorRegistry()),
    )


async def measure_load(world: LogWorld, leaves_per_s: int, hits_per_s: int, seconds: int) -> dict[str, float]:
    """Write at a steady rate and return the waits."""
    service, waiting, waits, made = make_service(world), list[tuple[int, float]](), list[float](), 0
    await service.start()
    task = asyncio.create_task(service.run())
    end_s = time.monotonic() + seconds

    def write(connection: Connection, first: int) -> int:
        seq = 0
        for _ in range(int(leaves_per_s * TICK_S)):
            body = Erasure(at_ms=SystemClock().now_ms(), nonce=world.random.token_bytes(32), tenant="0" * 32)
            seq = append_body(connection, body, tenant=TENANT)
        records = [hit_record(f"hit {first + number}") for number in range(int(hits_per_s * TICK_S))]
        rows = [NewHit(one.hit, one.at_ms, "rcp_1", one.tier, one.to_payload()) for one in records]
        HitRepository(connection, TENANT).add_many(rows)
        return seq

    while time.monotonic() < end_s or waiting:
        tick_s = time.monotonic()
        if tick_s < end_s:
            seq = await world.database.write(lambda connection, first=made: write(connection, first))  # type: ignore[misc]
            made += int(hits_per_s * TICK_S)
            waiting.append((seq, time.monotonic()))
        while waiting and waiting[0][0] <= service.high_water.included_seq:
            waits.append(time.monotonic() - waiting.pop(0)[1])
        await asyncio.sleep(max(0.0, TICK_S - (time.monotonic() - tick_s)))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await service.stop()
    waits.sort()
    return {
        "p50_s": waits[len(waits) // 2],
        "p99_s": waits[int(len(waits) * 0.99)],
        "max_s": waits[-1],
        "leaves": world.head,
    }


def measure_backlog(world: LogWorld, count: int) -> dict[str, float]:
    """Fill the outbox and step until it is empty."""
    for _ in range(count // 10_000):
        world.add_leaves(10_000)
    world.limits = SequencerLimits(status_interval_ms=0)
    sequencer = world.new_sequencer()
    before_s, before_cpu, steps, longest_s = time.monotonic(), time.process_time(), 0, 0.0
    while True:
        step_s = time.monotonic()
        has_more = sequencer.step().has_more
        longest_s = max(longest_s, time.monotonic() - step_s)
        steps += 1
        if not has_more:
            break
    return {
        "leaves": count,
        "steps": steps,
        "wall_s": time.monotonic() - before_s,
        "cpu_s": time.process_time() - before_cpu,
        "longest_step_s": longest_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leaves-per-s", type=int, default=500)
    parser.add_argument("--hits-per-s", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--backlog", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = LogWorld(Path(folder) / "load", random=SystemLikeRandom())
        load = asyncio.run(measure_load(world, given.leaves_per_s, given.hits_per_s, given.seconds))
        world.close()
        world = LogWorld(Path(folder) / "backlog", random=SystemLikeRandom())
        backlog = measure_backlog(world, given.backlog)
        assert world.fsck().problems == []
        world.close()
    print(json.dumps({"load": vars(given), "inclusion": load, "backlog": backlog}, indent=1))


if __name__ == "__main__":
    main()
