"""What an audit costs: CPU time of `hitproof-verify`, start of the process included, and bytes of proof per hit.

    python -m tests.bench.audit [--receipts 1000] [--hits 1000] [--leaves 1000000]

The log's other leaves are strangers', spread evenly between ours. "Separate" are the bytes that one RFC 6962 path for
every hit and its receipt would take: path in the batch, path of the batch's leaf, path of the receipt's leaf. "Shared" are
the multiproofs of the bundle: of all leaves in the log, and of the hits in their batches. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from crypto.canonical import INTEGER_MAX
from crypto.merkle import MemoryTree, inclusion_proof, leaf_hash
from tests.audit.bundles import HonestBundle, Plan, make_bundle

ROOT = Path(__file__).parents[2]
HASH_BYTES = 32
LONG_AGO_MS = 1_600_000_000_000


def make_timeless(receipts: int, hits: int, hits_per_batch: int, leaves: int) -> HonestBundle:
    """Return a bundle that the machine's clock neither finds expired nor from the future."""
    return make_bundle(
        Plan(
            receipts=receipts,
            hits=hits,
            hits_per_batch=hits_per_batch,
            tree_size=leaves,
            witnesses=1,
            start_ms=LONG_AGO_MS,
            expires_at_ms=INTEGER_MAX,
        )
    )


def measure_process(honest: HonestBundle, folder: Path, options: list[str], rounds: int) -> dict[str, float]:
    """Return the least CPU and wall time of *rounds* runs of the command, in seconds."""
    bundle, trust = folder / "bundle.zip", folder / "trust.json"
    bundle.write_bytes(honest.data)
    trust.write_bytes(honest.trust_data)
    command = [sys.executable, "-m", "crypto.cli", str(bundle), "--trust", str(trust), *options]
    cpu, wall = [], []
    for _ in range(rounds):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall.append(time.monotonic() - start)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"cpu_s": round(min(cpu), 3), "wall_s": round(min(wall), 3)}


def count_proof_bytes(honest: HonestBundle) -> dict[str, float]:
    """Return the bytes of shared proofs, and of the paths that they stand for."""
    world, parts = honest.world, honest.parts
    receipts = {receipt.digest: receipt.index for receipt in world.receipts}
    size, node = world.tree.size, world.tree.node
    separate = 0
    for line in parts.hits:
        records = world.batches[line.batch]
        batch = MemoryTree(leaf_hash(record.to_payload()) for record in records)
        for place, record in zip(line.positions, line.records, strict=True):
            separate += len(inclusion_proof(place, len(records), batch.node))
            separate += len(inclusion_proof(line.batch, size, node))
            separate += len(inclusion_proof(receipts[record.receipt], size, node))
    shared = len(parts.multiproof) + sum(len(line.hashes) for line in parts.hits)
    return {
        "shared_bytes_per_hit": round(shared * HASH_BYTES / parts.counts.hits, 1),
        "separate_bytes_per_hit": round(separate * HASH_BYTES / parts.counts.hits, 1),
        "shared_of_separate_percent": round(100 * shared / separate, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--receipts", type=int, default=1_000)
    parser.add_argument("--hits", type=int, default=1_000)
    parser.add_argument("--leaves", type=int, default=1_000_000)
    parser.add_argument("--hits-per-batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    honest = make_timeless(options.receipts, options.hits, options.hits_per_batch, options.leaves)
    with tempfile.TemporaryDirectory() as folder:
        found = {
            "leaves": honest.world.tree.size,
            "receipts": options.receipts,
            "hits": options.hits,
            "hits_per_batch": options.hits_per_batch,
            "bundle_bytes": len(honest.data),
            "proofs": count_proof_bytes(honest),
            "verify": measure_process(honest, Path(folder), [], options.rounds),
            "verify_cross_check": measure_process(honest, Path(folder), ["--cross-check"], 1),
            "processors": os.cpu_count(),
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
