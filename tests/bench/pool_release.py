"""What a release over a million votes takes: read, opened, counted, drawn, destroyed. Prints one JSON object.

    OMP_NUM_THREADS=1 python -m tests.bench.pool_release [--votes 1000000] [--vectors] [--folder /tmp]

Votes lie sealed in a SQLite store of their own, 20 places for each organisation, topics by Zipf's law over 500,000 keys;
with `--vectors` each carries an embedding and noised means are made (`dp_mean`). The steps are those of
`server.pool.release`; noise is the product's. Wall and CPU seconds; memory is the growth of the resident set.
"""

from __future__ import annotations

import argparse
import json
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from sqlalchemy import Connection

from privacy.opendp_noise import OpenDpNoise
from privacy.terms import pool_terms
from server.pool.counting import Tally, draw_release, tally
from server.pool.tags import Vote, seal_vote
from server.store.database import Database, sqlite_url
from server.store.migrate import upgrade
from server.store.votes import VoteRepository
from tenants.sealing import DataKey

EPOCH, PERIOD, PLACES, TOPICS, DIMENSION = 1, 0, 20, 500_000, 384
KEY = DataKey(EPOCH, bytes(range(32)))
VOTES_PER_TRANSACTION = 10_000


def fill(database: Database, count: int, *, vectors: bool) -> list[bytes]:
    """Store *count* votes and return the tags of their voters."""
    generator = np.random.default_rng(1)
    weights = np.arange(1, TOPICS + 1, dtype=float) ** -1.0
    topics = generator.choice(TOPICS, count, p=weights / weights.sum()).tolist()
    vector = generator.integers(-26, 27, DIMENSION).astype(np.int8).tobytes() if vectors else None
    voters = [number.to_bytes(16, "big") for number in range(-(-count // PLACES))]

    def write(connection: Connection, start: int) -> None:
        votes = VoteRepository(connection)
        for number in range(start, min(start + VOTES_PER_TRANSACTION, count)):
            voter, text = voters[number // PLACES], f"what is the answer to question number {topics[number]}"
            sealed = seal_vote(KEY, voter, Vote(text, "plain", vector), random=secrets)
            tag = number.to_bytes(16, "big")
            votes.take_place(EPOCH, PERIOD, voter=voter, tag=tag, sealed=sealed, keys_max=PLACES)

    for start in range(0, count, VOTES_PER_TRANSACTION):
        database.write_now(lambda connection, start=start: write(connection, start))
    return voters


def measure(database: Database, voters: list[bytes], *, vectors: bool) -> dict[str, Any]:
    """Run the steps of a release one by one."""
    terms = pool_terms(unit="question", vector_source="dp_mean" if vectors else "released_text")
    noise, process, found = OpenDpNoise(), psutil.Process(), dict[str, Any]()
    noise.laplace(1, terms.epsilon_micro)  # what loads the library
    before = process.memory_info().rss

    def step(name: str, work: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        value = work()
        found[name] = {"wall_s": round(time.perf_counter() - wall, 2), "cpu_s": round(time.process_time() - cpu, 2)}
        found["grown_bytes"] = max(found.get("grown_bytes", 0), process.memory_info().rss - before)
        return value

    def count(connection: Connection) -> Tally:
        votes = VoteRepository(connection).load(EPOCH)
        return tally(votes, KEY, voters, keys_max=terms.keys_max, with_vectors=vectors)

    counted = step("count", lambda: database.read_now(count))
    chosen = step("draw", lambda: draw_release(counted, terms, noise, dimension=DIMENSION))
    votes = step("destroy", lambda: database.write_now(lambda c: VoteRepository(c).delete(EPOCH)))
    means = sum(one.mean is not None for one in chosen)
    return {"votes": votes, "keys": len(counted.counts), "released": len(chosen), "means": means, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--votes", type=int, default=1_000_000)
    parser.add_argument("--vectors", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        database = Database(sqlite_url(Path(folder) / "store.db"))
        upgrade(database.engine)
        voters = fill(database, options.votes, vectors=options.vectors)
        found = measure(database, voters, vectors=options.vectors)
        database.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
