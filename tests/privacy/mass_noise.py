"""The product's noise distributions by the million, for audits that need more draws than an exact sampler makes.

Drawn by inverse distribution function from a numpy generator: its 53-bit uniforms leave out tails below 10^-15, which no
audit here can see, and it is no source of randomness for anything that must stay private.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


class MassNoise:
    """`privacy.noise.NoiseSampler`, vectorised and seeded."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def laplace(self, count: int, epsilon_micro: int) -> list[int]:
        return self._draw(_laplace_edges(epsilon_micro), count)

    def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
        return self._draw(_gaussian_edges(sigma_squared), count)

    def _draw(self, edges: NDArray[np.float64], count: int) -> list[int]:
        """Return *count* draws of a distribution over −k … k, given by the 2k + 1 values of its distribution function."""
        found = np.searchsorted(edges, self._generator.random(count) * edges[-1], side="right")
        drawn: list[int] = (found - len(edges) // 2).tolist()
        return drawn


def laplace_mass(epsilon_micro: int) -> NDArray[np.float64]:
    """Return P(x) ∝ e^(−ε·|x|) for x = −k … k, k where it falls below 10^-18."""
    epsilon = epsilon_micro / 1e6
    x = np.arange(-math.ceil(42 / epsilon), math.ceil(42 / epsilon) + 1)
    mass: NDArray[np.float64] = np.exp(-epsilon * np.abs(x)) * math.tanh(epsilon / 2)
    return mass


def gaussian_mass(sigma_squared: Fraction) -> NDArray[np.float64]:
    """Return P(x) ∝ e^(−x²/(2σ²)) for x = −k … k, k = 9σ rounded up."""
    most = math.ceil(9 * math.sqrt(sigma_squared)) + 1
    x = np.arange(-most, most + 1, dtype=np.float64)
    mass: NDArray[np.float64] = np.exp(-x * x / (2 * float(sigma_squared)))
    return mass / mass.sum()


@lru_cache(maxsize=64)
def _laplace_edges(epsilon_micro: int) -> NDArray[np.float64]:
    return np.cumsum(laplace_mass(epsilon_micro))


@lru_cache(maxsize=64)
def _gaussian_edges(sigma_squared: Fraction) -> NDArray[np.float64]:
    return np.cumsum(gaussian_mass(sigma_squared))
