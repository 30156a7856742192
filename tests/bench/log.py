"""CPU time of the log's arithmetic: leaves, proofs and signatures, made and verified; prints one JSON object.

    python -m tests.bench.log

One thread. Figures are medians over rounds of `time.process_time`; the tree is in memory, so reading tiles is not in them.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable

from crypto.checkpoint import (
    Checkpoint,
    append_cosignature,
    cosign_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
    verify_cosignatures,
)
from crypto.ed25519 import SigningKey, verify_signature
from crypto.merkle import (
    MemoryTree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from crypto.multiproof import make_multiproof, root_from_multiproof
from crypto.note import LOG_ALGORITHM, WITNESS_ALGORITHM, make_vkey, parse_vkey

LEAF_BYTES = 74
ORIGIN, WITNESS = "log.example/bench", "witness.example/bench"
TIME_S = 1_700_000_000


def median_us(call: Callable[[], object], rounds: int, count: int) -> float:
    """Return microseconds of CPU per call: the median over *rounds* of *count* calls."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(count):
            call()
        times.append((time.process_time() - start) / count)
    return round(1e6 * statistics.median(times), 2)


def grow(size: int) -> tuple[MemoryTree, float]:
    """Return a tree of *size* leaves of 74 bytes, and microseconds per leaf, hashing it included."""
    tree, start = MemoryTree(), time.process_time()
    for number in range(size):
        tree.append(leaf_hash(number.to_bytes(LEAF_BYTES, "big")))
    return tree, round(1e6 * (time.process_time() - start) / size, 2)


def measure_tree(tree: MemoryTree, chosen: int, rounds: int) -> dict[str, float]:
    """Measure proofs of *chosen* random leaves, one by one and together."""
    size, root = tree.size, tree.root()
    indexes = sorted(random.Random(1).sample(range(size), chosen))
    leaves = [(index, tree.node(0, index)) for index in indexes]
    paths = [inclusion_proof(index, size, tree.node) for index in indexes]
    together = make_multiproof(indexes, size, tree.node)
    old_size = size * 2 // 3
    old_root, proof = tree.root(old_size), consistency_proof(old_size, size, tree.node)

    def verify_paths() -> None:
        for (index, leaf), path in zip(leaves, paths, strict=True):
            verify_inclusion(index, size, leaf, path, root)

    if root_from_multiproof(leaves, size, together) != root:
        raise SystemExit("the multiproof leads to another root")
    return {
        "root_us": median_us(tree.root, rounds, 100),
        "make_one_path_us": median_us(lambda: inclusion_proof(indexes[0], size, tree.node), rounds, 100),
        "verify_one_path_us": median_us(verify_paths, rounds, 1) / chosen,
        "make_multiproof_us": median_us(lambda: make_multiproof(indexes, size, tree.node), rounds, 1),
        "verify_multiproof_us": median_us(lambda: root_from_multiproof(leaves, size, together), rounds, 1),
        "verify_consistency_us": median_us(
            lambda: verify_consistency(old_size, size, old_root, root, proof), rounds, 100
        ),
        "multiproof_hashes": len(together),
        "separate_path_hashes": sum(map(len, paths)),
        "multiproof_percent": round(100 * len(together) / sum(map(len, paths)), 1),
    }


def measure_signatures(tree: MemoryTree, rounds: int) -> dict[str, float]:
    """Measure Ed25519 and a checkpoint with one cosignature."""
    log_key, witness_key, message = SigningKey(bytes(range(32))), SigningKey(bytes(range(1, 33))), bytes(1024)
    signature, checkpoint = log_key.sign(message), Checkpoint(ORIGIN, tree.size, tree.root())
    log = parse_vkey(make_vkey(ORIGIN, LOG_ALGORITHM, log_key.public_key))
    witness = parse_vkey(make_vkey(WITNESS, WITNESS_ALGORITHM, witness_key.public_key))
    text = sign_checkpoint(checkpoint, log_key)
    text = append_cosignature(text, cosign_checkpoint(text, WITNESS, witness_key, TIME_S))
    return {
        "sign_us": median_us(lambda: log_key.sign(message), rounds, 100),
        "verify_us": median_us(lambda: verify_signature(log_key.public_key, message, signature), rounds, 100),
        "sign_checkpoint_us": median_us(lambda: sign_checkpoint(checkpoint, log_key), rounds, 100),
        "verify_checkpoint_and_cosignature_us": median_us(
            lambda: verify_cosignatures(verify_checkpoint(text, log), [witness], 1000 * TIME_S), rounds, 100
        ),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1_000_000, help="leaves of the tree")
    parser.add_argument("--chosen", type=int, default=1000, help="leaves that are proved")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    tree, append_us = grow(options.size)
    figures = {"append_us": append_us} | measure_tree(tree, options.chosen, options.rounds)
    print(json.dumps(figures | measure_signatures(tree, options.rounds), indent=1))


if __name__ == "__main__":
    main()
