"""BLS12-381 by py_ecc, behind four operations: reading points, summing multiples of them, and a product of pairings.

py_ecc's own reader of compressed points knows nothing of subgroups and takes numbers instead of bytes, so
encodings are read here: Appendix C of draft-irtf-cfrg-pairing-friendly-curves, and what our formats add to it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TypeAlias

_RECURSION_LIMIT = sys.getrecursionlimit()

from py_ecc.fields import optimized_bls12_381_FQ as FQ  # noqa: E402
from py_ecc.fields import optimized_bls12_381_FQ2 as FQ2  # noqa: E402
from py_ecc.fields import optimized_bls12_381_FQ12 as FQ12  # noqa: E402
from py_ecc.optimized_bls12_381 import optimized_curve as curve  # noqa: E402
from py_ecc.optimized_bls12_381.optimized_pairing import final_exponentiate, pairing  # noqa: E402

# Importing py_ecc lifts the limit for the whole process, and a text that nests deep would then end it (SIGSEGV).
sys.setrecursionlimit(_RECURSION_LIMIT)

from .errors import NotInForm  # noqa: E402

G1: TypeAlias = tuple[FQ, FQ, FQ]
G2: TypeAlias = tuple[FQ2, FQ2, FQ2]

#: The modulus of the coordinates, and the order of the groups.
P: int = curve.field_modulus
ORDER: int = curve.curve_order
G1_BYTES = 48
G2_BYTES = 96
#: The three bits above a coordinate of 381 bits: it is compressed, it is the identity, y is the larger of its two.
COMPRESSED, INFINITY, LARGER = 1 << 383, 1 << 382, 1 << 381
#: So many bits of a scalar are looked up at once.
WINDOW_BITS = 4
#: And in sums of many multiples, any of these numbers.
WIDTHS = range(2, 13)


class SlowCurve:
    """The curve, as slowly and plainly as it can be had; every reader raises NotInForm."""

    def read_g1(self, data: bytes) -> G1:
        """The point of G1 that these 48 bytes are, which is not the identity."""
        point = self.decompress(data)
        if not curve.is_inf(curve.multiply(point, ORDER)):
            raise NotInForm("a point outside the subgroup")
        return point

    def decompress(self, data: bytes) -> G1:
        """The point of the curve, in whatever subgroup, that these 48 bytes are, which is not the identity."""
        if len(data) != G1_BYTES:
            raise NotInForm(f"a point of G1 has {G1_BYTES} bytes")
        is_larger, number = _flags(data)
        x = _coordinate(number)
        y = _root((x * x * x + curve.b.n) % P)
        if y is None:
            raise NotInForm("a point that is not on the curve")
        if (2 * y > P) != is_larger:
            y = P - y
        return FQ(x), FQ(y), FQ(1)

    def read_g2(self, data: bytes) -> G2:
        """The point of G2 that these 96 bytes are, which is not the identity; the imaginary part of x stands first."""
        if len(data) != G2_BYTES:
            raise NotInForm(f"a point of G2 has {G2_BYTES} bytes")
        is_larger, number = _flags(data[:G1_BYTES])
        x = FQ2([_coordinate(int.from_bytes(data[G1_BYTES:], "big")), _coordinate(number)])
        y = _root_of_pair(x * x * x + curve.b2)
        if y is None or not curve.is_on_curve((x, y, FQ2.one()), curve.b2):
            raise NotInForm("a point that is not on the curve")
        if _is_larger(y) != is_larger:
            y = -y
        point = (x, y, FQ2.one())
        if not curve.is_inf(curve.multiply(point, ORDER)):
            raise NotInForm("a point outside the subgroup")
        return point

    def combine(self, points: Sequence[G1], scalars: Sequence[int]) -> G1:
        """The sum of each point times its scalar in 0 … r − 1; raises NotInForm for other scalars and unequal lists.

        The scalars' digits to the base of 16 are gone through from the highest on: all doublings are shared.
        """
        if len(points) != len(scalars):
            raise NotInForm("not one scalar for every point")
        if not all(0 <= scalar < ORDER for scalar in scalars):
            raise NotInForm("a scalar that is not below the order")
        tables = [_multiples(point) for point in points]
        total: G1 = curve.Z1
        for shift in reversed(range(0, ORDER.bit_length() + 1, WINDOW_BITS)):
            for _ in range(WINDOW_BITS):
                total = curve.double(total)
            for table, scalar in zip(tables, scalars, strict=True):
                digit = (scalar >> shift) % (1 << WINDOW_BITS)
                if digit:
                    total = curve.add(total, table[digit])
        return total

    def is_product_one(self, pairs: Iterable[tuple[G1, G2]]) -> bool:
        """Whether the product of the pairings of these points is one: a Miller loop each, one final exponentiation."""
        product = FQ12.one()
        for left, right in pairs:
            product *= pairing(right, left, final_exponentiate=False)
        return bool(final_exponentiate(product) == FQ12.one())


def sum_of_multiples(points: Sequence[G1], scalars: Sequence[int]) -> G1:
    """What `combine` returns, sooner where there are hundreds of points: Pippenger's method of buckets.

    Scalars are cut into digits. For each digit, from the highest on, points of one digit go into one bucket; the buckets'
    sum, each as often as its digit says, is what that place adds.
    """
    if len(points) != len(scalars):
        raise NotInForm("not one scalar for every point")
    if not all(0 <= scalar < ORDER for scalar in scalars):
        raise NotInForm("a scalar that is not below the order")
    bits = max((scalar.bit_length() for scalar in scalars), default=0)
    width = _width(len(points), bits)
    total: G1 = curve.Z1
    for shift in reversed(range(0, bits, width)):
        for _ in range(width):
            total = curve.double(total)
        buckets: list[G1] = [curve.Z1] * (1 << width)
        for point, scalar in zip(points, scalars, strict=True):
            digit = (scalar >> shift) % (1 << width)
            buckets[digit] = curve.add(buckets[digit], point)
        total = curve.add(total, _weighed(buckets))
    return total


def is_identity(point: G1) -> bool:
    """Whether it is the point that adds nothing."""
    return bool(curve.is_inf(point))


def _flags(data: bytes) -> tuple[bool, int]:
    """Whether y is the larger one, and the number below the three flags."""
    number = int.from_bytes(data, "big")
    if not number & COMPRESSED:
        raise NotInForm("a point that is not compressed")
    if number & INFINITY:
        raise NotInForm("the identity, or what says that it is")
    return bool(number & LARGER), number % LARGER


def _coordinate(number: int) -> int:
    if number >= P:
        raise NotInForm("a coordinate that is not below the modulus")
    return number


def _root(square: int) -> int | None:
    """A square root modulo p, which is 3 modulo 4, or None where there is none."""
    root = pow(square, (P + 1) // 4, P)
    return root if root * root % P == square else None


def _root_of_pair(square: FQ2) -> FQ2 | None:
    """A square root of a + bi with i² = −1, or None where there is none.

    (c + di)² has the real part c² − d² and the norm (c² + d²)², so c² is half of the sum of a and a root of its norm.
    """
    real, imaginary = (int(part) % P for part in square.coeffs)
    norm = _root((real * real + imaginary * imaginary) % P)
    if norm is None:
        return None
    half = (P + 1) // 2
    for half_sum in ((real + norm) * half % P, (real - norm) * half % P):
        first = _root(half_sum)
        if first is None:
            continue
        if first:
            return FQ2([first, imaginary * pow(2 * first, -1, P) % P])
        second = _root(-real % P)
        if second is not None:
            return FQ2([0, second])
    return None


def _is_larger(y: FQ2) -> bool:
    """Whether y is the larger of y and −y: by the imaginary part, or by the real part where there is none."""
    real, imaginary = (int(part) % P for part in y.coeffs)
    return 2 * (imaginary or real) > P


def _multiples(point: G1) -> list[G1]:
    """The point times 0, 1, 2 … below the base."""
    found: list[G1] = [curve.Z1]
    for _ in range((1 << WINDOW_BITS) - 1):
        found.append(curve.add(found[-1], point))
    return found


def _weighed(buckets: Sequence[G1]) -> G1:
    """Each bucket times its place: the highest is in all of the partial sums, the lowest but zero in one."""
    partial: G1 = curve.Z1
    total: G1 = curve.Z1
    for bucket in reversed(buckets[1:]):
        partial = curve.add(partial, bucket)
        total = curve.add(total, partial)
    return total


def _width(count: int, bits: int) -> int:
    """How many bits a digit has, so that the fewest additions are made: one for a point and two for a bucket."""
    return min(WIDTHS, key=lambda width: -(-bits // width) * (count + 2 ** (width + 1)))
