"""The reference sampler against the exact probabilities, on fixed bytes: either it agrees always or never."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from privacy.errors import NoiseError
from privacy.exact_noise import ExactNoise
from tests.unit.privacy.distributions import chi_square_excess, gaussian_weights, laplace_weights

DRAWS = 30_000


def seeded(seed: int = 7) -> ExactNoise:
    return ExactNoise(random.Random(seed).randbytes)


@pytest.mark.parametrize("epsilon_micro", [100_000, 500_000, 1_234_567, 2_000_000, 8_000_000])
def test_laplace_draws_follow_the_exact_probabilities(epsilon_micro: int) -> None:
    draws = seeded().laplace(DRAWS, epsilon_micro)
    assert chi_square_excess(draws, laplace_weights(epsilon_micro / 1e6)) < 4.0


@pytest.mark.parametrize("sigma_squared", [Fraction(1, 3), Fraction(5), Fraction(9_916_180, 10**6), Fraction(1000)])
def test_gaussian_draws_follow_the_exact_probabilities(sigma_squared: Fraction) -> None:
    draws = seeded().gaussian(DRAWS, sigma_squared)
    assert chi_square_excess(draws, gaussian_weights(float(sigma_squared))) < 4.0


def test_noise_of_another_size_would_be_noticed() -> None:
    assert chi_square_excess(seeded().laplace(DRAWS, 2_100_000), laplace_weights(2.0)) > 8.0
    assert chi_square_excess(seeded().gaussian(DRAWS, Fraction(11, 2)), gaussian_weights(5.0)) > 8.0


def test_the_same_bytes_give_the_same_noise_and_others_other_noise() -> None:
    assert seeded(1).gaussian(50, Fraction(30)) == seeded(1).gaussian(50, Fraction(30))
    assert seeded(1).gaussian(50, Fraction(30)) != seeded(2).gaussian(50, Fraction(30))


def test_every_call_goes_on_where_the_bytes_were_left() -> None:
    sampler = seeded()
    assert sampler.laplace(50, 100_000) != sampler.laplace(50, 100_000)


@pytest.mark.parametrize("count", [-1, 10_000_001])
def test_an_impossible_number_of_draws_is_refused(count: int) -> None:
    with pytest.raises(NoiseError):
        seeded().laplace(count, 1_000_000)
    with pytest.raises(NoiseError):
        seeded().gaussian(count, Fraction(1))


@pytest.mark.parametrize("amount", [0, -1])
def test_noise_of_no_size_is_refused(amount: int) -> None:
    with pytest.raises(NoiseError):
        seeded().laplace(1, amount)
    with pytest.raises(NoiseError):
        seeded().gaussian(1, Fraction(amount))


def test_no_draws_are_none() -> None:
    assert seeded().laplace(0, 1_000_000) == []
