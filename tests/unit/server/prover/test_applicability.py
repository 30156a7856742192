from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from py_arkworks_bls12381 import Scalar

from crypto.applicability.encoding import ApplicabilityProof
from crypto.applicability.statement import ApplicabilityStatement
from crypto.applicability.suites import SUITES
from crypto.errors import VerificationError
from crypto.similarity import NORM_BOUND_SQUARED, inner_product
from server.clock import SystemRandom
from server.prover.applicability import Polynomials, make_quotient, make_witness, prove_applicability
from server.prover.errors import NotProvable
from server.prover.field import to_scalar
from server.prover.polynomials import Blinded, added, multiplied, scaled
from server.prover.prover import Prover
from server.prover.workbench import Workbench
from tests.applicability_examples import (
    ENTRY,
    OTHER_ENTRY,
    OTHER_SEED,
    QUERY,
    SCORE,
    SEED,
    applicability_example,
    applicability_statement,
    pair,
    scalars,
    verifier,
)
from tests.applicability_prover import SlowProver


class DrawnScalars:
    """The scalars that the slow prover draws."""

    def __init__(self, draw: Callable[[], int]) -> None:
        self._draw = draw

    def take(self, count: int) -> list[Scalar]:
        return [Scalar(self._draw()) for _ in range(count)]


def prove(prover: Prover, statement: ApplicabilityStatement) -> bytes:
    return prover.prove_applicability(statement, ENTRY, SEED, SystemRandom())


def test_a_proof_is_byte_for_byte_the_slow_provers_of_the_same_scalars(bench: Workbench) -> None:
    statement, expected = applicability_example()
    assert prove_applicability(bench, statement, ENTRY, SEED, DrawnScalars(scalars(1))) == expected


@pytest.mark.parametrize("dimension", [1, 18, 255, 256, 384, 768, 1536, 2048])
def test_a_proof_holds_in_every_suite(prover: Prover, dimension: int) -> None:
    entry, query = pair(dimension, 7)
    statement = applicability_statement(entry, query, max(0, inner_product(entry, query) - 1000))
    verifier().verify_applicability(statement, prover.prove_applicability(statement, entry, SEED, SystemRandom()))


@pytest.mark.parametrize("tau", [0, 1, SCORE - 1, SCORE])
def test_every_threshold_up_to_the_score_is_provable(prover: Prover, tau: int) -> None:
    statement = applicability_statement(tau=tau)
    proof = prove(prover, statement)
    assert len(proof) == 416
    verifier().verify_applicability(statement, proof)


def test_a_threshold_above_the_score_is_not_provable(prover: Prover) -> None:
    with pytest.raises(NotProvable, match="below τ"):
        prove(prover, applicability_statement(tau=SCORE + 1))


def test_the_largest_score_within_the_bounds_is_provable_at_threshold_zero(prover: Prover) -> None:
    entry = (127,) * 16 + (45, 3, 1, 1) + (0,) * 180
    assert inner_product(entry, entry) == NORM_BOUND_SQUARED
    statement = applicability_statement(entry, entry, 0)
    verifier().verify_applicability(statement, prover.prove_applicability(statement, entry, SEED, SystemRandom()))


def test_two_proofs_of_one_statement_have_no_point_and_no_value_in_common(prover: Prover) -> None:
    statement = applicability_statement()
    one, other = (ApplicabilityProof.parse(prove(prover, statement)) for _ in range(2))
    for name in one.__slots__:
        assert getattr(one, name) != getattr(other, name), name


