from __future__ import annotations

import random

from py_arkworks_bls12381 import Scalar

from crypto.applicability.suites import ORDER, SUITES
from server.prover.field import Domain
from server.prover.polynomials import (
    Blinded,
    added,
    blinded,
    divide,
    evaluate,
    evaluate_all,
    folded,
    multiplied,
    scaled,
)

POINT = Scalar(123_456_789)


def some_scalars(count: int, seed: int = 1) -> list[Scalar]:
    source = random.Random(seed)
    return [Scalar(source.randrange(ORDER)) for _ in range(count)]


def scalars(*values: int) -> list[Scalar]:
    return [Scalar(value) for value in values]


def test_a_polynomial_is_evaluated_from_its_lowest_coefficient_up() -> None:
    assert evaluate(scalars(7, 0, 2), Scalar(10)) == Scalar(207)
    assert evaluate([], Scalar(10)) == Scalar(0)


def test_many_points_are_evaluated_as_one_is() -> None:
    few, points = some_scalars(4), some_scalars(9, seed=2)
    assert evaluate_all(few, points) == [evaluate(few, point) for point in points]


def test_a_quotient_times_its_divisor_is_the_polynomial_without_its_value() -> None:
    polynomial = some_scalars(20)
    back = multiplied(divide(polynomial, POINT), [-POINT, Scalar(1)])
    assert added(back, [evaluate(polynomial, POINT)]) == polynomial


def test_a_blinded_polynomial_takes_the_same_values_on_the_domain_and_others_off_it() -> None:
    domain = Domain(SUITES[0])
    plain, blinders = some_scalars(domain.size), some_scalars(4, seed=2)
    shown = blinded(plain, blinders)
    assert len(shown) == domain.size + 4
    for point in domain.points[:5]:
        assert evaluate(shown, point) == evaluate(plain, point)
    vanishing = POINT.pow(Scalar(domain.size)) - Scalar(1)
    assert evaluate(shown, POINT) == evaluate(plain, POINT) + vanishing * evaluate(blinders, POINT)
    assert Blinded(plain, blinders).coefficients() == shown


def test_sums_take_the_longer_ones_length_either_way_round() -> None:
    assert added(scalars(1, 2, 3), scalars(10)) == scalars(11, 2, 3)
    assert added(scalars(10), scalars(1, 2, 3)) == scalars(11, 2, 3)


def test_products_evaluate_to_products() -> None:
    left, right = some_scalars(30), some_scalars(3, seed=2)
    assert evaluate(multiplied(left, right), POINT) == evaluate(left, POINT) * evaluate(right, POINT)
    assert multiplied(scalars(1, 2), scalars(3, 5, 7)) == scalars(3, 11, 17, 14)


def test_polynomials_of_different_lengths_fold_by_powers_of_the_challenge() -> None:
    challenge = Scalar(10)
    assert folded([scalars(1, 1), scalars(2), scalars(3, 0, 3)], challenge) == scalars(321, 1, 300)
    assert scaled(scalars(1, 2), challenge) == scalars(10, 20)
