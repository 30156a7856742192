"""Where noise comes from: integers from two distributions, exactly, with nothing drawn before it is asked for.

Noise is drawn on the integers and never as floats: the set of floats that x + noise can reach depends on x, and a dump
of such sums tells candidates apart with certainty (Mironov, "On significance of the least significant bits for
differential privacy", CCS 2012). Counts and quantised vectors are integers already.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol

#: Draws asked for at once; a release over more keys than this is none that this house makes.
DRAWS_MAX = 10_000_000
#: ε counts in millionths everywhere in the house.
MICRO = 1_000_000


class NoiseSampler(Protocol):
    """Draws independent integers. Every call draws anew: whoever needs the same noise twice keeps it."""

    def laplace(self, count: int, epsilon_micro: int) -> list[int]:
        """Return *count* draws with P(x) ∝ e^(−ε·|x|), ε = *epsilon_micro* / 10^6. Raises `NoiseError`."""
        ...

    def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
        """Return *count* draws with P(x) ∝ e^(−x² / (2σ²)), σ² = *sigma_squared*. Raises `NoiseError`."""
        ...
