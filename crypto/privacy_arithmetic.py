"""What privacy costs, in whole numbers that two machines agree on: ε · 10^6, ρ · 10^9, δ · 10^18, each rounded up.

    laplace_tail_atto(2_000_000, 11)      δ of one count that is released from 11 on under ε = 2
    zcdp_rho_nano(9_000_000)              ρ of Gaussian noise of three times the sensitivity
    epsilon_micro_of_rho(1_000_000, 10**9)

Everything that is not rational is computed in `decimal` with more digits than the answer can depend on; there is no float.
Sources: Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (2020), Theorem 4 (its zCDP),
Proposition 12 (from zCDP to ε at δ); the tails are sums of the noise's own probabilities.
"""

from __future__ import annotations

import decimal
import functools
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Final

from .errors import EncodingError

EPSILON_MICRO: Final = 10**6
RHO_NANO: Final = 10**9
DELTA_ATTO: Final = 10**18
VARIANCE_MAX: Final = 10**9
THRESHOLD_MAX: Final = 10_000

#: Digits that a result may rely on, and digits that sums over up to 20,000 terms and their differences may lose.
_DIGITS: Final = 60
_SPARE_DIGITS: Final = 60
#: From this variance on a tail is what the terms in front of it leave of the whole: T is at most 10,000, so the tail then
#: has at least 10^-23 of it, and up to here a tail has at most 20,000 terms that count.
_COMPLEMENT_FROM: Final = 10**6
_CACHED_MAX: Final = 4_096


def laplace_tail_atto(epsilon_micro: int, threshold: int, keys: int = 1) -> int:
    """Return *keys* · P(1 + X ≥ *threshold*) in 10^-18, rounded up, X being discrete Laplace noise of that ε per count.

    P(X = x) ∝ e^(−ε·|x|), so P(X ≥ n) = e^(−εn) / (1 + e^(−ε)). Raises `EncodingError` for numbers out of bounds.
    """
    _refuse_outside(epsilon_micro, threshold, keys)
    with decimal.localcontext(_context()):
        epsilon = Decimal(epsilon_micro).scaleb(-6)
        return _ceiling((-epsilon * (threshold - 1)).exp() / (1 + (-epsilon).exp()) * keys * DELTA_ATTO)


def gaussian_tail_atto(sigma_squared: Fraction, threshold: int, keys: int = 1) -> int:
    """Return *keys* · P(1 + X ≥ *threshold*) in 10^-18, rounded up, X being discrete Gaussian of *sigma_squared*.

    P(X = x) ∝ e^(−x²/(2σ²)); σ² may be up to `VARIANCE_MAX`. Raises `EncodingError` for numbers out of bounds.
    """
    _refuse_outside(1, threshold, keys)
    if not 0 < sigma_squared <= VARIANCE_MAX:
        raise EncodingError(f"a variance lies above 0 and is at most {VARIANCE_MAX}")
    with decimal.localcontext(_context()):
        return _ceiling(_gaussian_tail(sigma_squared, threshold - 1) * keys * DELTA_ATTO)