def test_a_proof_does_not_hold_for_another_threshold(prover: Prover) -> None:
    proof = prove(prover, applicability_statement(tau=SCORE - 1))
    with pytest.raises(VerificationError):
        verifier().verify_applicability(applicability_statement(tau=SCORE), proof)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": (*QUERY[:-1], 128)}, "component of the query"),
        ({"query": (0,) * len(QUERY)}, "zero or longer"),
        ({"query": QUERY[:-1]}, "query has 199"),
        ({"dimension": 199, "query": QUERY[:-1]}, "another suite or dimension"),
        ({"dimension": 300, "query": (*QUERY, *[0] * 100)}, "suite does not fit"),
        ({"suite": SUITES[1]}, "suite does not fit"),
        ({"tau": -1}, "τ does not lie"),
        ({"tau": 260_101}, "τ does not lie"),
        ({"commitment": bytes(47)}, "commitment has 48"),
        ({"commitment": applicability_statement(seed=OTHER_SEED).commitment}, "not to this vector"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_statement_that_a_verifier_would_refuse_is_not_proved(
    bench: Workbench, change: dict[str, object], message: str
) -> None:
    statement = replace(applicability_statement(), **change)
    with pytest.raises(NotProvable, match=message):
        prove_applicability(bench, statement, ENTRY, SEED, DrawnScalars(scalars(1)))


@pytest.mark.parametrize(("vector", "seed"), [(OTHER_ENTRY, SEED), (ENTRY, OTHER_SEED)], ids=["vector", "seed"])
def test_nothing_is_proved_of_a_vector_or_seed_that_is_not_the_commitments(
    prover: Prover, vector: tuple[int, ...], seed: bytes
) -> None:
    with pytest.raises(NotProvable, match="not to this vector"):
        prover.prove_applicability(applicability_statement(tau=0), vector, seed, SystemRandom())


@pytest.mark.parametrize("seed", [b"", SEED + b"\0"])
def test_a_seed_of_another_length_proves_nothing(prover: Prover, seed: bytes) -> None:
    with pytest.raises(NotProvable, match="seed"):
        prover.prove_applicability(applicability_statement(), ENTRY, seed, SystemRandom())


def test_a_vector_so_long_that_its_slack_does_not_fit_proves_nothing(prover: Prover) -> None:
    entry = (127,) * 200
    query = (35,) * 200
    statement = applicability_statement(entry, query, 0)
    with pytest.raises(NotProvable, match="two vectors within the bound"):
        prover.prove_applicability(statement, entry, SEED, SystemRandom())


def test_the_quotient_times_z_is_the_constraint_exactly(bench: Workbench) -> None:
    statement = applicability_statement()
    witness = make_witness(bench, statement, ENTRY, SEED)
    source, alpha, tau = DrawnScalars(scalars(9)), Scalar(987_654_321), to_scalar(statement.tau)
    polynomials = Polynomials(
        Blinded(bench.coefficients(witness.e), source.take(2)),
        bench.coefficients(witness.q),
        Blinded(bench.coefficients(witness.b), source.take(2)),
        Blinded(bench.coefficients(witness.z), source.take(4)),
    )
    e, b, z = (part.coefficients() for part in (polynomials.e, polynomials.b, polynomials.z))
    turn = Scalar(bench.suite.generator)
    constraint = added(
        [coefficient * turn.pow(Scalar(place)) for place, coefficient in enumerate(z)], scaled(z, -Scalar(1))
    )
    constraint = added(constraint, scaled(multiplied(e, polynomials.q), -Scalar(1)))
    constraint = added(constraint, multiplied(b, bench.weights.coefficients))
    constraint = added(constraint, scaled(bench.first.coefficients, tau))
    constraint = added(constraint, scaled(added(multiplied(b, b), scaled(b, -Scalar(1))), alpha))
    quotient = make_quotient(bench, polynomials, statement.tau, alpha)
    assert len(quotient) < bench.size + 4
    assert trimmed(added([*[Scalar(0)] * bench.size, *quotient], scaled(quotient, -Scalar(1)))) == trimmed(constraint)


def test_the_slow_prover_agrees_in_a_larger_suite(prover: Prover) -> None:
    entry, query = pair(384, 11)
    statement = applicability_statement(entry, query, inner_product(entry, query))

    class Drawn:
        def __init__(self) -> None:
            self._draw = scalars(21)

        def token_bytes(self, count: int) -> bytes:
            return self._draw().to_bytes(count, "big")

    expected = SlowProver(scalars(21)).prove_applicability(statement, entry, SEED)
    assert prover.prove_applicability(statement, entry, SEED, Drawn()) == expected


def trimmed(polynomial: list[Scalar]) -> list[int]:
    values = [int(coefficient) for coefficient in polynomial]
    while values and values[-1] == 0:
        values.pop()
    return values
