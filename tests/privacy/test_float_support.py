"""The float-support attack: it finds nothing on what the product stores, and breaks the naive way at once."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from privacy.calibration import multiplier_squared_micro_for
from privacy.exact_noise import ExactNoise
from privacy.mean import Int8Array, noised_embedding, noised_mean
from tests.privacy.float_support import is_reachable
from tests.privacy.mass_noise import MassNoise

DIMENSION = 384
MULTIPLIER = multiplier_squared_micro_for(8_000_000, 10**10)
SCALE = np.float32(4.3333)


class RememberedNoise:
    """Draws as another sampler does, and keeps what it drew."""

    def __init__(self, seed: int) -> None:
        self._noise = MassNoise(seed)
        self.drawn: list[int] = []

    def laplace(self, count: int, epsilon_micro: int) -> list[int]:
        raise AssertionError("vectors take Gaussian noise")

    def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
        self.drawn = self._noise.gaussian(count, sigma_squared)
        return self.drawn


class GivenNoise:
    """Draws what it was given: one outcome among those of the real sampler, which can draw every integer."""

    def __init__(self, draws: list[int]) -> None:
        self._draws = draws

    def laplace(self, count: int, epsilon_micro: int) -> list[int]:
        raise AssertionError("vectors take Gaussian noise")

    def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
        return self._draws


def quantised(seed: int) -> Int8Array:
    row = np.random.default_rng(seed).standard_normal(DIMENSION)
    found: Int8Array = np.rint(row / np.linalg.norm(row) * 507).astype(np.int8)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_every_candidate_could_have_given_the_stored_vector(seed: int) -> None:
    """Bit for bit: for any other question there is integer noise, of finite chance, that stores the same floats."""
    noise = RememberedNoise(seed)
    own, other = quantised(seed), quantised(seed + 1_000)
    stored = noised_embedding(own, MULTIPLIER, noise)
    needed = (own.astype(np.int64) + np.array(noise.drawn) - other).tolist()
    assert noised_embedding(other, MULTIPLIER, GivenNoise(needed)).tobytes() == stored.tobytes()


def test_every_candidate_could_have_given_the_stored_mean() -> None:
    noise = RememberedNoise(3)
    group = np.stack([quantised(seed) for seed in range(20)])
    stored = noised_mean(group, MULTIPLIER, noise)
    without = group[1:]
    needed = (group.sum(0, dtype=np.int64) + np.array(noise.drawn) - without.sum(0, dtype=np.int64)).tolist()
    assert noised_mean(without, MULTIPLIER, GivenNoise(needed)).tobytes() == stored.tobytes()


def test_the_sampler_reaches_every_integer_near() -> None:
    drawn = set(ExactNoise(random.Random(1).randbytes).gaussian(4_000, Fraction(25)))
    assert set(range(-9, 10)) <= drawn


def float_noise(seed: int, count: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(count, dtype=np.float32)


def torch_noise(seed: int, count: int) -> NDArray[np.float32]:
    import torch

    found: NDArray[np.float32] = torch.randn(count, generator=torch.Generator().manual_seed(seed)).numpy()
    return found


@pytest.mark.parametrize("draw", [float_noise, torch_noise], ids=["numpy", "torch"])
def test_noise_drawn_as_floats_rules_candidates_out_with_certainty(draw) -> None:  # type: ignore[no-untyped-def]
    own = quantised(1).astype(np.float32) / np.float32(507)
    other = quantised(2).astype(np.float32) / np.float32(507)
    excluded = 0
    for seed in range(20):
        stored = (own + SCALE * draw(seed, DIMENSION)).astype(np.float32)
        assert is_reachable(stored, own, SCALE).all(), "the attack must never exclude the truth"
        excluded += not is_reachable(stored, other, SCALE).all()
    assert excluded == 20


def test_the_same_attack_on_integers_excludes_nobody() -> None:
    """Integers held as floats have no gaps among themselves: what is released minus any candidate is an integer."""
    own, other = quantised(1).astype(np.float32), quantised(2).astype(np.float32)
    for seed in range(20):
        draws = MassNoise(seed).gaussian(DIMENSION, Fraction(1020**2 * MULTIPLIER, 10**6))
        stored = own + np.array(draws, dtype=np.float32)
        assert is_reachable(stored, own, np.float32(1)).all()
        assert is_reachable(stored, other, np.float32(1)).all()
