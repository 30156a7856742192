"""How likely a key comes out, by how many organisations voted for it: exact tails as floats, for reports alone."""

from __future__ import annotations

import math
from fractions import Fraction

from crypto.charges import LaplaceSelection

from .noise import MICRO
from .terms import PoolTerms


def release_chance(terms: PoolTerms, voters: int) -> float:
    """Return P(*voters* + noise ≥ T); 0 without voters, as such a key is never looked at."""
    if voters < 1:
        return 0.0
    charge = terms.selection_charge()
    least = terms.threshold - voters
    if isinstance(charge, LaplaceSelection):
        return laplace_chance(charge.epsilon_micro, least)
    return gaussian_chance(charge.sigma_squared, least)


def laplace_chance(epsilon_micro: int, least: int) -> float:
    """Return P(X ≥ *least*) of discrete Laplace noise."""
    epsilon = epsilon_micro / MICRO
    if least <= 0:
        # X is symmetric: P(X ≥ −n) = 1 − P(X ≥ n + 1).
        return 1.0 - laplace_chance(epsilon_micro, 1 - least)
    return math.exp(-epsilon * least) / (1.0 + math.exp(-epsilon))


def gaussian_chance(sigma_squared: Fraction, least: int) -> float:
    """Return P(X ≥ *least*) of discrete Gaussian noise."""
    if least <= 0:
        return 1.0 - gaussian_chance(sigma_squared, 1 - least)
    variance = float(sigma_squared)
    # Beyond 40 σ a term is below 10^-347: it is 0 as a float.
    reach = max(least, math.ceil(40.0 * math.sqrt(variance))) + 1
    weights = [math.exp(-number * number / (2.0 * variance)) for number in range(reach + 1)]
    return math.fsum(weights[least:]) / (weights[0] + 2.0 * math.fsum(weights[1:]))
