"""The two modes as an auditor runs them: worst-case canaries through the product's own functions, one coin for each.

The attacker knows everything but the coins: backgrounds, vectors, terms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from privacy.mean import Int8Array, noised_embedding, noised_mean
from privacy.noise import NoiseSampler
from privacy.selection import select
from privacy.terms import PoolTerms

#: Components of a canary's vector, and what each is: ‖v‖ = 8 · 63 = 504, close below the bound of 510.
DIMENSION, COMPONENT = 64, 63
#: What the largest change of a sum and of a vector are, as the charges state them.
SUM_SENSITIVITY, REPLACEMENT_SENSITIVITY = 510.0, 1020.0


@dataclass(frozen=True, slots=True)
class Audited:
    """Coins (m,) and what the attacker makes of the outcome (m,): positive where it believes a canary is in."""

    included: NDArray[np.bool_]
    scores: NDArray[np.float64]

    def right(self) -> int:
        """Return how many coins the attacker tells, guessing all of them; a score of 0 is a wrong guess."""
        return int((((self.scores > 0) == self.included) & (self.scores != 0)).sum())


def coins(canaries: int, seed: int) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.random.default_rng(seed).random(canaries) < 0.5
    return found


def run_selection(
    terms: PoolTerms, noise: NoiseSampler, canaries: int, seed: int, *, background: int | None = None
) -> Audited:
    """One release: each canary is one organisation's vote for a key of its own, beside *background* votes of others.

    The worst background is T − 1 votes. With none, a canary's key exists only where the canary does.
    """
    background = terms.threshold - 1 if background is None else background
    included = coins(canaries, seed)
    counts = {f"key {number:08}": background + int(coin) for number, coin in enumerate(included)}
    released = select({key: count for key, count in counts.items() if count}, terms, noise)
    scores = [float(released[key] - terms.threshold) + 0.75 if key in released else -0.5 for key in counts]
    return Audited(included, np.array(scores))


def run_organisations(terms: PoolTerms, noise: NoiseSampler, canaries: int, seed: int) -> Audited:
    """One release: each canary is one organisation with a vote for C keys of its own, each beside T − 1 others."""
    included = coins(canaries, seed)
    places = range(terms.keys_max)
    counts = {
        f"key {number:08} {place:04}": terms.threshold - 1 + int(coin)
        for number, coin in enumerate(included)
        for place in places
    }
    released = select(counts, terms, noise)
    missing = float(terms.threshold) - math.sqrt(terms.selection_charge().keys_max)
    noisy = np.array([released.get(key, missing) for key in counts]).reshape(canaries, terms.keys_max)
    return Audited(included, (noisy - (terms.threshold - 0.5)).sum(1) + 1e-9)


def run_mean(multiplier_squared_micro: int, noise: NoiseSampler, canaries: int, seed: int) -> Audited:
    """One noised mean per canary, whose vector is one more among twenty that cancel out."""
    included = coins(canaries, seed)
    others = np.concatenate([_worst(10), -_worst(10)])
    scores = []
    for coin in included:
        vectors = np.concatenate([others, _worst(1)]) if coin else others
        scores.append(float(noised_mean(vectors, multiplier_squared_micro, noise).sum()))
    # In units of the direction's sum: half of what a canary adds, by the size that the noise gives the vector.
    half = _expected(SUM_SENSITIVITY, multiplier_squared_micro) / 2
    return Audited(included, np.array(scores) - half)


def run_embedding(multiplier_squared_micro: int, noise: NoiseSampler, canaries: int, seed: int) -> Audited:
    """One noised embedding per canary, which is the worst vector or its opposite."""
    included = coins(canaries, seed)
    worst = _worst(1)[0]
    scores = [
        float(noised_embedding(worst if coin else -worst, multiplier_squared_micro, noise).sum()) for coin in included
    ]
    return Audited(included, np.array(scores))


def with_threshold(terms: PoolTerms, threshold: int) -> PoolTerms:
    """Return terms that were tampered with: everything is as promised but T."""
    return replace(terms, threshold=threshold)


def _worst(count: int) -> Int8Array:
    return np.full((count, DIMENSION), COMPONENT, dtype=np.int8)


def _expected(sensitivity: float, multiplier_squared_micro: int) -> float:
    sigma = sensitivity * math.sqrt(multiplier_squared_micro / 1e6)
    norm = COMPONENT * math.sqrt(DIMENSION)
    return COMPONENT * DIMENSION / math.sqrt(DIMENSION * sigma**2 + norm**2 / 2)
