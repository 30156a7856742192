"""What noise costs: draws per second of CPU time by both samplers, a selection among many keys, one vector.

    python -m tests.bench.noise [--keys 300000]

Prints one JSON object. The reference sampler gets its bytes from a seeded generator.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from privacy.exact_noise import ExactNoise
from privacy.mean import SUM_SENSITIVITY_SQUARED, noised_mean
from privacy.opendp_noise import OpenDpNoise
from privacy.selection import select
from privacy.terms import pool_terms


def cpu_s(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=300_000)
    keys = parser.parse_args().keys
    terms = pool_terms(unit="question", vector_source="dp_mean")
    multiplier = terms.vector_multiplier_squared_micro or 0
    sigma_squared = Fraction(SUM_SENSITIVITY_SQUARED * multiplier, 10**6)
    product, reference = OpenDpNoise(), ExactNoise(random.Random(1).randbytes)
    product.gaussian(1, Fraction(1))  # what loads the library
    result: dict[str, float] = {}
    for name, sampler, draws in (("opendp", product, 100_000), ("reference", reference, 20_000)):
        result[f"{name}_laplace_per_s"] = draws / cpu_s(lambda s=sampler, n=draws: s.laplace(n, terms.epsilon_micro))
        result[f"{name}_gaussian_per_s"] = draws / cpu_s(lambda s=sampler, n=draws: s.gaussian(n, sigma_squared))
    counts = {f"{number:064x}": 1 + number % 12 for number in range(keys)}
    result[f"selection_of_{keys}_keys_s"] = cpu_s(lambda: select(counts, terms, product))
    vectors = np.full((50, 384), 25, dtype=np.int8)
    result["mean_of_384_components_ms"] = 1000 * cpu_s(lambda: noised_mean(vectors, multiplier, product))
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
