"""Noised vectors: what is summed, how much noise goes on it, what comes back."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from privacy.errors import NoiseError, PrivacyError
from privacy.mean import noised_embedding, noised_mean
from privacy.opendp_noise import OpenDpNoise
from tests.unit.privacy.distributions import NoNoise, StatedNoise


def rows(*vectors: list[int]) -> np.ndarray:
    return np.array(vectors, dtype=np.int8)


def test_the_mean_points_where_the_sum_points() -> None:
    found = noised_mean(rows([100, 0], [100, 0], [0, 100]), 1_000_000, NoNoise())
    assert found.dtype == np.float32
    assert found == pytest.approx(np.array([2.0, 1.0]) / np.sqrt(5.0))


def test_a_sum_gets_noise_of_510_times_the_multiplier_in_every_component() -> None:
    noise = StatedNoise([1, 2, 3])
    found = noised_mean(rows([9, 8, 7]), 7_819_777, noise)
    assert noise.asked == [("gaussian", 3, Fraction(510**2 * 7_819_777, 10**6))]
    assert found == pytest.approx(np.array([10.0, 10.0, 10.0]) / np.sqrt(300.0))


def test_an_embedding_gets_noise_of_1020_times_the_multiplier() -> None:
    noise = StatedNoise([0, 5])
    found = noised_embedding(rows([3, -1])[0], 475_124, noise)
    assert noise.asked == [("gaussian", 2, Fraction(1020**2 * 475_124, 10**6))]
    assert found == pytest.approx(np.array([0.6, 0.8]))


def test_sums_do_not_wrap_round() -> None:
    found = noised_mean(np.full((1000, 2), 127, dtype=np.int8), 1, NoNoise())
    assert found == pytest.approx(np.sqrt([0.5, 0.5]))


def test_a_vector_beyond_the_bound_counts_as_zero_and_fails_nothing() -> None:
    loud = np.full((1, 20), 127, dtype=np.int8)
    fair = np.zeros((1, 20), dtype=np.int8)
    fair[0, 3] = 100
    found = noised_mean(np.concatenate([loud, fair]), 1_000_000, NoNoise())
    assert found[3] == 1.0


def test_a_vector_at_the_bound_still_counts() -> None:
    # 16 · 127² + 45² + 4² = 260,105 is beyond 510² = 260,100, and without the last component within.
    within = np.array([[127] * 16 + [45, 0]], dtype=np.int8)
    beyond = np.array([[127] * 16 + [45, 4]], dtype=np.int8)
    assert noised_mean(within, 1, NoNoise())[0] > 0.2
    assert noised_mean(beyond, 1, NoNoise())[16] == 0.0


def test_an_embedding_beyond_the_bound_is_not_published() -> None:
    noise = StatedNoise([0] * 20)
    with pytest.raises(PrivacyError):
        noised_embedding(np.full(20, 127, dtype=np.int8), 1_000_000, noise)
    assert noise.asked == []


def test_a_sum_that_noise_made_zero_still_has_a_direction() -> None:
    found = noised_mean(rows([1, -1]), 1_000_000, StatedNoise([-1, 1]))
    assert np.linalg.norm(found) == 1.0


def test_what_is_stored_differs_from_the_clean_vector() -> None:
    clean = np.zeros(384, dtype=np.int8)
    clean[:16] = 127
    found = noised_embedding(clean, 475_124, OpenDpNoise())
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-6)
    assert float(found @ clean) / 508 < 0.5


def test_too_few_draws_release_nothing() -> None:
    with pytest.raises(NoiseError):
        noised_mean(rows([1, 2, 3]), 1_000_000, StatedNoise([0, 0]))


def test_no_noise_at_all_is_refused() -> None:
    with pytest.raises(NoiseError):
        noised_mean(rows([1, 2, 3]), 0, NoNoise())


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 3), dtype=np.float32), np.zeros(3, dtype=np.int8), np.zeros((2, 0), dtype=np.int8)]
)
def test_other_shapes_and_types_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(PrivacyError):
        noised_mean(wrong, 1_000_000, NoNoise())
    with pytest.raises(PrivacyError):
        noised_embedding(np.zeros((1, 3), dtype=np.int8), 1_000_000, NoNoise())
