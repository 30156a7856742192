from __future__ import annotations

import random

import pytest

from crypto.applicability.statement import ApplicabilityStatement, WellFormednessStatement
from crypto.applicability.suites import suite_for
from crypto.similarity import COMPONENT_MAX, NORM_BOUND_SQUARED, inner_product
from server.clock import SystemRandom
from server.prover.errors import NotProvable
from server.prover.prover import Prover
from tests.applicability_examples import EMBEDDING, verifier


def some_vector(source: random.Random, dimension: int) -> tuple[int, ...]:
    """Return a vector within the bounds: dense or sparse, of small components or of the largest."""
    most, share = source.choice([1, 20, COMPONENT_MAX]), source.choice([0.05, 0.5, 1.0])
    vector, norm = [0] * dimension, 0
    for place in source.sample(range(dimension), max(1, int(share * dimension))):
        part = source.randint(-most, most)
        if norm + part * part <= NORM_BOUND_SQUARED:
            vector[place], norm = part, norm + part * part
    vector[0] = vector[0] or 1
    return tuple(vector) if sum(part * part for part in vector) <= NORM_BOUND_SQUARED else (1,) * dimension


@pytest.mark.campaign
def test_what_holds_is_proved_and_what_does_not_is_not_whatever_the_vectors(prover: Prover, campaign: bool) -> None:
    source = random.Random(20_261_124)
    for _ in range(1_500 if campaign else 8):
        dimension = source.randint(1, 512 if campaign else 256)
        entry, query = some_vector(source, dimension), some_vector(source, dimension)
        if inner_product(entry, query) < 0:
            query = tuple(-part for part in query)
        score, seed, suite = inner_product(entry, query), source.randbytes(32), suite_for(dimension)
        tau = source.choice([0, score, source.randint(0, score)])
        commitment = prover.commit(suite, entry, seed)
        statement = ApplicabilityStatement(suite, EMBEDDING, source.randbytes(9), commitment, query, tau, dimension)
        proof = prover.prove_applicability(statement, entry, seed, SystemRandom())
        form = prover.prove_well_formedness(suite, entry, seed)
        verifier().verify_applicability(statement, proof)
        verifier().verify_well_formedness(WellFormednessStatement(suite, commitment), form)
        above = ApplicabilityStatement(suite, EMBEDDING, b"", commitment, query, score + 1, dimension)
        with pytest.raises(NotProvable):
            prover.prove_applicability(above, entry, seed, SystemRandom())
