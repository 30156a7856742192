"""Exact probabilities of integer noise, and how surprising a sample is under them; and fakes of the sampler."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

#: Cells that expect fewer draws than this are put together.
_EXPECTED_MIN = 8.0


def laplace_weights(epsilon: float, reach: int = 400) -> dict[int, float]:
    """Return P(x) ∝ e^(−ε|x|) for |x| ≤ *reach*."""
    return _normalised({x: math.exp(-epsilon * abs(x)) for x in range(-reach, reach + 1)})


def gaussian_weights(sigma_squared: float, reach: int = 400) -> dict[int, float]:
    """Return P(x) ∝ e^(−x²/(2σ²)) for |x| ≤ *reach*."""
    return _normalised({x: math.exp(-x * x / (2.0 * sigma_squared)) for x in range(-reach, reach + 1)})


def _normalised(weights: Mapping[int, float]) -> dict[int, float]:
    whole = math.fsum(weights.values())
    return {x: weight / whole for x, weight in weights.items()}


def cells(draws: Sequence[int], weights: Mapping[int, float]) -> list[tuple[int, float]]:
    """Return (seen, chance) by value; values that are rarely expected share the last cell with all others."""
    seen = Counter(draws)
    found = [(seen[x], chance) for x, chance in weights.items() if chance * len(draws) >= _EXPECTED_MIN]
    rest = 1.0 - math.fsum(chance for _, chance in found)
    return [*found, (len(draws) - sum(count for count, _ in found), max(rest, 1e-300))]


def chi_square_excess(draws: Sequence[int], weights: Mapping[int, float]) -> float:
    """Return how many standard deviations χ² lies above its mean (its degrees of freedom)."""
    found = cells(draws, weights)
    statistic = sum((seen - chance * len(draws)) ** 2 / (chance * len(draws)) for seen, chance in found)
    freedom = len(found) - 1
    return (statistic - freedom) / math.sqrt(2.0 * freedom)


def false_alarm(draws: Sequence[int], weights: Mapping[int, float]) -> float:
    """Return a bound on the chance that an exact sampler gives any cell as odd as the oddest one.

    Chernoff: P(the share of n draws is p̂ or further out) ≤ e^(−n·KL(p̂‖p)) on either side; twice that, times the cells.
    """
    found = cells(draws, weights)
    oddest = max(len(draws) * divergence(seen / len(draws), chance) for seen, chance in found)
    return min(1.0, 2.0 * len(found) * math.exp(-oddest))


def divergence(share: float, chance: float) -> float:
    """Return KL between two coins."""
    heads = 0.0 if share == 0.0 else share * math.log(share / chance)
    tails = 0.0 if share == 1.0 else (1.0 - share) * math.log((1.0 - share) / (1.0 - chance))
    return heads + tails


class StatedNoise:
    """Gives out stated numbers in their order, and remembers what was asked for."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.numbers = list(numbers)
        self.asked: list[tuple[str, int, int | Fraction]] = []

    def laplace(self, count: int, epsilon_micro: int) -> list[int]:
        self.asked.append(("laplace", count, epsilon_micro))
        return self._take(count)

    def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
        self.asked.append(("gaussian", count, sigma_squared))
        return self._take(count)

    def _take(self, count: int) -> list[int]:
        taken, self.numbers = self.numbers[:count], self.numbers[count:]
        return taken


class NoNoise:
    """Adds nothing: what is left is the mechanism without its protection."""

    def laplace(self, count: int, epsilon_micro: int) -> list[int]:
        return [0] * count

    def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
        return [0] * count
