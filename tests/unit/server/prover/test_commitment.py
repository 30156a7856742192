from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from crypto.applicability.setup import Setup
from crypto.applicability.suites import SUITES, Suite, suite_for
from crypto.errors import EncodingError
from server.prover.commitment import commit
from server.prover.prover import Prover
from server.prover.workbench import Workbench
from tests.applicability_examples import ENTRY, OTHER_ENTRY, OTHER_SEED, SEED, SUITE, pair, scalars
from tests.applicability_prover import SlowProver


@pytest.mark.parametrize("dimension", [1, 200, 256, 384, 1024])
def test_both_ways_of_committing_are_that_of_the_slow_prover(setup: Setup, prover: Prover, dimension: int) -> None:
    entry, _ = pair(dimension, 3)
    suite = suite_for(dimension)
    expected = SlowProver(scalars(0)).commit(suite, entry, SEED)
    assert commit(setup, suite, entry, SEED) == expected
    assert prover.commit(suite, entry, SEED) == expected


def test_another_seed_or_vector_is_another_commitment(setup: Setup) -> None:
    found = {commit(setup, SUITE, vector, seed) for vector in (ENTRY, OTHER_ENTRY) for seed in (SEED, OTHER_SEED)}
    assert len(found) == 4


def test_components_of_eight_bits_are_taken_for_what_they_are(setup: Setup) -> None:
    assert commit(setup, SUITE, np.array(ENTRY, dtype=np.int8), SEED) == commit(setup, SUITE, ENTRY, SEED)


@pytest.mark.parametrize("part", [128, -128, 1000])
def test_a_component_beyond_the_bound_is_not_committed_to(setup: Setup, prover: Prover, part: int) -> None:
    vector = (*ENTRY[:-1], part)
    with pytest.raises(EncodingError, match="127"):
        commit(setup, SUITE, vector, SEED)
    with pytest.raises(EncodingError, match="127"):
        prover.commit(SUITE, vector, SEED)


def test_an_eight_bit_component_of_minus_128_is_refused_though_its_magnitude_wraps(setup: Setup) -> None:
    with pytest.raises(EncodingError, match="127"):
        commit(setup, SUITE, np.array([-128] * 200, dtype=np.int8), SEED)


@pytest.mark.parametrize("suite", SUITES[1:], ids=lambda suite: str(suite.size))
def test_a_vector_is_not_committed_to_in_another_suite_than_its_own(setup: Setup, suite: Suite) -> None:
    with pytest.raises(EncodingError, match="not committed to"):
        commit(setup, suite, ENTRY, SEED)


@pytest.mark.parametrize("seed", [b"", SEED[:31], SEED + b"\0"])
def test_a_seed_of_another_length_is_refused(setup: Setup, prover: Prover, seed: bytes) -> None:
    with pytest.raises(EncodingError, match="seed"):
        commit(setup, SUITE, ENTRY, seed)
    with pytest.raises(EncodingError, match="seed"):
        prover.commit(SUITE, ENTRY, seed)


def test_chosen_values_are_committed_to_as_their_polynomial(bench: Workbench) -> None:
    blinders = bench.commitment_blinders(SEED)
    values = {part: bench.domain.points[part + 127] for part in range(-127, 128)}
    vector = (*ENTRY, *[0] * (bench.size - len(ENTRY)))
    coefficients = bench.domain.to_coefficients([values[part] for part in vector])
    plain = bench.committer.commit_coefficients(coefficients)
    assert bench.committer.commit_chosen(vector, values, []) == plain
    assert bench.committer.commit_chosen(vector, values, blinders) == plain + bench.committer.commit_integers(
        [], blinders
    )


def test_threads_that_commit_at_once_get_what_each_would_alone(setup: Setup) -> None:
    vectors = [pair(dimension, dimension)[0] for dimension in (1, 300, 256, 384, 512, 200)] * 2
    fresh = Setup(setup.powers, setup.g2, setup.g2[:1])  # an equal one would find the points already there
    with ThreadPoolExecutor(max_workers=6) as threads:
        found = list(threads.map(lambda vector: commit(fresh, suite_for(len(vector)), vector, SEED), vectors))
    assert found == [commit(setup, suite_for(len(vector)), vector, SEED) for vector in vectors]
