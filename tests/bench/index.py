"""What the vector indexes cost, beside a bare `faiss.IndexFlatIP` in the same run; prints Markdown.

    OMP_NUM_THREADS=1 python tests/bench/index.py            everything, about three minutes
    OMP_NUM_THREADS=1 python tests/bench/index.py --quick    up to 10,000 rows

Times are CPU milliseconds per query of the calling thread, the least of several rounds. Memory is the growth of the
resident set in a process of its own. The rows are synthetic: topic, intent, paraphrase, as questions are.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import psutil

from server.index.array import ArrayIndex
from server.index.faiss_setup import load_faiss
from server.index.fast_scan import train_fast_scan
from server.index.flat import FaissFlatIndex
from server.index.growing import GrowingIndex, Growth
from server.index.ivf import train_for
from server.index.partitions import PartitionKey, PartitionLimits, Partitions
from server.index.recall import measured_recall
from server.ports import Int8Matrix
from tenants.identifiers import TenantId

DIMENSION = 384
FLOAT_BYTES = 4 * DIMENSION
K = 8


def questions(count: int, seed: int = 0) -> Int8Matrix:
    """Quantised unit rows around intents around topics; top-1 cosine about .8."""
    generator = np.random.default_rng(seed)
    shapes = np.random.default_rng(1)
    topics = shapes.standard_normal((200, DIMENSION))
    intents = topics[shapes.integers(0, 200, 5000)] + 0.9 * shapes.standard_normal((5000, DIMENSION))
    rows = np.empty((count, DIMENSION), dtype=np.int8)
    for start in range(0, count, 8192):
        size = min(8192, count - start)
        points = intents[generator.integers(0, 5000, size)] + 0.6 * generator.standard_normal((size, DIMENSION))
        points *= 508 / np.linalg.norm(points, axis=1, keepdims=True)
        rows[start : start + size] = np.clip(np.rint(points), -127, 127)
    return rows


def cpu_ms(work: Callable[[], object], *, queries: int = 1) -> float:
    """Return the least CPU time per query over rounds of at least 20 ms."""
    least, spent_s, rounds = float("inf"), 0.0, 0
    while rounds < 5 or (spent_s < 1.0 and rounds < 200):
        repeats, started_s = 0, time.thread_time()
        while (passed_s := time.thread_time() - started_s) < 0.02 or not repeats:
            work()
            repeats += 1
        least, spent_s, rounds = min(least, passed_s / repeats), spent_s + passed_s, rounds + 1
    return least * 1e3 / queries


class Bare:
    """The floor: nothing but FAISS, float32, no locks, no ids, no tombstones."""

    def __init__(self, rows: Int8Matrix) -> None:
        self.index: Any = load_faiss(DIMENSION).IndexFlatIP(DIMENSION)
        for start in range(0, len(rows), 8192):
            self.index.add(rows[start : start + 8192].astype(np.float32))

    def search(self, queries: Int8Matrix, k: int) -> object:
        return self.index.search(queries.astype(np.float32), k)


def filled(index: Any, rows: Int8Matrix) -> Any:
    index.add(np.arange(len(rows), dtype=np.int64), rows)
    return index


def listed(rows: Int8Matrix) -> Any:
    return filled(train_for(rows, seed=508), rows)


BUILDS: dict[str, Callable[[Int8Matrix], Any]] = {
    "bare IndexFlatIP": Bare,
    "array": lambda rows: filled(ArrayIndex(DIMENSION), rows),
    "flat": lambda rows: filled(FaissFlatIndex(DIMENSION), rows),
    "ivf": listed,
    "fast scan": lambda rows: filled(train_fast_scan(rows, seed=508), rows),
}


def print_searches(sizes: list[int]) -> None:
    print(
        "| rows | index | 1 query | batch of 8 | batch of 64 | build, ms | recall@10 |\n|---|---|---|---|---|---|---|"
    )
    queries = questions(64, seed=7)
    for size in sizes:
        rows = questions(size)
        for name, build in BUILDS.items():
            if (name == "array" and size > 1000) or (name in APPROXIMATE and size < 10_000):
                continue
            started_s = time.perf_counter()
            index = build(rows)
            build_ms = (time.perf_counter() - started_s) * 1e3
            cells = [
                cpu_ms(lambda index=index, count=count: index.search(queries[:count], K), queries=count)
                for count in (1, 8, 64)
            ]
            sampled = rows[:: max(1, size // 300)]
            recall = f"{measured_recall(index, rows, sampled):.3f}" if name in APPROXIMATE else "exact"
            timings = " | ".join(f"{cell:.4f}" for cell in cells)
            print(f"| {size:,} | {name} | {timings} | {build_ms:.1f} | {recall} |", flush=True)


APPROXIMATE = ("ivf", "fast scan")


class Wall:
    """The real clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()


