"""One entry, one query close to it, and the statements about both; fixed, so that tests and vectors speak of the same."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from crypto.applicability.statement import ApplicabilityStatement, WellFormednessStatement
from crypto.applicability.suites import ORDER, suite_for
from crypto.applicability.verifier import Verifier, load_verifier
from crypto.similarity import inner_product, quantise_reference
from tests.applicability_prover import SlowProver
from tests.proof_examples import HIT

DIMENSION: Final = 200
SUITE: Final = suite_for(DIMENSION)
SEED: Final = bytes(range(100, 132))
OTHER_SEED: Final = bytes(range(132, 164))
#: What the statement in the examples is digested to.
EMBEDDING: Final = "sha256:" + "71" * 32


def scalars(seed: int) -> Callable[[], int]:
    """Return what draws scalars that *seed* determines."""
    source = random.Random(seed)
    return lambda: source.randrange(ORDER)


def unit_vector(dimension: int, seed: int) -> list[float]:
    """Return a vector of length one, in a direction that *seed* determines."""
    source = random.Random(seed)
    return normalised([source.uniform(-1, 1) for _ in range(dimension)])


def normalised(vector: Sequence[float]) -> list[float]:
    """Return the vector of length one in the same direction."""
    length = math.sqrt(math.fsum(part * part for part in vector))
    return [part / length for part in vector]


def pair(dimension: int, seed: int, distance: float = 0.3) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return a quantised entry and a quantised query about as far from it as *distance* says."""
    entry = unit_vector(dimension, seed)
    aside = unit_vector(dimension, seed + 1)
    query = normalised([one + distance * two for one, two in zip(entry, aside, strict=True)])
    return quantise_reference(entry), quantise_reference(query)


ENTRY, QUERY = pair(DIMENSION, 1)
OTHER_ENTRY, OTHER_QUERY = pair(DIMENSION, 5)
SCORE: Final = inner_product(ENTRY, QUERY)


def applicability_statement(
    entry: Sequence[int] = ENTRY, query: Sequence[int] = QUERY, tau: int = SCORE, seed: bytes = SEED
) -> ApplicabilityStatement:
    """Return what is proved of *entry*, in the commitment that *seed* opens."""
    suite = suite_for(len(entry))
    commitment = SlowProver(scalars(0)).commit(suite, entry, seed)
    return ApplicabilityStatement(suite, EMBEDDING, HIT.to_payload(), commitment, tuple(query), tau, len(query))


def well_formedness_statement(entry: Sequence[int] = ENTRY, seed: bytes = SEED) -> WellFormednessStatement:
    """Return what is proved once of *entry*."""
    suite = suite_for(len(entry))
    return WellFormednessStatement(suite, SlowProver(scalars(0)).commit(suite, entry, seed))


@cache
def applicability_example() -> tuple[ApplicabilityStatement, bytes]:
    """Return a statement whose threshold is the exact score, and a proof of it."""
    statement = applicability_statement()
    return statement, SlowProver(scalars(1)).prove_applicability(statement, ENTRY, SEED)


@cache
def well_formedness_example() -> tuple[WellFormednessStatement, bytes]:
    """Return the other statement about the same entry, and a proof of it."""
    statement = well_formedness_statement()
    return statement, SlowProver(scalars(2)).prove_well_formedness(statement, ENTRY, SEED)


@cache
def verifier() -> Verifier:
    """Return the fast verifier."""
    return load_verifier()
