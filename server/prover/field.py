"""The scalar field and transforms over it: between a polynomial's coefficients and its values on H or on a coset of H.

Field elements are arkworks scalars rather than Python integers: a product costs a third, and multi-exponentiations take
them as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, repeat
from operator import add, mul, sub
from typing import Final, TypeVar

from py_arkworks_bls12381 import G1Point, Scalar

from crypto.applicability.suites import ORDER, PRIMITIVE_ROOT, Suite

#: Transforms are sums of multiples, so they work on points of the curve as well.
Element = TypeVar("Element", Scalar, G1Point)


def to_scalar(value: int) -> Scalar:
    """Return *value*, which may be negative, modulo r."""
    # A small number takes a third of the time that its residue would.
    return -Scalar(-value) if -ORDER < value < 0 else Scalar(value % ORDER)


def powers_of(base: Scalar, count: int) -> list[Scalar]:
    """Return base^0 … base^(count − 1)."""
    return list(accumulate(repeat(base, count - 1), mul, initial=Scalar(1)))


class Domain:
    """H, the powers of a suite's root of unity: `points[i]` is w^i."""

    def __init__(self, suite: Suite) -> None:
        size = suite.size
        bits = size.bit_length() - 1
        self.size: Final = size
        self.points: Final = powers_of(Scalar(suite.generator), size)
        self.one_over_size: Final = Scalar(size).inverse()
        self._reversed: Final = [int(format(index, f"0{bits}b")[::-1], 2) for index in range(size)]
        # Layer number l joins transforms of 2^l values; position i of it turns by w^((i div s)·s), s = N / 2^(l+1).
        strides = [size >> (layer + 1) for layer in range(bits)]
        self._layers: Final = [
            [self.points[index // stride * stride] for index in range(size // 2)] for stride in strides[1:]
        ]

    def to_values(self, coefficients: Sequence[Element]) -> list[Element]:
        """Return the values on H of the polynomial with these N coefficients."""
        row = [coefficients[index] for index in self._reversed]
        row = _joined(row[0::2], row[1::2])
        for twiddles in self._layers:
            row = _joined(row[0::2], list(map(mul, row[1::2], twiddles)))
        return row

    def to_coefficients(self, values: Sequence[Element]) -> list[Element]:
        """Return the coefficients of the polynomial of degree below N that takes these N values on H."""
        turned: list[Element] = self.to_values(values)
        # The inverse runs the powers of w backwards.
        backwards = turned[:1] + turned[:0:-1]
        return list(map(mul, backwards, repeat(self.one_over_size)))


class Coset:
    """The points c·w^i, on which Z(X) = X^N − 1 takes one value other than 0."""

    def __init__(self, domain: Domain, doublings: int) -> None:
        """Take for c a root of unity of order N·2^*doublings*, so that c^N has order 2^*doublings*."""
        shift = Scalar(pow(PRIMITIVE_ROOT, (ORDER - 1) // (domain.size << doublings), ORDER))
        self._domain: Final = domain
        self._shifts: Final = powers_of(shift, domain.size)
        self._unshifts: Final = powers_of(shift.inverse(), domain.size)
        self.points: Final = [shift * point for point in domain.points]
        self.power: Final = self._shifts[-1] * shift  # c^N
        self.vanishing: Final = self.power - Scalar(1)

    def to_values(self, coefficients: Sequence[Scalar]) -> list[Scalar]:
        """Return the values on the coset of the polynomial with these N coefficients."""
        return self._domain.to_values(list(map(mul, coefficients, self._shifts)))

    def to_coefficients(self, values: Sequence[Scalar]) -> list[Scalar]:
        """Return the coefficients of the polynomial of degree below N that takes these N values on the coset."""
        return list(map(mul, self._domain.to_coefficients(values), self._unshifts))


def _joined(even: list[Element], odd: list[Element]) -> list[Element]:
    return [*map(add, even, odd), *map(sub, even, odd)]
