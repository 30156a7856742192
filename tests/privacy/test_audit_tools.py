"""The tools of the audits themselves: what they would miss, nothing here would find."""

from __future__ import annotations

import math
import random
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from privacy.exact_noise import ExactNoise
from tests.privacy.mass_noise import MassNoise, gaussian_mass, laplace_mass
from tests.privacy.one_run_audit import SHARES, SIDES, lower_bound, p_value

#: Five in a million: the chance that a right sampler fails one of these, were the seed another.
DEVIATIONS = 4.5


def chi_square_deviations(draws: list[int], mass: NDArray[np.float64]) -> float:
    """Return how many standard deviations the chi-square statistic lies above its mean.

    Neighbouring values share a bin until it expects 200 draws, so that the statistic is near normal.
    """
    counts = Counter(draws)
    least = 200.0
    expected, observed = [0.0], [0.0]
    for position, chance in enumerate(mass):
        if expected[-1] >= least and len(draws) * mass[position:].sum() >= least:
            expected.append(0.0)
            observed.append(0.0)
        expected[-1] += chance * len(draws)
        observed[-1] += counts[position - len(mass) // 2]
    statistic = sum((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True))
    freedom = len(expected) - 1
    return (statistic - freedom) / math.sqrt(2 * freedom)


@pytest.mark.parametrize("epsilon_micro", [250_000, 1_000_000, 2_000_000, 4_000_000])
def test_mass_laplace_noise_has_the_products_distribution(epsilon_micro: int) -> None:
    mass = laplace_mass(epsilon_micro)
    assert abs(mass.sum() - 1) < 1e-12
    assert chi_square_deviations(MassNoise(1).laplace(400_000, epsilon_micro), mass) < DEVIATIONS
    assert (
        chi_square_deviations(ExactNoise(random.Random(2).randbytes).laplace(20_000, epsilon_micro), mass) < DEVIATIONS
    )


@pytest.mark.parametrize("sigma_squared", [Fraction(1, 3), Fraction(99, 10), Fraction(250_000)])
def test_mass_gaussian_noise_has_the_products_distribution(sigma_squared: Fraction) -> None:
    mass = gaussian_mass(sigma_squared)
    assert chi_square_deviations(MassNoise(3).gaussian(400_000, sigma_squared), mass) < DEVIATIONS
    exact = ExactNoise(random.Random(4).randbytes).gaussian(10_000, sigma_squared)
    assert chi_square_deviations(exact, mass) < DEVIATIONS


def test_noise_of_another_size_would_be_noticed() -> None:
    assert chi_square_deviations(MassNoise(1).laplace(20_000, 1_050_000), laplace_mass(1_000_000)) > DEVIATIONS
    wider = MassNoise(1).gaussian(20_000, Fraction(11))
    assert chi_square_deviations(wider, gaussian_mass(Fraction(99, 10))) > DEVIATIONS


def randomised_response(epsilon: float, canaries: int, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """The mechanism whose loss is exactly ε: each coin is told right with e^ε / (1 + e^ε)."""
    generator = np.random.default_rng(seed)
    included = generator.random(canaries) < 0.5
    told = generator.random(canaries) < 1 / (1 + math.exp(-epsilon))
    return included, np.where(included == told, 1.0, -1.0)


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 2.0, 4.0])
def test_the_bound_of_randomised_response_is_just_below_its_epsilon(epsilon: float) -> None:
    bound = lower_bound(*randomised_response(epsilon, 50_000, seed=1), delta=0.0, error=0.05)
    assert 0.93 * epsilon < bound <= epsilon


def test_the_bound_is_wrong_no_oftener_than_it_says() -> None:
    wrong = sum(
        lower_bound(*randomised_response(1.0, 2_000, seed=seed), delta=0.0, error=0.05) > 1.0 for seed in range(300)
    )
    # 15 expected at most; more than 33 have a chance below 10^-5.
    assert wrong <= 33


def test_guesses_by_chance_prove_nothing() -> None:
    generator = np.random.default_rng(9)
    included = generator.random(50_000) < 0.5
    assert lower_bound(included, generator.standard_normal(50_000), delta=1e-8, error=0.05) < 0.01


def test_many_cut_offs_are_paid_for() -> None:
    included, scores = randomised_response(1.0, 4_000, seed=3)
    right = int(((scores > 0) == included).sum())
    bound = lower_bound(included, scores, delta=0.0, error=0.05)
    assert p_value(4_000, 4_000, right, bound, 0.0) <= 0.05 / (len(SHARES) * len(SIDES)) + 1e-9


def test_a_p_value_without_delta_is_the_binomial_tail() -> None:
    exact = sum(math.comb(20, w) * 0.5**20 for w in range(15, 21))
    assert p_value(20, 20, 15, 0.0, 0.0) == pytest.approx(exact)


def test_delta_makes_the_bound_smaller() -> None:
    included, scores = randomised_response(2.0, 10_000, seed=4)
    clean = lower_bound(included, scores, delta=0.0, error=0.05)
    assert lower_bound(included, scores, delta=1e-3, error=0.05) < clean
