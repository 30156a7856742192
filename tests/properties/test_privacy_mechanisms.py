"""What must hold of mechanisms whatever the votes, the noise and the promise."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.privacy_arithmetic import epsilon_micro_of_rho, zcdp_rho_nano
from privacy.calibration import laplace_threshold, multiplier_squared_micro_for
from privacy.chances import release_chance
from privacy.exact_noise import ExactNoise
from privacy.mean import noised_mean
from privacy.opendp_noise import scale_for_gaussian, scale_for_laplace
from privacy.selection import select
from privacy.terms import pool_terms
from tests.unit.privacy.distributions import NoNoise, StatedNoise

TERMS = pool_terms(unit="question")
COUNTS = st.dictionaries(st.binary(min_size=1, max_size=8), st.integers(1, 40), max_size=30)


def seeded(seed: int) -> ExactNoise:
    return ExactNoise(random.Random(seed).randbytes)


@given(COUNTS, st.integers(0, 1000))
def test_what_comes_out_was_voted_for_and_reaches_the_threshold(counts: dict[bytes, int], seed: int) -> None:
    found = select(counts, TERMS, seeded(seed))
    assert set(found) <= set(counts)
    assert all(count >= TERMS.threshold for count in found.values())


@given(COUNTS, st.integers(0, 1000), st.randoms(use_true_random=False))
def test_the_order_of_votes_never_shows(counts: dict[bytes, int], seed: int, shuffler: random.Random) -> None:
    items = list(counts.items())
    shuffler.shuffle(items)
    assert list(select(dict(items), TERMS, seeded(seed)).items()) == list(select(counts, TERMS, seeded(seed)).items())


@given(COUNTS, st.data())
def test_one_organisation_more_changes_nothing_but_its_own_key(counts: dict[bytes, int], data: st.DataObject) -> None:
    # Under the same draws, which is how neighbouring worlds are compared.
    draws = data.draw(st.lists(st.integers(-20, 20), min_size=len(counts), max_size=len(counts)))
    before = select(counts, TERMS, StatedNoise(draws))
    for key in counts:
        after = select({**counts, key: counts[key] + 1}, TERMS, StatedNoise(draws))
        assert {name: count for name, count in before.items() if name != key} == {
            name: count for name, count in after.items() if name != key
        }


@given(st.integers(200_000, 9_000_000), st.integers(10**6, 10**15))
def test_a_larger_promise_never_needs_a_higher_threshold(epsilon_micro: int, delta_atto: int) -> None:
    threshold = laplace_threshold(epsilon_micro, delta_atto)
    assert laplace_threshold(epsilon_micro + 50_000, delta_atto) <= threshold
    assert laplace_threshold(epsilon_micro, delta_atto * 2) <= threshold


@settings(max_examples=10)
@given(st.integers(500_000, 20_000_000), st.integers(10**8, 10**16), st.integers(1, 100))
def test_calibrated_noise_always_keeps_the_promise(epsilon_micro: int, delta_atto: int, count: int) -> None:
    multiplier = multiplier_squared_micro_for(epsilon_micro, delta_atto, count)
    assert epsilon_micro_of_rho(count * zcdp_rho_nano(multiplier), delta_atto) <= epsilon_micro


@given(st.integers(1, 10**9), st.fractions(Fraction(1, 1000), 10**12))
def test_scales_are_never_below_what_is_paid_for(epsilon_micro: int, sigma_squared: Fraction) -> None:
    assert Fraction(scale_for_laplace(epsilon_micro)) >= Fraction(10**6, epsilon_micro)
    assert Fraction(scale_for_gaussian(sigma_squared)) ** 2 >= sigma_squared


@given(st.integers(1, 30), st.integers(1, 30))
def test_more_voters_are_never_less_likely_to_come_out(first: int, second: int) -> None:
    low, high = sorted((first, second))
    assert release_chance(TERMS, low) <= release_chance(TERMS, high)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 127)), min_size=1, max_size=6))
def test_no_vector_moves_the_sum_by_more_than_its_bound(rows: list[tuple[int, int]]) -> None:
    # 40 components of up to ±127 have a norm of up to 803, beyond the bound of 510; a large offset in a component of its
    # own makes the direction tell the others' sum.
    class Offset(NoNoise):
        def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
            return [10**7, *[0] * (count - 1)]

    vectors = np.array([[0, *_signs(seed, size)] for seed, size in rows], dtype=np.int8)

    def summed(kept: np.ndarray) -> np.ndarray:
        found = noised_mean(kept, 1, Offset()).astype(np.float64)
        return found[1:] / found[0] * 10**7

    assert np.linalg.norm(summed(vectors) - summed(vectors[:-1])) <= 511


def _signs(seed: int, size: int) -> list[int]:
    return [size if random.Random(seed + number).random() < 0.5 else -size for number in range(40)]
