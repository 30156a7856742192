"""What a dictionary finds out about the vectors that are stored, and that it is not the vectors themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from privacy.calibration import multiplier_squared_micro_for
from privacy.mean import SUM_SENSITIVITY_SQUARED, noised_embedding, noised_mean
from privacy.opendp_noise import OpenDpNoise
from tests.privacy.mass_noise import MassNoise
from tests.privacy.reidentification import Rate, most_reidentified, reidentification_rate
from tests.privacy.synthetic import dictionary

DELTA_ATTO = 10**10
DELTA = 1e-8
ENTRIES, DIMENSION = 400, 384


def rate_at(epsilon: float, victims: int, seed: int = 1) -> Rate:
    rows = dictionary(ENTRIES, DIMENSION, families=40, spread=0.5, seed=seed)
    chosen = np.random.default_rng(seed).integers(0, ENTRIES, victims)
    multiplier = multiplier_squared_micro_for(round(epsilon * 1e6), DELTA_ATTO)
    return reidentification_rate(rows, chosen, multiplier, MassNoise(seed))


@pytest.fixture(scope="module")
def curve(campaign: bool) -> dict[float, Rate]:
    return {epsilon: rate_at(epsilon, 5_000 if campaign else 800) for epsilon in (1.0, 8.0, 32.0, 128.0, 512.0)}


def test_more_epsilon_gives_more_away(curve: dict[float, Rate]) -> None:
    shares = [rate.share for rate in curve.values()]
    assert shares == sorted(shares)
    assert curve[8.0].upper() < curve[128.0].lower()


def test_no_dictionary_beats_the_bound_of_differential_privacy(curve: dict[float, Rate]) -> None:
    for epsilon, rate in curve.items():
        assert rate.lower() <= most_reidentified(epsilon, DELTA, ENTRIES), epsilon


def test_noise_that_serves_a_cache_is_found_in_a_dictionary(curve: dict[float, Rate]) -> None:
    """Why more than ε = 8 is called obfuscation: at 512 nearly every question is found by its first guess."""
    assert curve[512.0].lower() > 0.9


def test_a_vector_without_noise_would_be_found_and_break_the_bound() -> None:
    rows = dictionary(ENTRIES, DIMENSION, families=40, spread=0.5, seed=1)
    clean = reidentification_rate(rows, np.arange(ENTRIES), 1, MassNoise(1))
    assert clean.lower() > most_reidentified(2.0, DELTA, ENTRIES)
    assert clean.share > 0.99


def test_the_bound_at_no_epsilon_is_chance_and_at_much_is_one() -> None:
    assert most_reidentified(0.0, 0.0, 100) == pytest.approx(0.01)
    assert most_reidentified(50.0, 0.0, 100) == pytest.approx(1.0)


# What is stored is not what was sent


@pytest.mark.parametrize("epsilon", [2, 8])
def test_a_stored_vector_is_never_the_clean_one_and_as_far_from_it_as_calibrated(epsilon: int) -> None:
    rows = dictionary(40, DIMENSION, families=40, spread=0.5, seed=2)
    multiplier = multiplier_squared_micro_for(epsilon * 1_000_000, DELTA_ATTO)
    noise = OpenDpNoise()
    cosines = []
    for row in rows:
        stored = noised_embedding(row, multiplier, noise)
        unit = row.astype(np.float64) / np.linalg.norm(row.astype(np.float64))
        assert not np.allclose(stored, unit, atol=1e-3)
        assert abs(float(np.linalg.norm(stored)) - 1) < 1e-6
        cosines.append(float(stored @ unit))
    sigma = 1020 * math.sqrt(multiplier / 1e6)
    expected = 508 / math.sqrt(508**2 + DIMENSION * sigma**2)
    # A cosine varies by about 1/sqrt(d); seven deviations of their mean: a false alarm has a chance below 10^-11.
    assert abs(np.mean(cosines) - expected) < 7 / math.sqrt(DIMENSION * len(rows))


def test_a_noised_mean_of_many_is_close_to_their_middle_and_of_few_is_not() -> None:
    """Twenty who agree are answered by their mean (which is why a mean needs a noisy count of 20); two are not."""
    row = dictionary(1, DIMENSION, families=1, spread=0.0, seed=3)[0]
    unit = row.astype(np.float64) / np.linalg.norm(row.astype(np.float64))
    multiplier = multiplier_squared_micro_for(2_000_000, DELTA_ATTO)
    cosine = {}
    for count in (2, 20):
        stored = [noised_mean(np.stack([row] * count), multiplier, MassNoise(seed)) for seed in range(50)]
        cosine[count] = float(np.mean([vector @ unit for vector in stored]))
        sigma = math.sqrt(SUM_SENSITIVITY_SQUARED * multiplier / 1e6)
        expected = 508 * count / math.sqrt((508 * count) ** 2 + DIMENSION * sigma**2)
        assert abs(cosine[count] - expected) < 0.05
    assert cosine[2] < 0.15 < 0.3 < cosine[20]
