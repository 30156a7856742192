"""Numbers between two bounds that are whole multiples of 2^-bits: what is true of both bounds is true of the number.

Every operation rounds the lower bound down and the upper bound up, so a result is proved, however few bits it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import isqrt


@dataclass(frozen=True, slots=True)
class Between:
    """A number x that is not negative, with low <= x · 2^bits <= high."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Sums, products and the functions that a discrete Gaussian needs, with so many bits behind the point."""

    bits: int

    def of(self, number: Fraction) -> Between:
        """A number that is given exactly."""
        scaled = number.numerator << self.bits
        return Between(scaled // number.denominator, _up(scaled, number.denominator))

    def plus(self, left: Between, right: Between) -> Between:
        """The sum."""
        return Between(left.low + right.low, left.high + right.high)

    def times(self, left: Between, right: Between) -> Between:
        """The product."""
        return Between((left.low * right.low) >> self.bits, -((-left.high * right.high) >> self.bits))

    def over(self, left: Between, right: Between) -> Between:
        """The quotient; the divisor's lower bound is above zero."""
        return Between((left.low << self.bits) // right.high, _up(left.high << self.bits, right.low))

    def root(self, number: Between) -> Between:
        """The square root."""
        return Between(isqrt(number.low << self.bits), isqrt(number.high << self.bits) + 1)

    def exp_minus(self, exponent: Fraction) -> Between:
        """e^-exponent, for an exponent that is not negative.

        The exponent is halved until it is at most 1/2. There the series 1 - y + y²/2 - … alternates with terms that
        fall, so what is left out behind a term is less than the next one. Squaring undoes the halving.
        """
        if exponent >= self.bits:
            # e^-exponent < 2^-exponent <= 2^-bits, one unit of the last place.
            return Between(0, 1)
        halvings = max(0, (2 * exponent.numerator // exponent.denominator).bit_length())
        found = self._series(self.of(exponent / 2**halvings))
        for _ in range(halvings):
            found = self.times(found, found)
        return found

    def _series(self, small: Between) -> Between:
        one = 1 << self.bits
        term = total = Between(one, one)
        place = 0
        # A term is at most half of the one before it, so there are no more of them than bits.
        while term.high > 1:
            place += 1
            term = self.times(term, small)
            term = Between(term.low // place, _up(term.high, place))
            if place % 2:
                total = Between(total.low - term.high, total.high - term.low)
            else:
                total = self.plus(total, term)
        return Between(max(0, total.low - term.high), min(one, total.high + term.high))

    def pi(self) -> Between:
        """π = 16 arctan(1/5) - 4 arctan(1/239) (Machin, 1706)."""
        fifth, other = self._arctan(5), self._arctan(239)
        return Between(16 * fifth.low - 4 * other.high, 16 * fifth.high - 4 * other.low)

    def _arctan(self, denominator: int) -> Between:
        """arctan(1/denominator) = Σ (-1)^k / ((2k + 1) denominator^(2k + 1)), whose terms alternate and fall."""
        low = high = place = 0
        power = denominator
        while power < 1 << self.bits:
            term = (1 << self.bits) // (power * (2 * place + 1))
            low, high = (low - term - 1, high - term) if place % 2 else (low + term, high + term + 1)
            place += 1
            power *= denominator * denominator
        # The first term that is left out is below one unit of the last place.
        return Between(low - 1, high + 1)


def _up(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
