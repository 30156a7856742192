from __future__ import annotations

import random

import pytest
from py_arkworks_bls12381 import G1Point, Scalar

from crypto.applicability.suites import ORDER, SUITES, Suite
from server.prover.field import Coset, Domain, powers_of, to_scalar
from server.prover.polynomials import evaluate

SUITE = SUITES[0]
DOMAIN = Domain(SUITE)


def some_scalars(count: int, seed: int = 1) -> list[Scalar]:
    source = random.Random(seed)
    return [Scalar(source.randrange(ORDER)) for _ in range(count)]


@pytest.mark.parametrize(
    "value", [0, 1, -1, 127, -127, ORDER - 1, ORDER, ORDER + 1, -ORDER, 1 - ORDER, -5 * ORDER - 2, 2**512]
)
def test_any_integer_becomes_its_residue(value: int) -> None:
    assert int(to_scalar(value)) == value % ORDER


def test_powers_begin_with_one() -> None:
    assert [int(power) for power in powers_of(Scalar(3), 5)] == [1, 3, 9, 27, 81]


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: str(suite.size))
def test_the_domain_is_the_powers_of_the_generator(suite: Suite) -> None:
    points = [int(point) for point in Domain(suite).points]
    assert points[:3] == [1, suite.generator, pow(suite.generator, 2, ORDER)]
    assert len(set(points)) == suite.size
    assert points[-1] * suite.generator % ORDER == 1


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: str(suite.size))
def test_values_on_the_domain_are_evaluations(suite: Suite) -> None:
    domain, coefficients = Domain(suite), some_scalars(suite.size)
    values = domain.to_values(coefficients)
    for place in (0, 1, 2, suite.size // 2, suite.size - 1):
        assert values[place] == evaluate(coefficients, domain.points[place])


def test_coefficients_and_values_lead_back_to_each_other() -> None:
    row = some_scalars(SUITE.size)
    assert DOMAIN.to_coefficients(DOMAIN.to_values(row)) == row
    assert DOMAIN.to_values(DOMAIN.to_coefficients(row)) == row


def test_points_of_the_curve_are_transformed_as_scalars_are() -> None:
    row = some_scalars(SUITE.size)
    points = DOMAIN.to_coefficients([G1Point() * scalar for scalar in row])
    assert points == [G1Point() * scalar for scalar in DOMAIN.to_coefficients(row)]


@pytest.mark.parametrize("doublings", [1, 2])
def test_values_on_a_coset_are_evaluations_at_its_points(doublings: int) -> None:
    coset, coefficients = Coset(DOMAIN, doublings), some_scalars(SUITE.size)
    values = coset.to_values(coefficients)
    for place in (0, 1, SUITE.size - 1):
        assert values[place] == evaluate(coefficients, coset.points[place])
    assert coset.to_coefficients(values) == coefficients


@pytest.mark.parametrize("doublings", [1, 2])
def test_z_is_one_number_all_over_a_coset(doublings: int) -> None:
    coset = Coset(DOMAIN, doublings)
    powers = {int(point.pow(Scalar(SUITE.size))) for point in coset.points}
    assert powers == {int(coset.power)}
    assert int(coset.vanishing) == (int(coset.power) - 1) % ORDER != 0


def test_two_cosets_have_different_powers() -> None:
    assert int(Coset(DOMAIN, 1).power) == ORDER - 1
    assert pow(int(Coset(DOMAIN, 2).power), 2, ORDER) == ORDER - 1
