"""What can be proved and is accepted is exactly what integer arithmetic says, for any vectors and any threshold."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.applicability.setup import load_setup
from crypto.applicability.statement import ApplicabilityStatement, WellFormednessStatement
from crypto.applicability.suites import SUITES
from crypto.errors import VerificationError
from crypto.similarity import (
    COMPONENT_MAX,
    NORM_BOUND_SQUARED,
    inner_product,
    is_matchable,
    satisfies,
    threshold_integer,
)
from server.prover.commitment import commit
from server.prover.errors import NotProvable
from server.prover.prover import Prover
from tests.applicability_examples import EMBEDDING, pair, scalars, verifier
from tests.applicability_prover import SlowProver
from tests.proof_examples import HIT

SUITE = SUITES[0]
SETUP = load_setup()
COMPONENTS = st.integers(-COMPONENT_MAX, COMPONENT_MAX)
SEEDS = st.binary(min_size=32, max_size=32)
#: Vectors of one to sixteen components, each within the bounds and not zero.
VECTORS = st.integers(1, 16).flatmap(lambda size: st.tuples(*[st.tuples(*[COMPONENTS] * size)] * 2))


class SeededRandom:
    def __init__(self, seed: int) -> None:
        self._source = random.Random(seed)

    def token_bytes(self, count: int) -> bytes:
        return self._source.randbytes(count)


@pytest.fixture(scope="module")
def prover() -> Prover:
    return Prover(SETUP)


def statement_about(entry: Sequence[int], query: Sequence[int], tau: int, seed: bytes) -> ApplicabilityStatement:
    commitment = commit(SETUP, SUITE, entry, seed)
    return ApplicabilityStatement(SUITE, EMBEDDING, HIT.to_payload(), commitment, tuple(query), tau, len(query))


@settings(max_examples=60)
@given(VECTORS, SEEDS, st.integers(-3, 3), st.integers(0, 2**32))
def test_a_hit_is_provable_exactly_where_the_lookup_decides_for_it(
    prover: Prover, vectors: tuple[tuple[int, ...], tuple[int, ...]], seed: bytes, above: int, drawn: int
) -> None:
    entry, query = vectors
    if not (is_matchable(inner_product(query, query)) and is_matchable(inner_product(entry, entry))):
        return
    tau = max(0, inner_product(entry, query) - above)
    statement, source = statement_about(entry, query, tau, seed), SeededRandom(drawn)
    if satisfies(query, entry, tau):
        verifier().verify_applicability(statement, prover.prove_applicability(statement, entry, seed, source))
        return
    with pytest.raises(NotProvable):
        prover.prove_applicability(statement, entry, seed, source)
    forged = SlowProver(scalars(drawn), honest=False).prove_applicability(statement, entry, seed)
    with pytest.raises(VerificationError):
        verifier().verify_applicability(statement, forged)


@settings(max_examples=40)
@given(st.lists(st.integers(-COMPONENT_MAX - 1, COMPONENT_MAX + 1), min_size=1, max_size=24), SEEDS)
def test_a_vector_is_well_formed_exactly_where_its_components_and_its_norm_are_within_bounds(
    prover: Prover, vector: list[int], seed: bytes
) -> None:
    within = max(map(abs, vector)) <= COMPONENT_MAX and inner_product(vector, vector) <= NORM_BOUND_SQUARED
    slow = SlowProver(scalars(len(vector)), honest=False)
    statement = WellFormednessStatement(SUITE, slow.commit(SUITE, vector, seed))
    if within:
        verifier().verify_well_formedness(statement, prover.prove_well_formedness(SUITE, vector, seed))
        return
    with pytest.raises(NotProvable):
        prover.prove_well_formedness(SUITE, vector, seed)
    with pytest.raises(VerificationError):
        verifier().verify_well_formedness(statement, slow.prove_well_formedness(statement, vector, seed))


@settings(max_examples=40)
@given(st.lists(COMPONENTS, min_size=1, max_size=256), SEEDS)
def test_both_provers_commit_alike(prover: Prover, vector: list[int], seed: bytes) -> None:
    expected = SlowProver(scalars(0)).commit(SUITE, vector, seed)
    assert prover.commit(SUITE, vector, seed) == expected == commit(SETUP, SUITE, vector, seed)


@settings(max_examples=20)
@given(st.integers(0, 2**20), st.integers(0, 9_900), st.floats(0.05, 0.6))
def test_unit_vectors_meet_a_cosine_policy_in_the_proof_as_in_the_lookup(
    prover: Prover, number: int, cosine: int, distance: float
) -> None:
    entry, query = pair(200, number, distance)
    tau = threshold_integer(cosine, inner_product(query, query))
    seed = number.to_bytes(32, "big")
    statement = statement_about(entry, query, tau, seed)
    if satisfies(query, entry, tau):
        proof = prover.prove_applicability(statement, entry, seed, SeededRandom(number))
        verifier().verify_applicability(statement, proof)
        with pytest.raises(VerificationError):
            verifier().verify_applicability(replace(statement, tau=tau + 1), proof)
    else:
        with pytest.raises(NotProvable):
            prover.prove_applicability(statement, entry, seed, SeededRandom(number))


def test_two_proofs_of_one_hit_share_nothing_that_is_drawn(prover: Prover) -> None:
    entry, query = pair(200, 3)
    statement, seed = statement_about(entry, query, 0, bytes(32)), bytes(32)
    one, two = (prover.prove_applicability(statement, entry, seed, SeededRandom(number)) for number in (1, 2))
    parts = [{proof[at : at + 32] for at in range(0, 416, 16)} for proof in (one, two)]
    assert not parts[0] & parts[1]


def test_the_well_formedness_proof_is_the_same_however_often_it_is_made() -> None:
    entry, _ = pair(200, 4)
    made = {Prover(SETUP).prove_well_formedness(SUITE, entry, bytes(32)) for _ in range(2)}
    assert len(made) == 1
