from __future__ import annotations

import pytest
from py_arkworks_bls12381 import Scalar

from crypto.applicability.statement import WellFormednessStatement
from crypto.applicability.suites import SUITES, suite_for
from crypto.errors import VerificationError
from crypto.similarity import COMPONENT_MAX, NORM_BOUND_SQUARED
from server.prover.blinders import SeededScalars
from server.prover.errors import NotProvable
from server.prover.field import to_scalar
from server.prover.polynomials import Blinded, added, multiplied, scaled
from server.prover.prover import Prover
from server.prover.well_formedness import (
    Challenges,
    Polynomials,
    make_quotient,
    make_witness,
    running_sums,
    split_quotient,
)
from server.prover.workbench import Workbench
from tests.applicability_examples import (
    ENTRY,
    OTHER_SEED,
    SEED,
    SUITE,
    pair,
    verifier,
    well_formedness_statement,
)
from tests.applicability_prover import SlowProver

MINUS_ONE = -Scalar(1)
#: Its squares sum to the bound.
LONGEST = (127,) * 16 + (45, 3, 1, 1)


def prove(prover: Prover, vector: tuple[int, ...], seed: bytes = SEED) -> bytes:
    return prover.prove_well_formedness(suite_for(len(vector)), vector, seed)


@pytest.mark.parametrize("dimension", [1, 200, 256, 384, 768, 1536, 2048])
def test_a_proof_holds_in_every_suite(prover: Prover, dimension: int) -> None:
    entry, _ = pair(dimension, 7)
    proof = prove(prover, entry)
    assert len(proof) == 576
    verifier().verify_well_formedness(well_formedness_statement(entry), proof)


def test_a_proof_is_byte_for_byte_the_slow_provers_of_the_same_scalars(prover: Prover) -> None:
    padded = (*ENTRY, *[0] * (SUITE.size - len(ENTRY)))
    drawn = iter(SeededScalars(SUITE, padded, SEED).take(11))
    slow = SlowProver(lambda: int(next(drawn)))
    assert prove(prover, ENTRY) == slow.prove_well_formedness(well_formedness_statement(), ENTRY, SEED)


def test_making_a_proof_again_gives_the_same_bytes(prover: Prover) -> None:
    assert prove(prover, ENTRY) == prove(prover, ENTRY)


def test_zeros_at_the_end_do_not_make_a_second_proof_of_one_commitment(prover: Prover) -> None:
    assert prove(prover, ENTRY) == prove(prover, (*ENTRY, 0, 0))


def test_another_seed_is_another_proof(prover: Prover) -> None:
    one, other = prove(prover, ENTRY), prove(prover, ENTRY, OTHER_SEED)
    assert not {one[at : at + 48] for at in range(0, 384, 48)} & {other[at : at + 48] for at in range(0, 384, 48)}


def test_a_proof_does_not_hold_for_another_commitment(prover: Prover) -> None:
    with pytest.raises(VerificationError):
        verifier().verify_well_formedness(well_formedness_statement(seed=OTHER_SEED), prove(prover, ENTRY))


@pytest.mark.parametrize(
    "vector",
    [
        (0,) * 200,
        tuple(range(-50, 50)),
        (127,) * 8 + (-127,) * 8,
        (-127, *[0] * 254, 127),
        LONGEST,
    ],
    ids=["zero", "all different", "extremes", "both ends", "at the bound"],
)
def test_extreme_vectors_within_the_bounds_are_provable(prover: Prover, vector: tuple[int, ...]) -> None:
    verifier().verify_well_formedness(well_formedness_statement(vector), prove(prover, vector))


def test_the_norms_bound_is_met_exactly_and_not_exceeded(prover: Prover) -> None:
    assert sum(part * part for part in LONGEST) == NORM_BOUND_SQUARED
    with pytest.raises(NotProvable, match="sum to more"):
        prove(prover, (*LONGEST, 1))


