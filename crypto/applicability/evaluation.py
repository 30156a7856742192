"""What the public polynomials are at a point: q, the weights of the slack bits, the table of components, and L₀.

Exact integers modulo r. An interpolation f of N values is evaluated without its coefficients. Where i is w^(N/4), a
fourth root of one,

    4·f(ζ) = Σ_j (ζ/a)^j · Σ_k f(aiᵏ) · i^(−jk)      summed over j, k of 0 … 3, if f has no more than four coefficients,

and for any f the same sum gives, for each a among the first N/4 points, the value at a⁴ of a polynomial that is 4·f(ζ)
at ζ⁴ and has a quarter of the values. So quarters are folded until one value is left. Nothing is divided by ζ − a: a
point of the domain is no special case. The first fold, which is most of the work, multiplies by small integers.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from .suites import ORDER, SLACK_BITS, TABLE_SPAN, Suite

#: Of a point a: 1/a, i⁻¹/a, 1/a², 1/a³, i⁻¹/a³.
_Inverses: TypeAlias = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What depends on ζ and the suite alone: *vanishing* is ζ^N − 1, which is not zero, and *inverse* is 1 over it.

    *following* is wζ; *weights* and *first* are weights(ζ) and L₀(ζ).
    """

    following: int
    vanishing: int
    inverse: int
    weights: int
    first: int


def surroundings(suite: Suite, point: int) -> Surroundings | None:
    """Return what depends on ζ = *point* alone, or None for a point of the domain.

    The weights are few, so they take the barycentric formula: f(ζ) = (ζ^N − 1)/N · Σ f(a)·a/(ζ − a).
    """
    vanishing = (pow(point, suite.size, ORDER) - 1) % ORDER
    if not vanishing:
        return None
    roots = _weighted_roots(suite)
    inverse, *others = _invert_all([vanishing, *(point - root for root in roots)])
    scale = vanishing * _inverse_size(suite) % ORDER
    total = sum((root << number) * other for number, (root, other) in enumerate(zip(roots, others, strict=True)))
    following = roots[1] * point % ORDER
    return Surroundings(following, vanishing, inverse, scale * total % ORDER, scale * others[0] % ORDER)


def interpolation_at(suite: Suite, values: Sequence[int], point: int) -> int:
    """Return what the interpolation of *values*, and then zeros up to N, is at *point*."""
    folded = [*values, *[0] * (suite.size - len(values))]
    for inverses in _folds(suite):
        folded = _fold(folded, inverses, point)
        point = pow(point, 4, ORDER)
    if len(folded) == 2:
        folded = [folded[0] + folded[1] + point * (folded[0] - folded[1])]
    return folded[0] * _inverse_size(suite) % ORDER


def table_at(suite: Suite, point: int) -> int:
    """Return what the table of all components is at *point*."""
    return interpolation_at(suite, _table(suite), point)


def _fold(values: list[int], inverses: tuple[_Inverses, ...], point: int) -> list[int]:
    quarter = len(inverses)
    square = point * point % ORDER
    cube = square * point % ORDER
    quarters = (values[start : start + quarter] for start in range(0, len(values), quarter))
    folded: list[int] = []
    for one, two, three, four, (by, turned, by2, by3, turned3) in zip(*quarters, inverses, strict=True):
        even, odd, left, right = one + three, two + four, one - three, two - four
        folded.append(
            (
                even
                + odd
                + point * (by * left + turned * right)
                + square * (by2 * (even - odd))
                + cube * (by3 * left - turned3 * right)
            )
            % ORDER
        )
    return folded


def _invert_all(values: list[int]) -> list[int]:
    """Return the inverses of all *values*, none of which is zero, at the price of one."""
    products = [1]
    for value in values:
        products.append(products[-1] * value % ORDER)
    rest = pow(products[-1], -1, ORDER)
    inverses: list[int] = []
    for value, product in zip(reversed(values), reversed(products[:-1]), strict=True):
        inverses.append(rest * product % ORDER)
        rest = rest * value % ORDER
    return inverses[::-1]


@functools.cache
def _folds(suite: Suite) -> tuple[tuple[_Inverses, ...], ...]:
    """Return what each fold multiplies by: of N/4 points, of N/16 points, and so on."""
    folds: list[tuple[_Inverses, ...]] = []
    size, step = suite.size, pow(suite.generator, -1, ORDER)
    while size >= 4:
        turn, by, row = pow(step, size // 4, ORDER), 1, []
        for _ in range(size // 4):
            by2 = by * by % ORDER
            by3 = by2 * by % ORDER
            row.append((by, turn * by % ORDER, by2, by3, turn * by3 % ORDER))
            by = by * step % ORDER
        folds.append(tuple(row))
        size, step = size // 4, pow(step, 4, ORDER)
    return tuple(folds)


@functools.cache
def _weighted_roots(suite: Suite) -> tuple[int, ...]:
    return tuple(pow(suite.generator, number, ORDER) for number in range(SLACK_BITS))


@functools.cache
def _table(suite: Suite) -> tuple[int, ...]:
    return tuple(index % TABLE_SPAN - _TABLE_MAX for index in range(suite.size))


@functools.cache
def _inverse_size(suite: Suite) -> int:
    return pow(suite.size, -1, ORDER)


_TABLE_MAX: Final = TABLE_SPAN // 2
