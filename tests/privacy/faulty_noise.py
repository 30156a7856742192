"""Bugs that were made elsewhere or could be made here, as samplers: the audits must catch each of them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from privacy.noise import NoiseSampler


@dataclass(frozen=True, slots=True)
class ScaledNoise:
    """Noise of the right shape whose scale (not variance) is divided by *divisor*: a forgotten or halved sensitivity."""

    noise: NoiseSampler
    divisor: int

    def laplace(self, count: int, epsilon_micro: int) -> list[int]:
        return self.noise.laplace(count, epsilon_micro * self.divisor)

    def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
        return self.noise.gaussian(count, sigma_squared / self.divisor**2)


@dataclass(frozen=True, slots=True)
class RedrawnNoise:
    """The largest of several draws: what comes of a release that is tried again until it shows something."""

    noise: NoiseSampler
    tries: int

    def laplace(self, count: int, epsilon_micro: int) -> list[int]:
        draws = [self.noise.laplace(count, epsilon_micro) for _ in range(self.tries)]
        return [max(column) for column in zip(*draws, strict=True)]

    def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
        draws = [self.noise.gaussian(count, sigma_squared) for _ in range(self.tries)]
        return [max(column) for column in zip(*draws, strict=True)]


@dataclass(frozen=True, slots=True)
class AveragedNoise:
    """The mean of several draws: what an attacker has who sees one entry noised anew several times."""

    noise: NoiseSampler
    times: int

    def laplace(self, count: int, epsilon_micro: int) -> list[int]:
        draws = [self.noise.laplace(count, epsilon_micro) for _ in range(self.times)]
        return [round(sum(column) / self.times) for column in zip(*draws, strict=True)]

    def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
        draws = [self.noise.gaussian(count, sigma_squared) for _ in range(self.times)]
        return [round(sum(column) / self.times) for column in zip(*draws, strict=True)]
