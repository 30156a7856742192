from __future__ import annotations

import pytest
from py_arkworks_bls12381 import G1Point, Scalar

from crypto.applicability.setup import Setup
from server.prover.basis import Powers, blinding_points, combine


def test_powers_are_the_ceremonys_and_begin_with_the_generator(setup: Setup) -> None:
    powers = Powers(setup)
    assert powers.first(1) == [G1Point()]
    assert [point.to_compressed_bytes() for point in powers.first(300)] == list(setup.powers[:300])
    assert powers.first(2) == powers.first(300)[:2]


def test_more_powers_than_the_ceremony_made_are_refused(setup: Setup) -> None:
    powers = Powers(setup)
    assert len(powers.first(4096)) == 4096
    with pytest.raises(IndexError, match="4096"):
        powers.first(4097)


def test_a_combination_is_the_sum_of_the_multiples() -> None:
    base = G1Point()
    points, scalars = [base, base + base, -base], [Scalar(5), Scalar(7), Scalar(2)]
    assert combine(points, scalars) == base * Scalar(17)


@pytest.mark.parametrize(("points", "scalars"), [(2, 1), (1, 2), (1, 0)])
def test_unequal_numbers_of_points_and_scalars_are_refused(points: int, scalars: int) -> None:
    with pytest.raises(ValueError, match="points and"):
        combine([G1Point()] * points, [Scalar(1)] * scalars)


def test_blinding_points_are_z_times_powers(setup: Setup) -> None:
    powers = Powers(setup)
    points = powers.first(260)
    assert blinding_points(powers, 256, 4) == [points[256 + place] - points[place] for place in range(4)]
