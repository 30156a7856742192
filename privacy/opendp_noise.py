"""The product's noise: OpenDP's integer samplers, whose randomness is OpenSSL's generator, seeded by the system.

Only the samplers are used. OpenDP's threshold releases are not: their privacy map states the tail beyond the threshold
where the release happens at the threshold already, which understates δ by a factor of up to e^ε
(`crypto.privacy_arithmetic` has the exact tails).

A scale is a double in OpenDP. It is rounded up, so noise is never smaller than was stated and paid for; the tail at a
threshold T then is larger than the exact one by a factor below 1 + 2^-51·ε·T (Laplace; the Gaussian's is alike).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from .errors import NoiseError
from .noise import DRAWS_MAX, MICRO

#: Draws made by one call into the library, which holds its input and output in memory as Python integers.
_BATCH = 100_000
#: A scale beyond this would leave the range of 64-bit integers within reach.
_SCALE_MAX = 1e12


class OpenDpNoise:
    """Draws through OpenDP, from the operating system's randomness. Safe to share between threads."""

    def laplace(self, count: int, epsilon_micro: int) -> list[int]:
        """Return *count* draws with P(x) ∝ e^(−ε·|x|). Raises `NoiseError` for a count or ε out of range."""
        if epsilon_micro <= 0:
            raise NoiseError("ε must be more than 0")
        return _draw(count, _laplace(scale_for_laplace(epsilon_micro)))

    def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
        """Return *count* draws with P(x) ∝ e^(−x²/(2σ²)). Raises `NoiseError` for a count or σ² out of range."""
        if sigma_squared <= 0:
            raise NoiseError("σ² must be more than 0")
        return _draw(count, _gaussian(scale_for_gaussian(sigma_squared)))


def scale_for_laplace(epsilon_micro: int) -> float:
    """Return the smallest double that is not below 1/ε."""
    exact = Fraction(MICRO, epsilon_micro)
    scale = float(exact)
    return scale if Fraction(scale) >= exact else math.nextafter(scale, math.inf)


def scale_for_gaussian(sigma_squared: Fraction) -> float:
    """Return the smallest double whose square is not below σ²."""
    scale = math.sqrt(sigma_squared)
    while Fraction(scale) ** 2 < sigma_squared:
        scale = math.nextafter(scale, math.inf)
    while Fraction(math.nextafter(scale, 0.0)) ** 2 >= sigma_squared:
        scale = math.nextafter(scale, 0.0)
    return scale


def _laplace(scale: float) -> Callable[[list[int]], list[int]]:
    from opendp.measurements import make_laplace
    from opendp.metrics import l1_distance

    return _measurement(make_laplace, l1_distance(T="i64"), scale)


def _gaussian(scale: float) -> Callable[[list[int]], list[int]]:
    from opendp.measurements import make_gaussian
    from opendp.metrics import l2_distance

    return _measurement(make_gaussian, l2_distance(T="i64"), scale)


def _measurement(make: Any, metric: Any, scale: float) -> Callable[[list[int]], list[int]]:
    from opendp.domains import atom_domain, vector_domain
    from opendp.mod import enable_features

    if not 0 < scale <= _SCALE_MAX:
        raise NoiseError(f"a scale of {scale} is not within 0 to {_SCALE_MAX:g}")
    # "contrib" is what OpenDP calls everything that its maintainers did not verify formally.
    enable_features("contrib")
    found: Callable[[list[int]], list[int]] = make(vector_domain(atom_domain(T="i64")), metric, scale=scale)
    return found


def _draw(count: int, measure: Callable[[list[int]], list[int]]) -> list[int]:
    """Return *count* noises: what the measurement makes of so many zeros."""
    if not 0 <= count <= DRAWS_MAX:
        raise NoiseError(f"{count} draws are not within 0 to {DRAWS_MAX}")
    found: list[int] = []
    while len(found) < count:
        size = min(_BATCH, count - len(found))
        batch = measure([0] * size)
        if len(batch) != size:
            raise NoiseError(f"{size} draws were asked for and {len(batch)} came")
        found.extend(batch)
    return found