def zcdp_rho_nano(multiplier_squared_micro: int, count: int = 1) -> int:
    """Return *count* / (2m) in 10^-9, rounded up: zCDP of noise of variance m · (sensitivity)², paid *count* times.

    m is *multiplier_squared_micro* / 10^6. Raises `EncodingError` where one of both is not positive.
    """
    if multiplier_squared_micro < 1 or count < 1:
        raise EncodingError("a multiplier and a count are at least 1")
    return -(-count * RHO_NANO * EPSILON_MICRO // (2 * multiplier_squared_micro))


@functools.lru_cache(maxsize=_CACHED_MAX)
def epsilon_micro_of_rho(rho_nano: int, delta_atto: int) -> int:
    """Return the ε in 10^-6, rounded up, at which ρ-zCDP is (ε, δ)-DP; 0 where ρ is.

    The least of ρα + ln(1/(αδ))/(α − 1) + ln(1 − 1/α) over α > 1 (Canonne, Kamath, Steinke 2020, Proposition 12). Every
    α gives a valid ε, and the derivative is ρ − (ln(1/δ) − ln α)/(α − 1)², whose one zero is where the least is.
    Raises `EncodingError` unless δ lies between 0 and 1.
    """
    if rho_nano < 0 or not 0 < delta_atto < DELTA_ATTO:
        raise EncodingError("ρ is not negative, and δ lies between 0 and 1")
    if rho_nano == 0:
        return 0
    with decimal.localcontext(_context()):
        rho, log_delta = Decimal(rho_nano).scaleb(-9), -Decimal(delta_atto).scaleb(-18).ln()
        order = _best_order(rho, log_delta)
        epsilon = rho * order + (log_delta - order.ln()) / (order - 1) + (1 - 1 / order).ln()
        return max(0, _ceiling(epsilon * EPSILON_MICRO))


def _best_order(rho: Decimal, log_delta: Decimal) -> Decimal:
    """Return the α > 1 at which (α − 1)² ρ + ln α is ln(1/δ): both summands grow with α, so halving finds it."""
    low, high = Decimal(0), (log_delta / rho).sqrt()
    # 100 halvings leave 10^-30 of the first range, and the value at its least does not feel that.
    for _ in range(100):
        middle = (low + high) / 2
        if middle * middle * rho + (1 + middle).ln() < log_delta:
            low = middle
        else:
            high = middle
    return 1 + high


def _gaussian_tail(variance: Fraction, least: int) -> Decimal:
    """Return P(X ≥ *least*), *least* being 1 or more."""
    whole = _gaussian_whole(variance)
    if variance < _COMPLEMENT_FROM:
        return _sum(_terms(variance, least)) / whole
    terms = _terms(variance, 0)
    before = sum((next(terms) for _ in range(least)), Decimal(0))
    return ((whole + 1) / 2 - before) / whole


@functools.lru_cache(maxsize=64)
def _gaussian_whole(variance: Fraction) -> Decimal:
    """Return Σ e^(−x²/(2σ²)) over all integers x; from σ² = 1 on by Poisson's formula, whose terms vanish sooner.

    Σ e^(−x²/(2σ²)) = √(2πσ²) · Σ e^(−2π²σ²k²), which is the same sum at the variance 1/(4π²σ²).
    """
    if variance < 1:
        return 1 + 2 * _sum(_terms(variance, 1))
    sigma_squared, pi = _decimal(variance), _pi()
    ratio = (-2 * pi * pi * sigma_squared).exp()
    others = sum((ratio ** (number * number) for number in range(1, 8)), Decimal(0))
    return (2 * pi * sigma_squared).sqrt() * (1 + 2 * others)


def _terms(variance: Fraction, first: int) -> Iterator[Decimal]:
    """Yield e^(−x²/(2σ²)) for x = *first*, *first* + 1, …: each is the one before times a ratio that shrinks evenly."""
    half = _decimal(1 / (2 * variance))
    term, ratio, shrink = (-half * first * first).exp(), (-half * (2 * first + 1)).exp(), (-2 * half).exp()
    while True:
        yield term
        term *= ratio
        ratio *= shrink


def _sum(terms: Iterator[Decimal]) -> Decimal:
    """Return the sum of falling terms, up to where one no longer counts."""
    total = next(terms)
    least = total.scaleb(-_DIGITS - 10)
    for term in terms:
        total += term
        if term <= least:
            break
    return total


@functools.cache
def _pi() -> Decimal:
    """Return π by Machin's formula, 16 arctan(1/5) − 4 arctan(1/239)."""
    with decimal.localcontext(_context()) as context:
        context.prec += 10
        return 16 * _arctan_inverse(5) - 4 * _arctan_inverse(239)


def _arctan_inverse(number: int) -> Decimal:
    power, total, odd = Decimal(1) / number, Decimal(0), 1
    while power > Decimal(10) ** -(_DIGITS + _SPARE_DIGITS + 10):
        total += power / odd if odd % 4 == 1 else -power / odd
        power /= number * number
        odd += 2
    return total


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def _ceiling(value: Decimal) -> int:
    return int(value.to_integral_value(rounding=decimal.ROUND_CEILING))


def _context() -> decimal.Context:
    """Return a context that neither overflows nor lets a probability become 0."""
    return decimal.Context(
        prec=_DIGITS + _SPARE_DIGITS, rounding=decimal.ROUND_HALF_EVEN, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX
    )


def _refuse_outside(epsilon_micro: int, threshold: int, keys: int) -> None:
    if epsilon_micro < 1 or keys < 1 or not 2 <= threshold <= THRESHOLD_MAX:
        raise EncodingError(f"ε and keys are at least 1, and a threshold is 2 to {THRESHOLD_MAX}")
