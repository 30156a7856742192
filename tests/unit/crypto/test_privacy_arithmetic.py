"""The arithmetic against a slow twin: every probability summed term by term, with more digits and no shortcut."""

from __future__ import annotations

import decimal
import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import EncodingError
from crypto.privacy_arithmetic import (
    epsilon_micro_of_rho,
    gaussian_tail_atto,
    laplace_tail_atto,
    zcdp_rho_nano,
)

SLOW = decimal.Context(prec=130, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)


def round_up(value: Decimal) -> int:
    """The integer above; a fraction would write out every zero of a tiny number."""
    return int(value.to_integral_value(rounding=decimal.ROUND_CEILING))


def slow_gaussian(variance: Fraction, threshold: int, keys: int) -> int:
    """Sum both sides of the fraction, an exponential per term, 20 standard deviations far."""
    with decimal.localcontext(SLOW):
        half = Decimal(variance.denominator) / Decimal(2 * variance.numerator)
        reach = threshold + 20 * (math.isqrt(int(variance)) + 1)
        terms = [(-half * x * x).exp() for x in range(reach)]
        tail, whole = sum(terms[threshold - 1 :]), 2 * sum(terms) - 1
        return round_up(tail / whole * keys * 10**18)


def slow_laplace(epsilon_micro: int, threshold: int, keys: int) -> int:
    """Sum P(x) = (1 − q)/(1 + q) · q^|x| from the threshold on, until nothing is left of 100 digits."""
    with decimal.localcontext(SLOW):
        ratio = (Decimal(-epsilon_micro) / 10**6).exp()
        term, total = ratio ** (threshold - 1), Decimal(0)
        first = term
        while term > first * Decimal(10) ** -100:
            total += term
            term *= ratio
        return round_up(total * (1 - ratio) / (1 + ratio) * keys * 10**18)


@given(st.integers(1, 4_000_000), st.integers(2, 60), st.integers(1, 1_000))
@settings(max_examples=60)
def test_a_gaussian_tail_is_the_sum_of_its_terms(variance_micro: int, threshold: int, keys: int) -> None:
    variance = Fraction(variance_micro, 10**5)
    assert gaussian_tail_atto(variance, threshold, keys) == slow_gaussian(variance, threshold, keys)


@pytest.mark.parametrize("threshold", [2, 4_000])
def test_a_wide_gaussian_has_the_same_tail_summed_from_either_end(threshold: int) -> None:
    variance = Fraction(10**6)
    near = gaussian_tail_atto(variance - Fraction(1, 10**6), threshold)
    assert gaussian_tail_atto(variance, threshold) == slow_gaussian(variance, threshold, 1)
    assert 0 <= gaussian_tail_atto(variance, threshold) - near < 10**12


@given(st.integers(50_000, 10**9), st.integers(2, 200), st.integers(1, 1_000))
@settings(max_examples=60)
def test_a_laplace_tail_is_the_sum_of_its_terms(epsilon_micro: int, threshold: int, keys: int) -> None:
    assert laplace_tail_atto(epsilon_micro, threshold, keys) == slow_laplace(epsilon_micro, threshold, keys)


def test_the_researched_thresholds_come_out() -> None:
    assert laplace_tail_atto(2_000_000, 11) == 1_815_458_088
    assert laplace_tail_atto(2_000_000, 11) <= 10**10 < laplace_tail_atto(2_000_000, 10)
    assert abs(gaussian_tail_atto(Fraction(1), 4) - 4_567 * 10**12) < 10**12


@pytest.mark.parametrize("epsilon_micro", [1, 2_000_000, 10**9])
def test_a_chance_is_never_rounded_down_to_none(epsilon_micro: int) -> None:
    assert laplace_tail_atto(epsilon_micro, 10_000) >= 1
    assert gaussian_tail_atto(Fraction(epsilon_micro, 10**6), 10_000) >= 1


@given(st.integers(1, 10**12), st.integers(1, 10_000))
def test_rho_is_rounded_up_by_less_than_one(multiplier_squared_micro: int, count: int) -> None:
    exact = Fraction(count * 10**15, 2 * multiplier_squared_micro)
    assert exact <= zcdp_rho_nano(multiplier_squared_micro, count) < exact + 1


def epsilon_at(rho: float, delta: float, order: float) -> float:
    """The conversion at one order, in floats."""
    return rho * order + math.log(1 / (order * delta)) / (order - 1) + math.log(1 - 1 / order)


@given(st.integers(1_000, 10**11), st.integers(1, 10**16))
@settings(max_examples=80)
def test_epsilon_is_the_least_over_all_orders(rho_nano: int, delta_atto: int) -> None:
    found = epsilon_micro_of_rho(rho_nano, delta_atto) / 1e6
    rho, delta = rho_nano / 1e9, delta_atto / 1e18
    near = 1 + math.sqrt(math.log(1 / delta) / rho)
    orders = [1 + (near - 1) * 1.02**step for step in range(-300, 60)]
    least = min(epsilon_at(rho, delta, order) for order in orders if order > 1)
    assert max(0.0, least) * (1 - 1e-3) - 2e-6 <= found <= max(0.0, least) * (1 + 1e-9) + 2e-6


def test_epsilon_is_better_than_the_usual_bound_and_grows_with_rho() -> None:
    found = [epsilon_micro_of_rho(rho, 10**12) for rho in (0, 10**6, 10**8, 10**9, 10**11)]
    assert found == sorted(found)
    assert found[0] == 0
    assert found[3] < (1 + 2 * math.sqrt(math.log(10**6))) * 10**6


@pytest.mark.parametrize(
    "ask",
    [
        lambda: laplace_tail_atto(0, 5),
        lambda: laplace_tail_atto(1, 1),
        lambda: laplace_tail_atto(1, 5, 0),
        lambda: gaussian_tail_atto(Fraction(0), 5),
        lambda: gaussian_tail_atto(Fraction(10**9 + 1), 5),
        lambda: gaussian_tail_atto(Fraction(1), 10_001),
        lambda: zcdp_rho_nano(0),
        lambda: zcdp_rho_nano(1, 0),
        lambda: epsilon_micro_of_rho(-1, 1),
        lambda: epsilon_micro_of_rho(1, 0),
        lambda: epsilon_micro_of_rho(1, 10**18),
    ],
)
def test_numbers_that_no_mechanism_has_are_refused(ask: object) -> None:
    with pytest.raises(EncodingError):
        ask()  # type: ignore[operator]