@pytest.mark.parametrize("part", [128, -128])
def test_a_component_beyond_the_table_is_not_provable(prover: Prover, part: int) -> None:
    with pytest.raises(NotProvable, match="127"):
        prove(prover, (*ENTRY[:100], part))


def test_a_seed_of_another_length_proves_nothing(prover: Prover) -> None:
    with pytest.raises(NotProvable, match="seed"):
        prove(prover, ENTRY, b"short")


def test_a_vector_is_not_proved_in_another_suite_than_its_own(prover: Prover) -> None:
    with pytest.raises(NotProvable, match="not committed to"):
        prover.prove_well_formedness(SUITES[1], ENTRY, SEED)


def test_the_commitment_in_the_statement_is_the_provers_own(prover: Prover) -> None:
    statement = WellFormednessStatement(SUITE, prover.commit(SUITE, ENTRY, SEED))
    verifier().verify_well_formedness(statement, prove(prover, ENTRY))


def test_the_quotient_times_z_is_the_constraint_exactly(bench: Workbench) -> None:
    witness = make_witness(bench, ENTRY)
    challenges = Challenges(Scalar(11**70), Scalar(13**60), Scalar(17**50))
    gamma, alpha, delta = challenges.gamma, challenges.alpha, challenges.delta
    inverses = {part: (gamma + to_scalar(part)).inverse() for part in range(-COMPONENT_MAX, COMPONENT_MAX + 1)}
    source = SeededScalars(SUITE, ENTRY, SEED)
    rows = [
        *(bench.coefficients(row) for row in (witness.e, witness.b, witness.m)),
        bench.domain.to_coefficients([inverses[part] for part in witness.e]),
        bench.domain.to_coefficients(running_sums(witness, inverses, alpha)),
    ]
    polynomials = Polynomials(*(Blinded(row, source.take(4 if number == 4 else 2)) for number, row in enumerate(rows)))
    parts = (polynomials.e, polynomials.b, polynomials.m, polynomials.h, polynomials.z)
    e, b, m, h, z = (part.coefficients() for part in parts)
    turn = Scalar(bench.suite.generator)
    norm = added(multiplied(e, e), multiplied(b, bench.weights.coefficients))
    norm = added(norm, scaled(bench.first.coefficients, -Scalar(NORM_BOUND_SQUARED)))
    step = added([coefficient * turn.pow(Scalar(place)) for place, coefficient in enumerate(z)], scaled(z, MINUS_ONE))
    step = added(added(step, scaled(h, MINUS_ONE)), scaled(norm, -alpha))
    constraint = added(multiplied(step, added(bench.table.coefficients, [gamma])), m)
    constraint = added(constraint, scaled(added(multiplied(h, added(e, [gamma])), [MINUS_ONE]), delta))
    constraint = added(constraint, scaled(added(multiplied(b, b), scaled(b, MINUS_ONE)), delta * delta))
    quotient = make_quotient(bench, polynomials, challenges)
    assert trimmed(added([*[Scalar(0)] * bench.size, *quotient], scaled(quotient, MINUS_ONE))) == trimmed(constraint)


def test_both_parts_of_the_quotient_are_blinded_and_short_enough_for_the_ceremony() -> None:
    quotient = [Scalar(place + 1) for place in range(2 * 8 + 2)]
    low, high = split_quotient(quotient, 8, Scalar(1000))
    assert [*map(int, low)] == [1, 2, 3, 4, 5, 6, 7, 8, 1000]
    assert high[0] == Scalar(9) - Scalar(1000)
    assert len(low) < 8 + 4 and len(high) < 8 + 4
    assert trimmed(added(low, [*[Scalar(0)] * 8, *high])) == trimmed(quotient)


def trimmed(polynomial: list[Scalar]) -> list[int]:
    values = [int(coefficient) for coefficient in polynomial]
    while values and values[-1] == 0:
        values.pop()
    return values
