"""Noise and thresholds are the smallest that keep the promise, by the audited arithmetic."""

from __future__ import annotations

import math

import pytest

from crypto.charges import GaussianSelection
from crypto.privacy_arithmetic import epsilon_micro_of_rho, gaussian_tail_atto, laplace_tail_atto, zcdp_rho_nano
from privacy.bounds import gaussian_delta
from privacy.calibration import gaussian_threshold, laplace_threshold, multiplier_squared_micro_for, rho_nano_for
from privacy.errors import TermsError

EPSILONS_MICRO = (500_000, 1_000_000, 2_000_000, 3_000_000, 4_000_000, 8_000_000)


@pytest.mark.parametrize(
    ("delta_atto", "thresholds"), [(10**12, (28, 15, 8, 6, 5, 3)), (10**10, (37, 20, 11, 8, 6, 4))]
)
def test_laplace_thresholds_are_those_of_the_table(delta_atto: int, thresholds: tuple[int, ...]) -> None:
    found = tuple(laplace_threshold(epsilon_micro, delta_atto) for epsilon_micro in EPSILONS_MICRO)
    assert found == thresholds
    for epsilon_micro, threshold in zip(EPSILONS_MICRO, thresholds, strict=True):
        assert (
            laplace_tail_atto(epsilon_micro, threshold) <= delta_atto < laplace_tail_atto(epsilon_micro, threshold - 1)
        )


@pytest.mark.parametrize(
    ("keys_max", "thresholds"),
    [
        (1, (46, 25, 14, 10, 8, 5)),
        (5, (106, 56, 30, 22, 17, 10)),
        (20, (220, 116, 62, 43, 34, 19)),
        (100, (516, 270, 142, 99, 76, 42)),
    ],
)
def test_gaussian_thresholds_are_those_of_the_table(keys_max: int, thresholds: tuple[int, ...]) -> None:
    half = 10**12 // 2
    found = []
    for epsilon_micro in EPSILONS_MICRO:
        multiplier = multiplier_squared_micro_for(epsilon_micro, half)
        found.append(gaussian_threshold(keys_max, multiplier, half))
    assert tuple(found) == thresholds


@pytest.mark.parametrize(
    ("keys_max", "epsilon", "continuous"),
    [(1, 1.0, 22.0), (1, 8.0, 4.3), (5, 1.0, 52.0), (5, 2.0, 28.0), (5, 8.0, 9.0), (20, 2.0, 57.0), (100, 4.0, 71.0)],
)
def test_exact_tails_of_the_analytic_gaussian_give_the_researched_thresholds(
    keys_max: int, epsilon: float, continuous: float
) -> None:
    # σ by the analytic Gaussian, T by the exact discrete tail, at the best of a few splits of δ = 10^-6.
    best = min(_analytic_threshold(keys_max, epsilon, share) for share in (0.05, 0.1, 0.2, 0.3, 0.5, 0.7))
    assert continuous - 1 <= best <= math.ceil(continuous) + 1


def _analytic_threshold(keys_max: int, epsilon: float, share: float) -> int:
    low, high = 1e-3, 100.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if gaussian_delta(middle, epsilon) <= 1e-6 * (1 - share) else (low, middle)
    return gaussian_threshold(keys_max, math.ceil(1e6 / low**2), int(10**12 * share))


@pytest.mark.parametrize("count", [1, 4, 20])
@pytest.mark.parametrize(("epsilon_micro", "delta_atto"), [(2_000_000, 10**10), (8_000_000, 10**12), (500_000, 10**6)])
def test_the_multiplier_is_the_smallest_that_keeps_the_promise(epsilon_micro: int, delta_atto: int, count: int) -> None:
    multiplier = multiplier_squared_micro_for(epsilon_micro, delta_atto, count)

    def epsilon_of(squared_micro: int) -> int:
        return epsilon_micro_of_rho(count * zcdp_rho_nano(squared_micro), delta_atto)

    assert epsilon_of(multiplier) <= epsilon_micro < epsilon_of(multiplier - 1)


def test_rho_is_the_largest_that_keeps_the_promise() -> None:
    rho_nano = rho_nano_for(2_000_000, 10**10)
    assert epsilon_micro_of_rho(rho_nano, 10**10) <= 2_000_000 < epsilon_micro_of_rho(rho_nano + 1, 10**10)


def test_a_gaussian_threshold_is_the_smallest() -> None:
    charge = GaussianSelection(5, 1_983_236, gaussian_threshold(5, 1_983_236, 10**11))
    for threshold, holds in ((charge.threshold, True), (charge.threshold - 1, False)):
        assert (gaussian_tail_atto(charge.sigma_squared, threshold, 5) <= 10**11) is holds


def test_a_promise_that_no_threshold_keeps_is_refused() -> None:
    with pytest.raises(TermsError):
        laplace_threshold(100, 10**6)


def test_a_promise_that_no_noise_keeps_is_refused() -> None:
    with pytest.raises(TermsError):
        multiplier_squared_micro_for(1, 10**6)
    with pytest.raises(TermsError):
        multiplier_squared_micro_for(100_000, 10**6, count=10**9)
