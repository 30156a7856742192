from __future__ import annotations

import random

import pytest

from crypto.errors import VerificationError
from crypto.toploc import (
    POINTS,
    PROOF_BYTES,
    Point,
    ToplocDistance,
    build_proof,
    measure_proof,
    parse_proof,
    run_lengths,
    verify_proofs,
)


def points_of(seed: int, size: int = 70_000) -> list[Point]:
    """128 activations between 2 and 4 in a run of *size*."""
    source = random.Random(seed)
    return [(index, 0x4000 | source.randrange(128)) for index in source.sample(range(size), POINTS)]


def nudged(points: list[Point], by: int) -> list[Point]:
    return [(index, (bits & ~0x7F) | min(127, (bits & 0x7F) + by)) for index, bits in points]


def test_the_same_activations_are_at_no_distance() -> None:
    points = points_of(1)
    assert measure_proof(build_proof(points), points) == ToplocDistance(0, 0, 0)


def test_a_proof_reads_back_as_it_was_written() -> None:
    proof = build_proof(points_of(2))
    assert parse_proof(proof.encode()) == proof
    assert len(proof.encode()) == PROOF_BYTES


def test_the_polynomial_goes_through_every_point() -> None:
    points = points_of(3)
    proof = build_proof(points)
    for index, bits in points:
        x = index % proof.modulus
        assert sum(value * pow(x, power, 65_497) for power, value in enumerate(proof.coefficients)) % 65_497 == bits


def test_indexes_that_collide_get_a_smaller_modulus() -> None:
    points = points_of(4, size=60_000)[:-1]
    points.append((points[0][0] + 65_497, 0x4000))
    assert build_proof(points).modulus < 65_497


def test_small_noise_is_accepted() -> None:
    points = points_of(5)
    [distance] = verify_proofs(build_proof(points).encode(), [nudged(points, 3)])
    assert distance.exponent_mismatches == 0
    assert 0 < distance.mantissa_mean <= 3


def test_noise_beyond_the_mean_is_refused() -> None:
    points = [(index, 0x4000) for index, _ in points_of(6)]
    with pytest.raises(VerificationError, match="not near"):
        verify_proofs(build_proof(points).encode(), [nudged(points, 11)])


def test_a_large_median_is_refused_though_the_mean_is_small() -> None:
    points = [(index, 0x4000) for index, _ in points_of(6)]
    moved = nudged(points[:70], 9) + points[70:]
    with pytest.raises(VerificationError, match="not near"):
        verify_proofs(build_proof(points).encode(), [moved])


@pytest.mark.parametrize(("others", "is_close"), [(90, True), (91, False)])
def test_ninety_other_exponents_are_the_limit(others: int, is_close: bool) -> None:
    points = points_of(7)
    moved = [(index, 0x4100 if at < others else bits) for at, (index, bits) in enumerate(points)]
    assert measure_proof(build_proof(points), moved).is_close() is is_close


def test_activations_of_another_run_are_refused() -> None:
    with pytest.raises(VerificationError, match="not near"):
        verify_proofs(build_proof(points_of(8)).encode(), [points_of(9)])


def test_the_null_proof_is_refused() -> None:
    with pytest.raises(VerificationError, match="null") as caught:
        verify_proofs(bytes(PROOF_BYTES), [points_of(10)])
    assert caught.value.reason == "replay_failed"


@pytest.mark.parametrize("modulus", [1, 127, 65_498, 65_535])
def test_a_modulus_that_cannot_keep_indexes_apart_is_refused(modulus: int) -> None:
    data = modulus.to_bytes(2, "big") + build_proof(points_of(11)).encode()[2:]
    with pytest.raises(VerificationError, match="no honest"):
        parse_proof(data)


def test_a_coefficient_outside_the_field_is_refused() -> None:
    data = build_proof(points_of(11)).encode()[:-2] + (65_497).to_bytes(2, "big")
    with pytest.raises(VerificationError, match="no honest"):
        parse_proof(data)


@pytest.mark.parametrize("bits", [0x7F80, 0xFF80, 0x7FC0, 0xFFFF])
def test_infinite_activations_are_refused_on_both_sides(bits: int) -> None:
    points = points_of(12)
    wrong = [*points[:-1], (points[-1][0], bits)]
    with pytest.raises(VerificationError, match="finite"):
        build_proof(wrong)
    with pytest.raises(VerificationError, match="finite"):
        measure_proof(build_proof(points), wrong)


def test_a_missing_or_an_extra_proof_is_refused() -> None:
    points = points_of(13)
    proof = build_proof(points).encode()
    for data, runs in ((proof, [points, points]), (proof * 2, [points]), (proof[:-1], [points]), (b"", [])):
        with pytest.raises(VerificationError, match="number"):
            verify_proofs(data, runs)


def test_the_prompt_is_one_run_and_the_answer_is_cut_every_32_tokens() -> None:
    assert run_lengths(7, 1) == (7,)
    assert run_lengths(7, 33) == (7, 32)
    assert run_lengths(7, 70) == (7, 32, 32, 5)