async def partitions_of(tenants: int, rows: Int8Matrix) -> Partitions:
    """Load *tenants* partitions, each with its own copy of *rows*."""
    ids = np.arange(len(rows), dtype=np.int64)

    async def load(key: PartitionKey) -> tuple[np.ndarray, Int8Matrix]:
        return ids.copy(), rows.copy()

    limits = PartitionLimits(bytes_max=1 << 40, growth=Growth(flat_rows_max=10**9))
    partitions = Partitions(load, dimension=DIMENSION, clock=Wall(), limits=limits)
    for number in range(tenants):
        await partitions.search(PartitionKey(TenantId(f"tenant-{number:06}"), bytes(32)), rows[0], 1)
    return partitions


def print_through_partitions(sizes: list[int]) -> None:
    """The whole path of a lookup: from the event loop, through queue and thread, to candidates."""
    print("\n| rows | process CPU per search, ms | of 64 at once | load, ms |\n|---|---|---|---|")
    for size in sizes:
        rows = questions(size)
        key = PartitionKey(TenantId("tenant-000000"), bytes(32))

        async def main(rows: Int8Matrix = rows, key: PartitionKey = key) -> tuple[float, float, float]:
            started_s = time.perf_counter()
            partitions = await partitions_of(1, rows)
            load_ms = (time.perf_counter() - started_s) * 1e3
            rounds = 200 if len(rows) <= 10_000 else 40
            one, many = float("inf"), float("inf")
            for _ in range(5):
                started_s = time.process_time()
                for number in range(rounds):
                    await partitions.search(key, rows[number % len(rows)], K)
                one = min(one, (time.process_time() - started_s) / rounds)
                started_s = time.process_time()
                await asyncio.gather(*(partitions.search(key, rows[n % len(rows)], K) for n in range(64)))
                many = min(many, (time.process_time() - started_s) / 64)
            await partitions.close()
            return one * 1e3, many * 1e3, load_ms

        one, many, load_ms = asyncio.run(main())
        print(f"| {size:,} | {one:.4f} | {many:.4f} | {load_ms:.1f} |", flush=True)


def resident_bytes() -> int:
    """Return the resident set, without what the allocator keeps of freed memory where it can be told to let go."""
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


def measure_memory(kind: str, size: int) -> None:
    """Run in a process of its own: print resident growth and what the index says of itself."""
    load_faiss(DIMENSION)
    filled(FaissFlatIndex(DIMENSION), questions(600)).search(questions(1), 1)
    if kind == "tenants":
        rows = questions(50)
        before = resident_bytes()
        partitions = asyncio.run(partitions_of(size, rows))
        print(resident_bytes() - before, partitions.size_bytes)
        return
    batches = [questions(min(1000, size - start), seed=start) for start in range(0, size, 1000)]
    index: Any = GrowingIndex(DIMENSION, Growth(flat_rows_max=10**9)) if kind == "growing" else Bare(batches[0][:0])
    before = resident_bytes()
    for number, batch in enumerate(batches):
        if kind == "growing":
            index.add(np.arange(1000 * number, 1000 * number + len(batch), dtype=np.int64), batch)
        else:
            index.index.add(batch.astype(np.float32))
    print(resident_bytes() - before, index.size_bytes if kind == "growing" else 0)


def in_process(kind: str, size: int) -> tuple[int, int]:
    command = [sys.executable, __file__, "--memory", kind, str(size)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    resident, declared = output.split()
    return int(resident), int(declared)


def print_memory(sizes: list[int], tenants: int) -> None:
    print("\n| added in batches of 1,000 | resident bytes per entry | of a float32 vector | its own size_bytes |")
    print("|---|---|---|---|")
    for size in sizes:
        for kind, name in (("bare", "bare IndexFlatIP"), ("growing", "this index")):
            resident, declared = in_process(kind, size)
            claim = f"{declared / size:.0f}" if declared else ""
            print(
                f"| {size:,}, {name} | {resident / size:.0f} | {resident / size / FLOAT_BYTES:.2f} | {claim} |",
                flush=True,
            )
    resident, declared = in_process("tenants", tenants)
    raw = 50 * DIMENSION
    each, claim = resident / tenants, declared / tenants
    print(f"\n{tenants:,} tenants x 50 entries: {each:.0f} bytes resident per tenant, {raw} of them raw int8 vectors:")
    print(f"overhead {each - raw:.0f} bytes per tenant (size_bytes says {claim - raw:.0f}).")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--memory", nargs=2, metavar=("KIND", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        measure_memory(options.memory[0], int(options.memory[1]))
        return
    faiss = load_faiss(DIMENSION)
    threshold = faiss.cvar.distance_compute_blas_threshold
    print(f"FAISS {faiss.__version__}, distance_compute_blas_threshold {threshold}, d = {DIMENSION}, k = {K}\n")
    large = [] if options.quick else [100_000]
    print_searches([50, 256, 1000, 10_000, *large])
    print_through_partitions([50, 1000, 10_000, *large])
    print_memory([10_000, *large], 1000 if options.quick else 10_000)


if __name__ == "__main__":
    main()
