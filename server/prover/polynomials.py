"""Polynomials as lists of coefficients, lowest first: what proofs need beside transforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import add

from py_arkworks_bls12381 import Scalar


@dataclass(frozen=True, slots=True)
class Blinded:
    """A committed polynomial p + Z·r: the N coefficients of p, which H shows, and the few of r, which nothing shows."""

    plain: list[Scalar]
    blinders: list[Scalar]

    def coefficients(self) -> list[Scalar]:
        """Return those of p + Z·r."""
        return blinded(self.plain, self.blinders)


def evaluate(coefficients: Sequence[Scalar], point: Scalar) -> Scalar:
    """Return the polynomial's value at *point*."""
    value = Scalar(0)
    for coefficient in reversed(coefficients):
        value = value * point + coefficient
    return value


def evaluate_all(few: Sequence[Scalar], points: Sequence[Scalar]) -> list[Scalar]:
    """Return the values at many points of a polynomial with few coefficients."""
    values = [few[-1]] * len(points)
    for coefficient in reversed(few[:-1]):
        values = [value * point + coefficient for value, point in zip(values, points, strict=True)]
    return values


def divide(coefficients: Sequence[Scalar], point: Scalar) -> list[Scalar]:
    """Return (p(X) − p(point)) / (X − point)."""
    steps = list(accumulate(reversed(coefficients), lambda value, coefficient: value * point + coefficient))
    return steps[-2::-1]


def blinded(coefficients: Sequence[Scalar], blinders: Sequence[Scalar]) -> list[Scalar]:
    """Return p + Z·r for p with N coefficients and r with a few: on H it takes the values of p."""
    low = [coefficient - blinder for coefficient, blinder in zip(coefficients, blinders, strict=False)]
    return [*low, *coefficients[len(low) :], *blinders]


def added(left: Sequence[Scalar], right: Sequence[Scalar]) -> list[Scalar]:
    """Return the sum of two polynomials that may differ in length."""
    longer, shorter = (left, right) if len(left) >= len(right) else (right, left)
    return [*map(add, longer, shorter), *longer[len(shorter) :]]


def multiplied(coefficients: Sequence[Scalar], few: Sequence[Scalar]) -> list[Scalar]:
    """Return a product of which one factor has few coefficients: work grows with the product of the lengths."""
    product = [Scalar(0)] * (len(coefficients) + len(few) - 1)
    for place, factor in enumerate(few):
        upper = place + len(coefficients)
        terms = [coefficient * factor for coefficient in coefficients]
        product[place:upper] = map(add, product[place:upper], terms)
    return product


def scaled(coefficients: Sequence[Scalar], factor: Scalar) -> list[Scalar]:
    """Return the polynomial times *factor*."""
    return [coefficient * factor for coefficient in coefficients]


def folded(polynomials: Sequence[Sequence[Scalar]], challenge: Scalar) -> list[Scalar]:
    """Return p₀ + c·p₁ + c²·p₂ …: what is opened at one point as one polynomial."""
    total: list[Scalar] = []
    for polynomial in reversed(polynomials):
        total = added(scaled(total, challenge), polynomial)
    return total
