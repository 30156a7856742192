"""What no mechanism can do, and what the continuous Gaussian does exactly: floats, for reports and never for a decision.

The lower bound is the reason why the shared indexes are built from many organisations' votes: one released entry that
still works as a cache key needs an ε at which it is not protected.
"""

from __future__ import annotations

import math

from .errors import TermsError

_SQRT_2 = math.sqrt(2.0)
#: From here on downwards erfc is left for its asymptotic series, before it loses digits and becomes 0.
_FAR = -20.0
_HALVINGS = 200


def least_epsilon(entries: int, precision: float, match_share: float = 0.5) -> float:
    """Return the ε below which one entry, however noised, cannot answer at *precision* among *entries* others.

    ε ≥ ln(N·P / (a·(1 − P))): an entry fires for a query that matches it at most e^ε times as often as for one that
    does not (δ is left out, which only weakens the bound), N others each may fire wrongly, and *match_share* a of all
    queries have a match. Raises `TermsError` outside N ≥ 1, 0 < P < 1, 0 < a ≤ 1.
    """
    if entries < 1 or not 0.0 < precision < 1.0 or not 0.0 < match_share <= 1.0:
        raise TermsError("entries are at least 1, a precision lies between 0 and 1, a share of matches is at most 1")
    return max(0.0, math.log(entries * precision / (match_share * (1.0 - precision))))


def gaussian_delta(mu: float, epsilon: float) -> float:
    """Return the exact δ at ε of telling N(0, 1) from N(μ, 1), μ = sensitivity / σ.

    Φ(μ/2 − ε/μ) − e^ε·Φ(−μ/2 − ε/μ). Source: Balle, Wang, "Improving the Gaussian Mechanism for Differential Privacy"
    (ICML 2018), Theorem 8. Composition over steps is μ² = Σ μ_i². Raises `TermsError` for μ ≤ 0 or ε < 0.
    """
    if mu <= 0.0 or epsilon < 0.0:
        raise TermsError("μ must be more than 0, and ε not negative")
    first = log_normal_tail(mu / 2.0 - epsilon / mu)
    second = epsilon + log_normal_tail(-mu / 2.0 - epsilon / mu)
    # e^a − e^b = e^a·(1 − e^(b−a)) keeps its digits where both are nearly the same.
    return 0.0 if second >= first else math.exp(first) * -math.expm1(second - first)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Return the smallest ε at which the Gaussian of *mu* is (ε, δ)-differentially private, to 12 digits.

    Raises `TermsError` for μ ≤ 0 and for δ not between 0 and 1.
    """
    if not 0.0 < delta < 1.0:
        raise TermsError("δ lies between 0 and 1")
    if gaussian_delta(mu, 0.0) <= delta:
        return 0.0
    low, high = 0.0, mu * mu / 2.0 + mu * math.sqrt(2.0 * math.log(1.0 / delta)) + 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        low, high = (middle, high) if gaussian_delta(mu, middle) > delta else (low, middle)
    return high


def log_normal_tail(value: float) -> float:
    """Return ln Φ(*value*), Φ the distribution function of the standard normal; fit for the far left."""
    if value > _FAR:
        return math.log(math.erfc(-value / _SQRT_2) / 2.0)
    # Φ(−x) = φ(x)/x · (1 − 1/x² + 3/x⁴ − 15/x⁶ + …), an alternating series whose error is below its next term.
    square = value * value
    series = 1.0 - 1.0 / square + 3.0 / square**2 - 15.0 / square**3 + 105.0 / square**4
    return -square / 2.0 - math.log(-value) - math.log(2.0 * math.pi) / 2.0 + math.log(series)
