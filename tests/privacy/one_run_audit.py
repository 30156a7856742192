"""What one run of a mechanism over many canaries proves about its ε: a lower bound, at a stated confidence.

Every canary is in or out by a fair coin of its own. An attacker guesses some of the coins from what came out and leaves
the rest alone. Under (ε, δ)-differential privacy the number of right guesses is stochastically bounded; too many of them
refute the claim. Source: Steinke, Nasr, Jagielski, "Privacy Auditing with One (1) Training Run" (NeurIPS 2023), Theorem 5.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

#: What share of the guesses of a side is used; fixed beforehand, and paid for (Bonferroni).
SHARES = (1.0, 1 / 2, 1 / 4, 1 / 10, 1 / 20, 1 / 40, 1 / 100, 1 / 400)
SIDES = ("both", "in", "out")
GUESSES_MIN = 10
EPSILON_MAX = 60.0


def lower_bound(included: NDArray[np.bool_], scores: NDArray[np.float64], *, delta: float, error: float) -> float:
    """Return an ε that the mechanism exceeds, wrong with a chance of at most *error* if it is (ε, *delta*)-private.

    *scores* (m,) are positive where the attacker believes a canary is in, negative where out, and the larger the surer.
    The best of all cut-offs counts, each at *error* divided by their number.
    """
    each = error / (len(SHARES) * len(SIDES))
    best = 0.0
    for guesses, right in _cut_offs(included, scores):
        if p_value(len(included), guesses, right, best, delta) > each:
            continue
        best = max(best, _bound(len(included), guesses, right, delta, each, best))
    return best


def rho_lower_bound(canaries: int, right: int, *, error: float) -> float:
    """Return a ρ that the mechanism exceeds, wrong with a chance of at most *error* if it is ρ-zCDP.

    For canaries whose noise is independent of each other's. ρ-zCDP bounds the Kullback-Leibler divergence of in and out
    by ρ (Bun, Steinke 2016), so by Pinsker their total variation by sqrt(ρ/2), so the chance of a right guess by
    (1 + sqrt(ρ/2)) / 2. That chance is at least the Clopper-Pearson limit of *right* of *canaries*. Sharper than the one
    run for Gaussian noise, whose loss an attacker sees on average and seldom at its worst.
    """
    low, high = 0.5, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2.0
        tail = float(np.exp(_log_binomial(canaries, middle))[right:].sum())
        low, high = (middle, high) if tail <= error else (low, middle)
    return 2.0 * (2.0 * low - 1.0) ** 2


def _cut_offs(included: NDArray[np.bool_], scores: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    right = (scores > 0) == included
    for side in SIDES:
        able = {"both": scores != 0, "in": scores > 0, "out": scores < 0}[side]
        order = np.flatnonzero(able)
        # Ties keep their order, which has nothing to do with the coins.
        order = order[np.argsort(-np.abs(scores[order]), kind="stable")]
        for share in SHARES:
            guesses = int(len(order) * share)
            if guesses >= GUESSES_MIN:
                yield guesses, int(right[order[:guesses]].sum())


def p_value(canaries: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """Return the chance of at least *right* of *guesses* under (ε, δ), by the theorem.

    β + 2mδ · max_i (P(v − i ≤ W < v) / i), W binomial of *guesses* at e^ε / (1 + e^ε), β = P(W ≥ v).
    """
    mass = np.exp(_log_binomial(guesses, 1.0 / (1.0 + math.exp(-epsilon))))
    beta = float(mass[right:].sum())
    if right == 0:
        return 1.0
    below = np.cumsum(mass[:right][::-1]) / np.arange(1, right + 1)
    return min(1.0, beta + 2.0 * canaries * delta * float(below.max()))


def _bound(canaries: int, guesses: int, right: int, delta: float, error: float, least: float) -> float:
    low, high = least, EPSILON_MAX
    while high - low > 1e-3:
        middle = (low + high) / 2.0
        low, high = (middle, high) if p_value(canaries, guesses, right, middle, delta) <= error else (low, middle)
    return low


def _log_binomial(count: int, chance: float) -> NDArray[np.float64]:
    """Return ln P(W = w) for w = 0 … *count*."""
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    w = np.arange(count + 1)
    log_miss = math.log1p(-chance) if chance < 1.0 else -math.inf
    found: NDArray[np.float64] = (
        factorials[count] - factorials - factorials[::-1] + w * math.log(chance) + (count - w) * max(log_miss, -1e300)
    )
    return found
