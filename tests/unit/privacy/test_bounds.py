"""The lower bound and the closed form of the Gaussian, against figures from elsewhere."""

from __future__ import annotations

import math

import pytest

from privacy.bounds import gaussian_delta, gaussian_epsilon, least_epsilon, log_normal_tail
from privacy.errors import TermsError


@pytest.mark.parametrize(
    ("entries", "precision", "epsilon"),
    [
        (1_000, 0.95, 10.5),
        (10_000, 0.95, 12.8),
        (100_000, 0.95, 15.2),
        (1_000, 0.99, 12.2),
        (10_000, 0.99, 14.5),
        (100_000, 0.99, 16.8),
    ],
)
def test_the_bound_is_that_of_the_page(entries: int, precision: float, epsilon: float) -> None:
    assert least_epsilon(entries, precision) == pytest.approx(epsilon, abs=0.06)


def test_one_entry_that_every_query_matches_needs_nothing() -> None:
    assert least_epsilon(1, 0.1, match_share=1.0) == 0.0


# Noise multiplier, steps, ε at δ = 10^-6.
CLOSED_FORM = [(4.22, 1, 1.001), (10, 100, 4.887), (2, 100, 35.57), (0.5, 1, 11.00), (0.2, 1, 35.57)]


@pytest.mark.parametrize(("multiplier", "steps", "epsilon"), CLOSED_FORM)
def test_the_closed_form_gives_the_researched_figures(multiplier: float, steps: int, epsilon: float) -> None:
    assert gaussian_epsilon(math.sqrt(steps) / multiplier, 1e-6) == pytest.approx(epsilon, abs=0.006)


@pytest.mark.parametrize("mu", [0.05, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 2.0])
def test_delta_is_what_integration_gives(mu: float, epsilon: float) -> None:
    # ∫ max(0, N(μ,1) − e^ε·N(0,1)): the densities cross at ε/μ + μ/2.
    start, width, count = epsilon / mu + mu / 2, 12.0 + mu, 200_000
    step = width / count
    total = 0.0
    for number in range(count):
        x = start + (number + 0.5) * step
        total += math.exp(-((x - mu) ** 2) / 2) - math.exp(epsilon - x * x / 2)
    assert gaussian_delta(mu, epsilon) == pytest.approx(total * step / math.sqrt(2 * math.pi), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("delta", [1e-18, 1e-12, 1e-6, 0.01])
@pytest.mark.parametrize("mu", [0.01, 0.3, 2.0, 15.0])
def test_epsilon_is_where_delta_is_reached(mu: float, delta: float) -> None:
    epsilon = gaussian_epsilon(mu, delta)
    if epsilon == 0.0:
        assert gaussian_delta(mu, 0.0) <= delta
    else:
        assert gaussian_delta(mu, epsilon) == pytest.approx(delta, rel=1e-6)


@pytest.mark.parametrize("value", [-20.5, -25.0, -30.0, -36.0])
def test_the_far_tail_is_what_erfc_still_gives_there(value: float) -> None:
    assert log_normal_tail(value) == pytest.approx(math.log(math.erfc(-value / math.sqrt(2)) / 2), rel=1e-10)


def test_the_tail_goes_on_where_erfc_is_zero() -> None:
    assert log_normal_tail(-100.0) == pytest.approx(-5005.5242, abs=1e-3)


@pytest.mark.parametrize("wrong", [(0, 0.5, 0.5), (1, 0.0, 0.5), (1, 1.0, 0.5), (1, 0.5, 0.0), (1, 0.5, 1.1)])
def test_a_bound_of_nonsense_is_refused(wrong: tuple[int, float, float]) -> None:
    with pytest.raises(TermsError):
        least_epsilon(*wrong)


def test_a_closed_form_of_nonsense_is_refused() -> None:
    for call in (
        lambda: gaussian_delta(0.0, 1.0),
        lambda: gaussian_delta(1.0, -1.0),
        lambda: gaussian_epsilon(1.0, 0.0),
    ):
        with pytest.raises(TermsError):
            call()
