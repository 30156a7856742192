"""What a charge spends: ε exactly, ρ and δ as the smallest integers that are not below the true values.

δ is held between proved bounds that are drawn closer until both round up to the same integer.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from .bounds import Arithmetic, Between
from .errors import NotInForm
from .ledger_documents import Amount, Charge

MICRO, NANO, ATTO = 10**6, 10**9, 10**18
#: With 192 bits the bounds of every δ that can be charged lie closer than 10^-28; more are a way out, and have an end.
BITS = (192, 384, 768, 1_536)


def cost(charge: Charge) -> Amount:
    """What the charge spends; raises NotInForm where no bounds decide it."""
    if charge.mechanism == "laplace_selection":
        epsilon_micro, keys, threshold = charge.numbers
        tail = laplace_tail(Fraction(epsilon_micro, MICRO), threshold - 1)
        return Amount(keys * epsilon_micro, 0, _rounded_up(keys * ATTO, tail))
    if charge.mechanism == "gaussian_selection":
        keys, multiplier_micro, threshold = charge.numbers
        multiplier = Fraction(multiplier_micro, MICRO)
        tail = gaussian_tail(keys * multiplier, threshold - 1)
        return Amount(0, _rho_nano(1, multiplier), _rounded_up(keys * ATTO, tail))
    # `gaussian_sum` and `gaussian_embedding` count what they are applied to.
    count, multiplier_micro = charge.numbers
    return Amount(0, _rho_nano(count, Fraction(multiplier_micro, MICRO)), 0)


def _rho_nano(count: int, multiplier: Fraction) -> int:
    exact = NANO * count / (2 * multiplier)
    return -(-exact.numerator // exact.denominator)


def laplace_tail(epsilon: Fraction, least: int) -> Callable[[Arithmetic], Between]:
    """P(X ≥ least) = e^(-ε·least) / (1 + e^-ε) for discrete Laplace noise, least being at least 1."""

    def tail(numbers: Arithmetic) -> Between:
        one = numbers.of(Fraction(1))
        return numbers.over(numbers.exp_minus(epsilon * least), numbers.plus(one, numbers.exp_minus(epsilon)))

    return tail


def gaussian_tail(variance: Fraction, least: int) -> Callable[[Arithmetic], Between]:
    """P(X ≥ least) for the discrete Gaussian of this σ², least being at least 1.

    The distribution is symmetric, so this is half of what lies outside -least < x < least: (1 - S/Z) / 2, where S is
    the sum of e^(-x²/2σ²) inside, of no more than `least` different terms however large σ is, and Z the sum of all.
    """

    def tail(numbers: Arithmetic) -> Between:
        inside = _middle(numbers, variance, least)
        share = numbers.over(inside, _whole(numbers, variance))
        one = 1 << numbers.bits
        return Between(max(0, one - share.high) // 2, (one - share.low + 1) // 2)

    return tail


def _middle(numbers: Arithmetic, variance: Fraction, least: int) -> Between:
    """Σ e^(-x²/2σ²) over abs(x) < least, each term from the one before: their quotient falls by e^(-1/σ²) at a step."""
    total = Between(0, 0)
    term = numbers.of(Fraction(1))
    quotient = numbers.exp_minus(1 / (2 * variance))
    step = numbers.exp_minus(1 / variance)
    for x in range(1, least):
        term = numbers.times(term, quotient)
        quotient = numbers.times(quotient, step)
        if term.high <= 1:
            # Terms fall, so each of those that are left is at most this one.
            total = Between(total.low, total.high + (least - x) * term.high)
            break
        total = numbers.plus(total, term)
    return _mirrored(numbers, total)


def _whole(numbers: Arithmetic, variance: Fraction) -> Between:
    """Σ e^(-x²/2σ²) over all integers x.

    For σ² ≥ 1 it is, by Poisson's summation formula, √(2πσ²) · Σ e^(-2π²σ²k²) over all integers k. Either sum is one
    of e^(-a·x²) with a ≥ 1/2, of which a few terms are enough.
    """
    if variance < 1:
        return _theta(numbers, 1 / (2 * variance), 1 / (2 * variance))
    two_pi_variance = numbers.times(numbers.pi(), numbers.of(2 * variance))
    exponent = numbers.times(numbers.pi(), two_pi_variance)
    theta = _theta(numbers, Fraction(exponent.low, 1 << numbers.bits), Fraction(exponent.high, 1 << numbers.bits))
    return numbers.times(numbers.root(two_pi_variance), theta)


def _theta(numbers: Arithmetic, least: Fraction, most: Fraction) -> Between:
    """Σ e^(-a·x²) over all integers x, for an a between *least*, which is at least 1/2, and *most*."""
    total = Between(0, 0)
    for x in range(1, numbers.bits):
        term = Between(numbers.exp_minus(most * x * x).low, numbers.exp_minus(least * x * x).high)
        if term.high <= 1:
            # Each of the terms that are left is at most e^(-3/2) of the one before, so all are below twice the first.
            total = Between(total.low, total.high + 2 * term.high)
            break
        total = numbers.plus(total, term)
    return _mirrored(numbers, total)


def _mirrored(numbers: Arithmetic, right: Between) -> Between:
    """1 for x = 0, and the sum over x > 0 once for either side."""
    one = 1 << numbers.bits
    return Between(one + 2 * right.low, one + 2 * right.high)


def _rounded_up(scale: int, tail: Callable[[Arithmetic], Between]) -> int:
    for bits in BITS:
        found = tail(Arithmetic(bits))
        # No tail is zero, whatever its lower bound.
        low, high = max(1, _ceiling(scale * found.low, bits)), _ceiling(scale * found.high, bits)
        if low == high:
            return low
    raise NotInForm("a δ so near an integer that nothing decides it")


def _ceiling(scaled: int, bits: int) -> int:
    return -(-scaled >> bits)
