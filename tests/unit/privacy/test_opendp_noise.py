"""The product's sampler, whose bytes cannot be fixed: a right one fails a bound here less than once in 10^9 runs."""

from __future__ import annotations

import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from privacy import opendp_noise
from privacy.errors import NoiseError
from privacy.exact_noise import ExactNoise
from privacy.opendp_noise import OpenDpNoise, scale_for_gaussian, scale_for_laplace
from tests.unit.privacy.distributions import divergence, false_alarm, gaussian_weights, laplace_weights

ROOT = Path(__file__).parents[3]
DRAWS = 40_000
#: Chance that a right sampler fails one of these tests.
ALARM = 1e-10


@pytest.mark.parametrize("epsilon_micro", [500_000, 1_234_567, 2_000_000])
def test_laplace_draws_follow_the_exact_probabilities(epsilon_micro: int) -> None:
    draws = OpenDpNoise().laplace(DRAWS, epsilon_micro)
    assert false_alarm(draws, laplace_weights(epsilon_micro / 1e6)) > ALARM


@pytest.mark.parametrize("sigma_squared", [Fraction(1, 3), Fraction(9_916_180, 10**6), Fraction(1000)])
def test_gaussian_draws_follow_the_exact_probabilities(sigma_squared: Fraction) -> None:
    draws = OpenDpNoise().gaussian(DRAWS, sigma_squared)
    assert false_alarm(draws, gaussian_weights(float(sigma_squared))) > ALARM


def test_noise_of_another_size_would_be_noticed() -> None:
    assert false_alarm(OpenDpNoise().laplace(DRAWS, 2_400_000), laplace_weights(2.0)) < ALARM
    assert false_alarm(OpenDpNoise().gaussian(DRAWS, Fraction(13, 2)), gaussian_weights(5.0)) < ALARM


def test_both_samplers_draw_large_noise_alike() -> None:
    # For noise of vectors there are too many values for cells: how often |x| ≤ 1000, against the reference's seeded share.
    sigma_squared = Fraction(510**2 * 7_819_777, 10**6)
    product = OpenDpNoise().gaussian(DRAWS, sigma_squared)
    reference = ExactNoise(random.Random(3).randbytes).gaussian(DRAWS, sigma_squared)
    # Either share lies within .0177 of the truth, .5166: further off with a chance below e^(−n·KL) on either side.
    assert DRAWS * divergence(0.5166 + 0.0177, 0.5166) > 24.0
    for draws in (product, reference):
        assert sum(abs(draw) <= 1000 for draw in draws) / DRAWS == pytest.approx(0.5166, abs=0.0177)


def test_every_call_draws_anew() -> None:
    assert OpenDpNoise().laplace(200, 100_000) != OpenDpNoise().laplace(200, 100_000)


def test_draws_beyond_one_batch_are_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opendp_noise, "_BATCH", 100)
    assert len(OpenDpNoise().laplace(250, 1_000_000)) == 250


def test_no_draws_are_none() -> None:
    assert OpenDpNoise().gaussian(0, Fraction(1)) == []


@pytest.mark.parametrize("epsilon_micro", [1, 3, 7, 333_333, 2_000_000, 1_234_567, 10**9])
def test_a_scale_is_never_below_what_was_asked_for(epsilon_micro: int) -> None:
    exact = Fraction(10**6, epsilon_micro)
    found = Fraction(scale_for_laplace(epsilon_micro))
    assert exact <= found <= exact * (1 + Fraction(1, 2**52))


@pytest.mark.parametrize(
    "sigma_squared", [Fraction(1, 3), Fraction(2), Fraction(9_916_180, 10**6), Fraction(10**12 + 1)]
)
def test_a_gaussian_scale_is_never_below_what_was_asked_for(sigma_squared: Fraction) -> None:
    found = Fraction(scale_for_gaussian(sigma_squared)) ** 2
    assert sigma_squared <= found <= sigma_squared * (1 + Fraction(1, 2**51))


@pytest.mark.parametrize("count", [-1, 10_000_001])
def test_an_impossible_number_of_draws_is_refused(count: int) -> None:
    with pytest.raises(NoiseError):
        OpenDpNoise().laplace(count, 1_000_000)


@pytest.mark.parametrize("amount", [0, -1])
def test_noise_of_no_size_is_refused(amount: int) -> None:
    with pytest.raises(NoiseError):
        OpenDpNoise().laplace(1, amount)
    with pytest.raises(NoiseError):
        OpenDpNoise().gaussian(1, Fraction(amount))


def test_noise_beyond_64_bits_is_refused() -> None:
    with pytest.raises(NoiseError):
        OpenDpNoise().gaussian(1, Fraction(10**26))


def test_nothing_heavy_is_loaded_with_the_package() -> None:
    modules = sorted(f"privacy.{path.stem}" for path in (ROOT / "privacy").glob("*.py") if path.stem != "__init__")
    heavy = ("torch", "opacus", "opendp", "faiss", "scipy")
    program = f"import sys, {', '.join(modules)}; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stdout.strip() == "[]", found.stdout + found.stderr
