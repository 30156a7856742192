"""Chances of coming out are the exact tails, as floats."""

from __future__ import annotations

from fractions import Fraction

import pytest

from crypto.privacy_arithmetic import gaussian_tail_atto, laplace_tail_atto
from privacy.chances import gaussian_chance, laplace_chance, release_chance
from privacy.terms import pool_terms
from tests.unit.privacy.distributions import gaussian_weights, laplace_weights

# The exact tails are whole numbers of 10^-18.
ONE_ATTO = 2e-18


@pytest.mark.parametrize("epsilon_micro", [500_000, 2_000_000])
@pytest.mark.parametrize("threshold", [2, 3, 11, 28])
def test_laplace_chances_are_the_exact_tails(epsilon_micro: int, threshold: int) -> None:
    exact = laplace_tail_atto(epsilon_micro, threshold) / 10**18
    assert laplace_chance(epsilon_micro, threshold - 1) == pytest.approx(exact, rel=1e-12, abs=ONE_ATTO)


@pytest.mark.parametrize("sigma_squared", [Fraction(1, 3), Fraction(10), Fraction(200)])
@pytest.mark.parametrize("threshold", [2, 3, 19, 40])
def test_gaussian_chances_are_the_exact_tails(sigma_squared: Fraction, threshold: int) -> None:
    exact = gaussian_tail_atto(sigma_squared, threshold) / 10**18
    assert gaussian_chance(sigma_squared, threshold - 1) == pytest.approx(exact, rel=1e-9, abs=ONE_ATTO)


@pytest.mark.parametrize("least", [-7, -1, 0, 1, 6])
def test_chances_on_either_side_of_zero_are_sums_of_probabilities(least: int) -> None:
    laplace, gaussian = laplace_weights(0.7), gaussian_weights(10.0)
    assert laplace_chance(700_000, least) == pytest.approx(sum(p for x, p in laplace.items() if x >= least))
    assert gaussian_chance(Fraction(10), least) == pytest.approx(sum(p for x, p in gaussian.items() if x >= least))


def test_a_key_without_voters_never_comes_out() -> None:
    assert release_chance(pool_terms(unit="question", epsilon_micro=100_000), 0) == 0.0


@pytest.mark.parametrize("unit", ["question", "organisation"])
def test_at_the_threshold_a_key_comes_out_a_little_more_often_than_not(unit: str) -> None:
    terms = pool_terms(unit=unit)
    assert 0.5 < release_chance(terms, terms.threshold) < 0.9
    assert release_chance(terms, terms.threshold - 1) < 0.5
