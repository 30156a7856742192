"""An independent sampler in plain integers, from any source of bytes: what the product's sampler is held against.

Source: Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (NeurIPS 2020), algorithms 1 to 3.
No float is touched, so the distribution is exact up to the bytes it is given. Seeded bytes make it repeatable, which
is for tests alone: noise that can be repeated protects nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import gcd, isqrt

from .errors import NoiseError
from .noise import DRAWS_MAX, MICRO

#: Bytes taken from the source at once.
_BLOCK_BYTES = 4096


class ExactNoise:
    """Draws by the algorithms of Canonne, Kamath and Steinke; `random(n)` returns n uniformly random bytes."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._bits = 0
        self._held = 0

    def laplace(self, count: int, epsilon_micro: int) -> list[int]:
        """Return *count* draws with P(x) ∝ e^(−ε·|x|). Raises `NoiseError` for a count or ε out of range."""
        _check(count, Fraction(epsilon_micro))
        divisor = gcd(epsilon_micro, MICRO)
        return [self._laplace(MICRO // divisor, epsilon_micro // divisor) for _ in range(count)]

    def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
        """Return *count* draws with P(x) ∝ e^(−x²/(2σ²)). Raises `NoiseError` for a count or σ² out of range."""
        _check(count, sigma_squared)
        return [self._gaussian(Fraction(sigma_squared)) for _ in range(count)]

    def _below(self, bound: int) -> int:
        """Return a uniform integer from 0 to *bound* − 1, by rejection."""
        width = (bound - 1).bit_length()
        while True:
            while self._held < width:
                self._bits = self._bits << (8 * _BLOCK_BYTES) | int.from_bytes(self._random(_BLOCK_BYTES))
                self._held += 8 * _BLOCK_BYTES
            self._held -= width
            found = self._bits >> self._held
            self._bits &= (1 << self._held) - 1
            if found < bound:
                return found

    def _happens(self, numerator: int, denominator: int) -> bool:
        """Return true with probability *numerator* / *denominator*."""
        return self._below(denominator) < numerator

    def _happens_exponentially(self, numerator: int, denominator: int) -> bool:
        """Return true with probability e^(−*numerator* / *denominator*) (algorithm 1)."""
        while numerator > denominator:
            if not self._happens_within_one(1, 1):
                return False
            numerator -= denominator
        return self._happens_within_one(numerator, denominator)

    def _happens_within_one(self, numerator: int, denominator: int) -> bool:
        step = 1
        while self._happens(numerator, denominator * step):
            step += 1
        return step % 2 == 1

    def _laplace(self, time: int, speed: int) -> int:
        """Return one draw with P(x) ∝ e^(−|x|·*speed*/*time*) (algorithm 2)."""
        while True:
            remainder = self._below(time)
            if not self._happens_exponentially(remainder, time):
                continue
            whole = 0
            while self._happens_within_one(1, 1):
                whole += 1
            size = (remainder + time * whole) // speed
            negative = self._happens(1, 2)
            if negative and size == 0:
                continue
            return -size if negative else size

    def _gaussian(self, sigma_squared: Fraction) -> int:
        """Return one draw with P(x) ∝ e^(−x²/(2σ²)) (algorithm 3): a Laplace draw, kept with the right probability."""
        time = isqrt(sigma_squared.numerator // sigma_squared.denominator) + 1
        over, under = sigma_squared.numerator, sigma_squared.denominator
        while True:
            found = self._laplace(time, 1)
            # (|x| − σ²/t)² / (2σ²) = (|x|·t·u − o)² / (2·t²·u·o), for σ² = o/u
            if self._happens_exponentially((abs(found) * time * under - over) ** 2, 2 * time * time * under * over):
                return found


def _check(count: int, amount: Fraction) -> None:
    if not 0 <= count <= DRAWS_MAX:
        raise NoiseError(f"{count} draws are not within 0 to {DRAWS_MAX}")
    if amount <= 0:
        raise NoiseError(f"noise of the size {amount} does not exist; it must be more than 0")
