"""CPU time of the store on SQLite, per call, of this process with all its threads; prints one JSON object.

    OMP_NUM_THREADS=1 python -m tests.bench.store [--rounds 5] [--url postgresql://…]

`get_live` is the exact tier's read. Writes go through the group commit: "alone" waits for each, "grouped" queues 100 at a
time. `recorder` is one flush of 500 lookups with their usage and hits, per lookup. Figures are medians of
`time.process_time` over the rounds; the database lies in a temporary folder and holds 5,000 entries.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path

from sqlalchemy import Connection

from server.store.database import Database, sqlite_url
from server.store.entries import EntryRepository
from server.store.lookups import LookupRepository
from server.store.migrate import upgrade
from server.store.platform import PlatformRepository
from server.store.records import LookupRecord, NewEntry, OrganisationRecord, TenantRecord, UsageRow
from tenants.identifiers import EntryId, KeyId, LookupId, OrganisationId, TenantId

TENANT = TenantId("ten_0123456789abcdef")
NOW_MS = 1_790_000_000_000
ENTRIES = 5_000
GROUP = 100
FLUSH = 500


def new_entry(number: int) -> NewEntry:
    """Return an entry of a usual size: 1.5 kB of payload and a vector of 384 components, both sealed."""
    return NewEntry(
        id=EntryId(number),
        fingerprint=bytes(32),
        exact_key=number.to_bytes(32, "big"),
        kind="answer",
        source="upstream",
        derivation="none",
        parents="[]",
        model="model",
        model_version="sha256:" + "a" * 64,
        reported="model-2026",
        embedder="sha256:" + "b" * 64,
        created_at_ms=NOW_MS,
        expires_at_ms=NOW_MS + 10**9,
        prompt_tokens=100,
        output_tokens=200,
        cost_micro=300,
        size_bytes=2_600,
        payload=os.urandom(1_500),
        vector=os.urandom(469),
        tags=("tag",),
    )


def new_lookup(number: int) -> LookupRecord:
    """Return a recorded hit with its sealed detail."""
    return LookupRecord(
        LookupId(f"hit_{number:032x}"), KeyId("0123456789"), NOW_MS, NOW_MS + 10**9, "model", "hit", "exact", "exact",
        EntryId(number % ENTRIES + 1), 1, os.urandom(600), None, None, None,
    )  # fmt: skip


def prepare(url: str) -> Database:
    """Make the schema, one tenant and its entries."""
    database = Database(url)
    upgrade(database.engine)

    def fill(connection: Connection) -> None:
        platform = PlatformRepository(connection)
        platform.add_organisation(OrganisationRecord(OrganisationId("org_1"), "org", NOW_MS))
        platform.add_tenant(TenantRecord(TENANT, OrganisationId("org_1"), "tenant", "active", "{}", NOW_MS))
        for number in range(1, ENTRIES + 1):
            EntryRepository(connection, TENANT).add(new_entry(number))

    database.write_now(fill)
    return database


async def measure(database: Database, numbers: Iterator[int]) -> dict[str, float]:
    """Return microseconds of CPU per call, once."""

    async def add(number: int) -> None:
        entry = new_entry(number)
        await database.write(lambda c: EntryRepository(c, TENANT).add(entry))

    async def group() -> None:
        await asyncio.gather(*(add(next(numbers)) for _ in range(GROUP)))

    async def flush() -> None:
        lookups = [new_lookup(next(numbers)) for _ in range(FLUSH)]
        await database.write(lambda c: _record(c, lookups))

    async def get_on_a_thread(number: int) -> None:
        await database.read(lambda c: EntryRepository(c, TENANT).get_live(number.to_bytes(32, "big")))

    return {
        "get_live": database.read_now(_time_get_live),
        "get_live on a reader thread": await _time(lambda at: get_on_a_thread(at % ENTRIES + 1), 500, 1),
        "add alone": await _time(lambda _: add(next(numbers)), 200, 1),
        "add grouped": await _time(lambda _: group(), 10, GROUP),
        "recorder": await _time(lambda _: flush(), 5, FLUSH),
    }


def _time_get_live(connection: Connection) -> float:
    start = time.process_time()
    for number in range(1, 2_001):
        EntryRepository(connection, TENANT).get_live(number.to_bytes(32, "big"))
    return (time.process_time() - start) / 2_000 * 1e6


def _record(connection: Connection, lookups: list[LookupRecord]) -> None:
    repository = LookupRepository(connection, TENANT)
    repository.add_many(lookups)
    repository.add_usage(
        [UsageRow("2026-09-21", KeyId("0123456789"), "model", "hit", "exact", len(lookups), 1, 1, 1, 1)]
    )
    hits = [(record.entry_id, 1, NOW_MS) for record in lookups if record.entry_id is not None]
    EntryRepository(connection, TENANT).touch(hits)


async def _time(call: Callable[[int], Awaitable[None]], calls: int, per_call: int) -> float:
    start = time.process_time()
    for at in range(calls):
        await call(at)
    return (time.process_time() - start) / (calls * per_call) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--url", help="an empty database to use instead of SQLite in a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = prepare(arguments.url or sqlite_url(Path(folder) / "store.db"))
        numbers = count(ENTRIES + 1)
        rounds = [asyncio.run(measure(database, numbers)) for _ in range(arguments.rounds)]
        database.close()
    medians = {name: round(statistics.median(found[name] for found in rounds), 1) for name in rounds[0]}
    print(json.dumps({"unit": "microseconds of CPU per call", "rounds": arguments.rounds, **medians}))


if __name__ == "__main__":
    main()
