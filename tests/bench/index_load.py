"""A large partition from the store to its first answer: read, opened, built. Prints one JSON object.

    OMP_NUM_THREADS=1 python -m tests.bench.index_load [--rows 1000000] [--folder /tmp]

The store is SQLite in a temporary folder of its own; every vector is sealed under the tenant's key, every payload 200
bytes. Pages are read and unsealed in turn; `build` puts rows into a `GrowingIndex` up to the flat scan, from which
lookups are answered; `maintain` is what goes on behind that in a thread. Wall seconds.
"""

from __future__ import annotations

import argparse
import json
import secrets
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
from sqlalchemy import Connection

from server.index.growing import GrowingIndex, Growth
from server.reuse.payload import seal_vector
from server.reuse.vectors import open_vectors
from server.store.database import Database, sqlite_url
from server.store.entries import VECTORS_MAX, EntryRepository
from server.store.migrate import upgrade
from server.store.platform import PlatformRepository
from server.store.records import OrganisationRecord, TenantRecord
from tenants.identifiers import EntryId, OrganisationId
from tenants.sealing import DataKey
from tests.bench.index_million import DIMENSION, questions
from tests.bench.store import NOW_MS, TENANT, new_entry

KEY = DataKey(1, bytes(range(32)))
ROWS_PER_TRANSACTION = 5_000


class Keys:
    """As much of a tenant's context as opening vectors needs."""

    id = TENANT

    @staticmethod
    def open_with(epoch: int) -> DataKey:
        """Return the one key."""
        return KEY


def fill(database: Database, rows: np.ndarray) -> None:
    """Store one entry per row."""

    def tenant(connection: Connection) -> None:
        platform = PlatformRepository(connection)
        platform.add_organisation(OrganisationRecord(OrganisationId("org_1"), "org", NOW_MS))
        platform.add_tenant(TenantRecord(TENANT, OrganisationId("org_1"), "tenant", "active", "{}", NOW_MS))

    def entries(connection: Connection, start: int) -> None:
        repository = EntryRepository(connection, TENANT)
        for number in range(start, min(start + ROWS_PER_TRANSACTION, len(rows))):
            entry = EntryId(number + 1)
            sealed = seal_vector(rows[number], key=KEY, tenant=TENANT, entry=entry, random=secrets)
            repository.add(replace(new_entry(number + 1), vector=sealed, payload=bytes(200), tags=()))

    database.write_now(tenant)
    for start in range(0, len(rows), ROWS_PER_TRANSACTION):
        database.write_now(lambda connection, start=start: entries(connection, start))


def measure(database: Database, rows: int) -> dict[str, float]:
    """Load everything as `server.reuse.vectors.VectorReader` does."""
    process = psutil.Process()
    before = process.memory_info().rss
    marks = [time.perf_counter()]
    pages, after = [], -1
    while True:
        sealed = database.read_now(
            lambda c, after=after: EntryRepository(c, TENANT).load_vectors(
                bytes(32), "sha256:" + "b" * 64, now_ms=NOW_MS, after=after
            )
        )
        pages.append(open_vectors(Keys(), sealed, DIMENSION))  # type: ignore[arg-type]
        if len(sealed) < VECTORS_MAX:
            break
        after = int(sealed[-1][0])
    ids, vectors = (np.concatenate(parts) for parts in zip(*pages, strict=True))
    marks.append(time.perf_counter())
    peak = process.memory_info().rss - before
    assert len(ids) == rows
    del sealed, pages
    index = GrowingIndex(DIMENSION, Growth())
    index.add(ids, vectors)
    marks.append(time.perf_counter())
    index.maintain()
    marks.append(time.perf_counter())
    index.search(vectors[:1], 8)
    names = ("read_and_open_s", "build_s", "maintain_s")
    return {
        "rows": rows,
        **{name: round(end - start, 2) for name, start, end in zip(names, marks, marks[1:], strict=False)},
        "stage": index.stage,
        "peak_bytes_per_row": round(peak / rows),
        "resident_bytes_per_row": round((process.memory_info().rss - before) / rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        database = Database(sqlite_url(Path(folder) / "store.db"))
        upgrade(database.engine)
        started_s = time.perf_counter()
        fill(database, questions(options.rows, "few"))
        found = measure(database, options.rows)
        database.close()
    print(json.dumps({"filled_s": round(time.perf_counter() - started_s, 1), **found}))


if __name__ == "__main__":
    main()
