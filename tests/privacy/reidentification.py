"""The dictionary attack: which of all known questions does a stored vector belong to?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from privacy.mean import Int8Array, noised_embedding
from privacy.noise import NoiseSampler


@dataclass(frozen=True, slots=True)
class Rate:
    """*found* of *victims* were found by the attacker's first guess."""

    found: int
    victims: int

    @property
    def share(self) -> float:
        return self.found / self.victims

    def upper(self, deviations: float = 4.0) -> float:
        """Return the Wilson limit above the share, that many standard deviations away."""
        return self._limit(deviations)

    def lower(self, deviations: float = 4.0) -> float:
        """Return the Wilson limit below the share."""
        return self._limit(-deviations)

    def _limit(self, deviations: float) -> float:
        square = deviations * deviations
        middle = self.share + square / (2 * self.victims)
        width = math.sqrt(self.share * (1 - self.share) / self.victims + square / (4 * self.victims**2))
        return (middle + math.copysign(abs(deviations) * width, deviations)) / (1 + square / self.victims)


def reidentification_rate(
    dictionary: Int8Array, victims: NDArray[np.int64], multiplier_squared_micro: int, noise: NoiseSampler
) -> Rate:
    """Publish the noised embedding of each victim (rows of *dictionary*), and guess the row by the largest inner product.

    The best guess there is against Gaussian noise when all rows are of like length and equally likely.
    """
    wide = dictionary.astype(np.float32)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    found = 0
    for victim in victims:
        stored = noised_embedding(dictionary[victim], multiplier_squared_micro, noise)
        found += int(np.argmax(wide @ stored)) == int(victim)
    return Rate(found, len(victims))


def most_reidentified(epsilon: float, delta: float, entries: int) -> float:
    """Return the share that no attacker exceeds on average over *entries* equally likely rows.

    (e^ε + (n − 1)·δ) / (e^ε + n − 1). For each row i and other row j: P(guess i | i) ≤ e^ε · P(guess i | j) + δ; sum over
    all pairs, and the guesses for one j sum to 1.
    """
    return (math.exp(epsilon) + (entries - 1) * delta) / (math.exp(epsilon) + entries - 1)
