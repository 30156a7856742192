"""What opened commitments cost an auditor, in both implementations.

    OMP_NUM_THREADS=1 python -m tests.bench.openings [--rounds 5] [--json]

Processor milliseconds, the least of its rounds: openings alone and 64 at once, one of 64 that is bad, found by halving,
and, once per run, reading the ceremony's powers. The second implementation reads them anew each time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from crypto.applicability.opening import CommitmentOpening, OpeningVerifier, load_opening_verifier
from crypto.applicability.setup import load_setup
from crypto.applicability.suites import suite_for
from crypto.reference.opened_commitments import Opened, do_open
from server.prover.commitment import commit

DIMENSIONS = (384, 1024, 1536)
COUNT = 64


def make(dimension: int) -> list[CommitmentOpening]:
    """Return openings of vectors and seeds that follow from the dimension."""
    drawn, suite, setup = Random(dimension), suite_for(dimension), load_setup()
    found = []
    for _ in range(COUNT):
        vector, seed = tuple(drawn.randint(-30, 30) for _ in range(dimension)), drawn.randbytes(32)
        found.append(CommitmentOpening(suite, commit(setup, suite, vector, seed), vector, seed))
    return found


def least_ms(work: Callable[[], object], rounds: int) -> float:
    """Return the least processor time of *rounds*."""
    taken = []
    for _ in range(rounds):
        started_s = time.process_time()
        work()
        taken.append((time.process_time() - started_s) * 1_000)
    return round(min(taken), 2)


def check(verifier: OpeningVerifier, openings: Sequence[CommitmentOpening], invalid: frozenset[int]) -> None:
    """Hold the first implementation to what it must find; raises `RuntimeError`."""
    if verifier.find_invalid([verifier.claim(one) for one in openings]) != invalid:
        raise RuntimeError("the first implementation found something else than was wrong")


def check_again(openings: Sequence[CommitmentOpening]) -> None:
    """Hold the second implementation to accepting *openings*; raises `RuntimeError`."""
    if not do_open([Opened(one.suite.name, one.commitment, one.vector, one.seed) for one in openings]):
        raise RuntimeError("the second implementation refused what opens")


def measure(dimension: int, rounds: int) -> dict[str, Any]:
    """Return the figures of one dimension."""
    openings, none = make(dimension), frozenset[int]()
    bad = [*openings[:17], replace(openings[17], seed=bytes(32)), *openings[18:]]
    verifier = load_opening_verifier()
    cold = least_ms(lambda: check(load_opening_verifier(), openings[:1], none), rounds)
    warm = least_ms(lambda: check(verifier, openings[:1], none), rounds)
    return {
        "dimension": dimension,
        "with the powers read": cold,
        "one": warm,
        f"{COUNT} at once": least_ms(lambda: check(verifier, openings, none), rounds),
        f"one bad among {COUNT}": least_ms(lambda: check(verifier, bad, frozenset({17})), rounds),
        "second: one": least_ms(lambda: check_again(openings[:1]), rounds),
        f"second: {COUNT} at once": least_ms(lambda: check_again(openings), rounds),
    }


def main() -> int:
    """Print what each dimension costs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for dimension in DIMENSIONS:
        found = measure(dimension, options.rounds)
        print(json.dumps(found) if options.json else "   ".join(f"{name} {value}" for name, value in found.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
