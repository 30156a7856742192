"""Public polynomials at a point: against their definition, with coefficients and with fractions written out."""

from __future__ import annotations

import random

import pytest

from crypto.applicability.evaluation import interpolation_at, surroundings, table_at
from crypto.applicability.suites import ORDER, SUITES, Suite
from tests.applicability_prover import evaluate, first, interpolate, table, weights

SMALL = SUITES[0]
POINTS = (2, ORDER - 1 - 2**200, 0x1234567890ABCDEF**3)


def barycentric(suite: Suite, values: list[int], point: int) -> int:
    """(ζ^N − 1)/N · Σ f(a)·a/(ζ − a), a term at a time."""
    total, root = 0, 1
    for value in values:
        total += value * root * pow(point - root, -1, ORDER)
        root = root * suite.generator % ORDER
    return total * (pow(point, suite.size, ORDER) - 1) * pow(suite.size, -1, ORDER) % ORDER


@pytest.mark.parametrize("suite", SUITES)
def test_an_interpolation_is_what_the_barycentric_formula_says(suite: Suite) -> None:
    source = random.Random(suite.size)
    values = [source.randint(-127, 127) for _ in range(suite.size)]
    assert interpolation_at(suite, values, POINTS[1]) == barycentric(suite, values, POINTS[1])


@pytest.mark.parametrize("point", POINTS)
def test_an_interpolation_is_what_its_coefficients_say(point: int) -> None:
    source = random.Random(point)
    values = [source.randrange(ORDER) for _ in range(SMALL.size)]
    assert interpolation_at(SMALL, values, point) == evaluate(interpolate(values), point)


@pytest.mark.parametrize("suite", SUITES)
def test_an_interpolation_has_its_values_on_the_domain(suite: Suite) -> None:
    values = [(number * number) % 255 - 127 for number in range(suite.size)]
    for number in (0, 1, suite.size // 4, suite.size // 2 + 1, suite.size - 1):
        found = interpolation_at(suite, values, pow(suite.generator, number, ORDER))
        assert found == values[number] % ORDER


def test_missing_values_are_zeros() -> None:
    values = [5, -7, 11]
    assert interpolation_at(SMALL, values, 9) == interpolation_at(SMALL, values + [0] * (SMALL.size - 3), 9)
    assert interpolation_at(SMALL, [], 9) == 0


@pytest.mark.parametrize("suite", SUITES)
def test_weights_first_and_table_are_the_pages(suite: Suite) -> None:
    point = POINTS[2]
    around = surroundings(suite, point)
    assert around is not None
    assert around.vanishing == (pow(point, suite.size, ORDER) - 1) % ORDER
    assert around.vanishing * around.inverse % ORDER == 1
    assert around.following == suite.generator * point % ORDER
    assert around.weights == barycentric(suite, weights(suite), point)
    assert around.first == barycentric(suite, first(suite), point)
    assert table_at(suite, point) == barycentric(suite, table(suite), point)


@pytest.mark.parametrize("suite", SUITES)
def test_a_point_of_the_domain_has_no_surroundings(suite: Suite) -> None:
    for number in (0, 1, 17, suite.size // 2, suite.size - 1):
        assert surroundings(suite, pow(suite.generator, number, ORDER)) is None
    assert surroundings(suite, pow(7, (ORDER - 1) // (2 * suite.size), ORDER)) is not None
