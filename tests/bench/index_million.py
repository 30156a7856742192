"""A million vectors in one partition: search, recall, memory and build of the stages that may hold them.

    OMP_NUM_THREADS=1 python -m tests.bench.index_million                  both shapes, about eight minutes
    OMP_NUM_THREADS=1 python -m tests.bench.index_million --rows 300000    a shorter run

Each stage runs in a process of its own. Search is CPU milliseconds of the calling thread over 400 queries one at a time,
rows of the partition themselves; recall@10 against a full scan, the query itself not counted. "few" is 5 phrasings of
each of 200,000 intents, so that the tenth neighbour is another intent; "many" is 200 phrasings of each of 5,000.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import psutil

from server.index.faiss_setup import load_faiss
from server.index.growing import GrowingIndex, Growth
from server.index.recall import best_scores, recall_against
from server.ports import Int8Matrix
from tests.bench.index import resident_bytes

DIMENSION = 384
QUERIES = 400
K = 50
#: Intents per row and topics, by shape.
SHAPES = {"few": (5, 1000), "many": (200, 200)}


def questions(count: int, shape: str) -> Int8Matrix:
    """Return quantised unit rows: paraphrases around intents around topics."""
    per_intent, topics = SHAPES[shape]
    generator = np.random.default_rng(1)
    intents = max(1, count // per_intent)
    centres = generator.standard_normal((topics, DIMENSION), dtype=np.float32)
    middles = centres[generator.integers(0, topics, intents)]
    for start in range(0, intents, 8192):
        part = middles[start : start + 8192]
        part += np.float32(0.9) * generator.standard_normal(part.shape, dtype=np.float32)
    rows = np.empty((count, DIMENSION), dtype=np.int8)
    for start in range(0, count, 8192):
        size = min(8192, count - start)
        points = middles[generator.integers(0, intents, size)]
        points += np.float32(0.6) * generator.standard_normal((size, DIMENSION), dtype=np.float32)
        points *= 508 / np.linalg.norm(points, axis=1, keepdims=True)
        rows[start : start + size] = np.clip(np.rint(points), -127, 127)
    return rows


def measure(stage: str, shape: str, count: int) -> dict[str, Any]:
    """Build *stage* the way a partition does, and search it."""
    load_faiss(DIMENSION)
    rows = questions(count, shape)
    sampled = rows[np.random.default_rng(9).choice(count, QUERIES, replace=False)]
    wanted = best_scores(rows, sampled, 11)
    limits = {"flat": Growth(flat_rows_max=10**9), "ivf": Growth(lists_rows_max=10**9), "fast_scan": Growth()}
    index = GrowingIndex(DIMENSION, limits[stage])
    before_bytes = resident_bytes()
    index.add(np.arange(count, dtype=np.int64), rows)
    started_s, cpu_s = time.perf_counter(), time.process_time()
    index.maintain()
    build = {"wall": time.perf_counter() - started_s, "cpu": time.process_time() - cpu_s}
    resident = resident_bytes() - before_bytes
    times_ms = []
    for query in sampled:
        cpu_s = time.thread_time()
        index.search(query[np.newaxis], K)
        times_ms.append((time.thread_time() - cpu_s) * 1e3)
    return {
        "stage": index.stage,
        "shape": shape,
        "rows": count,
        "search_ms": {"p50": np.quantile(times_ms, 0.5), "p99": np.quantile(times_ms, 0.99)},
        "recall_at_10": recall_against(index, wanted, sampled),
        "resident_bytes_per_row": resident / count,
        "size_bytes_per_row": index.size_bytes / count,
        "build_s": build,
        "peak_bytes": psutil.Process().memory_info().rss,
        "candidates": getattr(index._stage, "candidates", None),
    }


def line(found: dict[str, Any]) -> str:
    search, build = found["search_ms"], found["build_s"]
    return (
        f"| {found['rows']:,} {found['shape']} | {found['stage']} | {search['p50']:.3f} | {search['p99']:.3f} "
        f"| {found['recall_at_10']:.4f} | {found['resident_bytes_per_row']:.0f} | {found['size_bytes_per_row']:.0f} "
        f"| {build['wall']:.1f} ({build['cpu']:.1f}) | {found['candidates'] or ''} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--stages", default="flat,ivf,fast_scan")
    parser.add_argument("--shapes", default="few,many")
    parser.add_argument("--one", nargs=2, metavar=("STAGE", "SHAPE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one, options.rows)))
        return
    print(f"FAISS {load_faiss(DIMENSION).__version__}, d = {DIMENSION}, k = {K}\n")
    print(
        "| rows | stage | search p50, ms | p99 | recall@10 | resident B/row | size_bytes/row | build, s (CPU) | scored |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for shape in options.shapes.split(","):
        for stage in options.stages.split(","):
            command = [
                sys.executable,
                "-m",
                "tests.bench.index_million",
                "--rows",
                str(options.rows),
                "--one",
                stage,
                shape,
            ]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            print(line(json.loads(output)), flush=True)


if __name__ == "__main__":
    main()
