"""Both implementations say the same of proofs of closeness that are right, and of wrong ones that only the pairing tells."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import pytest
from py_arkworks_bls12381 import G1Point

from crypto.applicability.encoding import POINT_BYTES, SCALAR_BYTES
from crypto.applicability.setup import load_setup
from crypto.applicability.statement import ApplicabilityStatement, WellFormednessStatement
from crypto.applicability.suites import ORDER, Suite, suite_for
from crypto.applicability.verifier import load_verifier
from crypto.errors import VerificationError
from crypto.reference.applicability import (
    Closeness,
    Commitment,
    Equation,
    find_invalid,
    form_equation,
    hit_equation,
)
from crypto.reference.ceremony import load_ceremony
from crypto.reference.errors import NotInForm
from crypto.reference.pairing import SlowCurve
from server.prover.prover import Prover
from tests.applicability_prover import SlowProver

SEED = 20
Statement: TypeAlias = ApplicabilityStatement | WellFormednessStatement
#: Dimensions of all four suites, the small ones more often: a proof of 2,048 takes long to make.
DIMENSIONS = (20, 256, 257, 384, 384, 384, 512, 768, 1_536)
#: The flag of the larger y, in the first byte of an encoding.
LARGER = 0x20
POINTS = {416: 6, 576: 8}


class Remembering(SlowCurve):
    """The slow curve, which reads every point once: the proofs of a test have most of theirs in common."""

    read_g1 = functools.cache(SlowCurve.read_g1)
    read_g2 = functools.cache(SlowCurve.read_g2)


CURVE = Remembering()


@dataclass(frozen=True, slots=True)
class Source:
    """Randomness that a seed gives."""

    random: random.Random

    def token_bytes(self, count: int) -> bytes:
        """Return *count* bytes."""
        return self.random.randbytes(count)


@dataclass(frozen=True, slots=True)
class Case:
    """A proof, what it claims to show, and the dimension of the vector."""

    statement: Statement
    proof: bytes
    dimension: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A committed vector."""

    suite: Suite
    vector: tuple[int, ...]
    seed: bytes
    commitment: bytes


# Making proofs


def unit(source: random.Random, dimension: int) -> tuple[int, ...]:
    """A direction at random as a quantised vector, within the bound."""
    numbers = [source.gauss(0, 1) for _ in range(dimension)]
    length = sum(number * number for number in numbers) ** 0.5
    return tuple(max(-127, min(127, int(500 * number / length))) for number in numbers)


def near(source: random.Random, vector: Sequence[int]) -> tuple[int, ...]:
    """A vector that differs from another by at most 1 towards zero, in some of its components."""
    return tuple(x - (x > 0) + (x < 0) if source.random() < 0.3 else x for x in vector)


def product(left: Sequence[int], right: Sequence[int]) -> int:
    return sum(x * y for x, y in zip(left, right, strict=True))


@functools.cache
def prover() -> Prover:
    return Prover(load_setup())


def make_entry(source: random.Random, dimension: int) -> Entry:
    suite, vector, seed = suite_for(dimension), unit(source, dimension), source.randbytes(32)
    return Entry(suite, vector, seed, prover().commit(suite, vector, seed))


def make_statement(source: random.Random, entry: Entry, beyond: int = 0) -> ApplicabilityStatement:
    """What an honest hit says of an entry: a threshold that is at most what was reached; *beyond* is added to that."""
    query = near(source, entry.vector)
    tau = product(query, entry.vector) - source.choice((0, 0, 1, 2, 17, 9_000)) + beyond
    embedding = "sha256:" + source.randbytes(32).hex()
    record = b'{"hit":"hit_%b"}' % source.randbytes(16).hex().encode()
    dimension = len(entry.vector)
    return ApplicabilityStatement(entry.suite, embedding, record, entry.commitment, query, max(0, tau), dimension)


def make_hit(source: random.Random, entry: Entry) -> Case:
    statement = make_statement(source, entry)
    proof = prover().prove_applicability(statement, entry.vector, entry.seed, Source(source))
    return Case(statement, proof, statement.dimension)


def make_form(entry: Entry) -> Case:
    proof = prover().prove_well_formedness(entry.suite, entry.vector, entry.seed)
    return Case(WellFormednessStatement(entry.suite, entry.commitment), proof, len(entry.vector))


def make_honest(source: random.Random, count: int) -> list[Case]:
    """So many proofs about a tenth as many entries, two of each of them of its form."""
    made: list[Case] = []
    while len(made) < count:
        entry = make_entry(source, source.choice(DIMENSIONS))
        made.append(make_form(entry))
        made += [make_hit(source, entry) for _ in range(9)]
    return made[:count]


# Breaking them, so that nothing but the pairing can tell


def with_field(proof: bytes, place: int, value: bytes) -> bytes:
    """The proof with another point or scalar in a place."""
    points = POINTS[len(proof)]
    size = POINT_BYTES if place < points else SCALAR_BYTES
    at = place * POINT_BYTES if place < points else points * POINT_BYTES + (place - points) * SCALAR_BYTES
    return proof[:at] + value + proof[at + size :]


def field_of(proof: bytes, place: int) -> bytes:
    points = POINTS[len(proof)]
    if place < points:
        return proof[place * POINT_BYTES : (place + 1) * POINT_BYTES]
    at = points * POINT_BYTES + (place - points) * SCALAR_BYTES
    return proof[at : at + SCALAR_BYTES]


def point_place(source: random.Random, case: Case) -> int:
    return source.randrange(POINTS[len(case.proof)])


def negate_a_point(source: random.Random, case: Case, other: Case) -> Case:
    place = point_place(source, case)
    old = field_of(case.proof, place)
    return replace(case, proof=with_field(case.proof, place, bytes([old[0] ^ LARGER]) + old[1:]))


def take_a_point_of_another(source: random.Random, case: Case, other: Case) -> Case:
    new = field_of(other.proof, point_place(source, other))
    return replace(case, proof=with_field(case.proof, point_place(source, case), new))


def put_the_generator(source: random.Random, case: Case, other: Case) -> Case:
    return replace(case, proof=with_field(case.proof, point_place(source, case), load_setup().powers[0]))


def exchange_two_points(source: random.Random, case: Case, other: Case) -> Case:
    left, right = source.sample(range(POINTS[len(case.proof)]), 2)
    changed = with_field(case.proof, left, field_of(case.proof, right))
    return replace(case, proof=with_field(changed, right, field_of(case.proof, left)))


def scalar_place(source: random.Random, case: Case) -> int:
    points = POINTS[len(case.proof)]
    return points + source.randrange((len(case.proof) - points * POINT_BYTES) // SCALAR_BYTES)


def raise_a_scalar(source: random.Random, case: Case, other: Case) -> Case:
    place = scalar_place(source, case)
    number = (int.from_bytes(field_of(case.proof, place), "big") + source.choice((1, ORDER - 1))) % ORDER
    return replace(case, proof=with_field(case.proof, place, number.to_bytes(SCALAR_BYTES, "big")))


def draw_a_scalar(source: random.Random, case: Case, other: Case) -> Case:
    number = source.choice((0, 1, ORDER - 1, source.randrange(ORDER)))
    return replace(case, proof=with_field(case.proof, scalar_place(source, case), number.to_bytes(SCALAR_BYTES, "big")))


def give_another_commitment(source: random.Random, case: Case, other: Case) -> Case:
    new = field_of(other.proof, 0)
    return replace(case, statement=replace(case.statement, commitment=new))


def state_something_else(source: random.Random, case: Case, other: Case) -> Case:
    """Change what a hit says; of the form of a vector nothing is said but the commitment."""
    statement = case.statement
    if isinstance(statement, WellFormednessStatement):
        return give_another_commitment(source, case, other)
    query = list(statement.query)
    place = source.randrange(len(query))
    query[place] -= 1 if query[place] > 0 else -1
    change = source.choice(
        (
            {"tau": statement.tau - 1 if statement.tau else 1},
            {"tau": statement.tau + 1},
            {"embedding": "sha256:" + source.randbytes(32).hex()},
            {"record": statement.record + b" "},
            {"query": tuple(query)},
        )
    )
    return replace(case, statement=replace(statement, **change))


BREAKS: tuple[Callable[[random.Random, Case, Case], Case], ...] = (
    negate_a_point,
    take_a_point_of_another,
    put_the_generator,
    exchange_two_points,
    raise_a_scalar,
    draw_a_scalar,
    give_another_commitment,
    state_something_else,
)


def broken(source: random.Random, honest: Sequence[Case]) -> Iterator[tuple[str, Case]]:
    """Proofs of *honest* in each of which something is wrong, one kind of fault after the other."""
    while True:
        for fault in BREAKS:
            case, other = source.sample(honest, 2)
            made = fault(source, case, other)
            if made != case:
                yield fault.__name__, made


# Asking


def first_accepts(case: Case) -> bool:
    verifier = load_first()
    try:
        if isinstance(case.statement, WellFormednessStatement):
            verifier.verify_well_formedness(case.statement, case.proof)
        else:
            verifier.verify_applicability(case.statement, case.proof)
    except VerificationError:
        return False
    return True


load_first = functools.cache(load_verifier)


def equation(case: Case) -> Equation:
    statement = case.statement
    commitment = Commitment(statement.suite.name, statement.commitment, case.dimension)
    if isinstance(statement, WellFormednessStatement):
        return form_equation(commitment, case.proof)
    said = Closeness(commitment, statement.embedding, statement.record, statement.query, statement.tau)
    return hit_equation(said, case.proof)


def second_refuses(cases: Sequence[Case]) -> frozenset[int]:
    return find_invalid([equation(case) for case in cases], CURVE, load_ceremony())


def first_refuses(cases: Sequence[Case]) -> frozenset[int]:
    verifier = load_first()
    claims = [
        verifier.claim_well_formedness(case.statement, case.proof)
        if isinstance(case.statement, WellFormednessStatement)
        else verifier.claim_applicability(case.statement, case.proof)
        for case in cases
    ]
    return verifier.find_invalid(claims)


@pytest.fixture(scope="module")
def honest(request: pytest.FixtureRequest) -> list[Case]:
    is_long = request.config.getoption("--campaign")
    return make_honest(random.Random(SEED), 5_000 if is_long else 100)


@pytest.mark.campaign
def test_both_accept_every_honest_proof(honest: list[Case]) -> None:
    assert all(first_accepts(case) for case in honest)
    assert first_refuses(honest) == frozenset()
    for begin in range(0, len(honest), 250):
        assert second_refuses(honest[begin : begin + 250]) == frozenset()


@pytest.mark.campaign
def test_both_refuse_every_proof_that_only_the_pairing_tells_from_a_right_one(
    honest: list[Case], campaign: bool
) -> None:
    tried = broken(random.Random(SEED + 1), honest)
    for _ in range(5_000 if campaign else 100):
        fault, case = next(tried)
        said = first_accepts(case), second_refuses([case]) == frozenset()
        assert said == (False, False), (fault, case)


def test_both_name_the_bad_ones_among_many_and_no_other(honest: list[Case]) -> None:
    tried = broken(random.Random(SEED + 2), honest)
    cases = honest[:16]
    bad = frozenset({0, 13, 14})
    for place in bad:
        cases[place] = next(tried)[1]
    assert (first_refuses(cases), second_refuses(cases)) == (bad, bad)


def test_both_refuse_two_proofs_whose_faults_would_cancel_out_if_they_weighed_alike(honest: list[Case]) -> None:
    """W1 is the last point but one that a prover sends, so what is added to it in one copy can be taken off another."""
    case, place = honest[1], 4
    w1 = G1Point.from_compressed_bytes(field_of(case.proof, place))
    pair = [
        replace(case, proof=with_field(case.proof, place, bytes(point.to_compressed_bytes())))
        for point in (w1 + G1Point(), w1 - G1Point())
    ]
    assert (first_refuses(pair), second_refuses(pair)) == (frozenset({0, 1}), frozenset({0, 1}))


# What a prover without scruples would send

LIES: Mapping[str, Callable[[random.Random], Case]] = {
    "a threshold that was missed by one": lambda source: lie_about_a_hit(source, 1),
    "a threshold that was missed by far": lambda source: lie_about_a_hit(source, 1_000),
    "a component of 128": lambda source: lie_about_a_vector(source, (128, *[0] * 19)),
    "a component of -128": lambda source: lie_about_a_vector(source, (0, -128, *[0] * 18)),
    "a vector beyond the bound": lambda source: lie_about_a_vector(source, (127,) * 20),
}


def liar(source: random.Random) -> SlowProver:
    return SlowProver(lambda: source.randrange(ORDER), honest=False)


def lie_about_a_hit(source: random.Random, missed_by: int) -> Case:
    entry = make_entry(source, 20)
    query = near(source, entry.vector)
    tau = product(query, entry.vector) + missed_by
    statement = replace(make_statement(source, entry), query=query, tau=tau)
    return Case(statement, liar(source).prove_applicability(statement, entry.vector, entry.seed), 20)


def lie_about_a_vector(source: random.Random, vector: tuple[int, ...]) -> Case:
    suite, seed = suite_for(20), source.randbytes(32)
    statement = WellFormednessStatement(suite, liar(source).commit(suite, vector, seed))
    return Case(statement, liar(source).prove_well_formedness(statement, vector, seed), 20)


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_both_refuse_what_a_prover_makes_up(lie: Callable[[random.Random], Case]) -> None:
    case = lie(random.Random(SEED + 3))
    assert (first_accepts(case), second_refuses([case])) == (False, frozenset({0}))


def test_the_slow_prover_of_the_tests_is_believed_by_both_where_it_says_the_truth() -> None:
    source = random.Random(SEED + 4)
    entry = make_entry(source, 20)
    statement = make_statement(source, entry)
    honest_one = SlowProver(lambda: source.randrange(ORDER))
    case = Case(statement, honest_one.prove_applicability(statement, entry.vector, entry.seed), 20)
    assert (first_accepts(case), second_refuses([case])) == (True, frozenset())


# What is refused before any pairing


def truncated(case: Case) -> Case:
    return replace(case, proof=case.proof[:-1])


def lengthened(case: Case) -> Case:
    return replace(case, proof=case.proof + b"\x00")


def scalar_of_the_order(case: Case) -> Case:
    place = POINTS[len(case.proof)]
    return replace(case, proof=with_field(case.proof, place, ORDER.to_bytes(SCALAR_BYTES, "big")))


def scalar_above_the_order(case: Case) -> Case:
    place = POINTS[len(case.proof)] + 1
    number = int.from_bytes(field_of(case.proof, place), "big") + ORDER
    return replace(case, proof=with_field(case.proof, place, (number % 2**256).to_bytes(SCALAR_BYTES, "big")))


def identity(case: Case) -> Case:
    return replace(case, proof=with_field(case.proof, 0, b"\xc0" + bytes(47)))


def identity_in_another_form(case: Case) -> Case:
    return replace(case, proof=with_field(case.proof, 0, b"\xc0" + bytes(46) + b"\x01"))


def point_of_order_three(case: Case) -> Case:
    return replace(case, proof=with_field(case.proof, 1, b"\x80" + bytes(47)))


def commitment_that_is_no_point(case: Case) -> Case:
    return replace(case, statement=replace(case.statement, commitment=bytes(48)))


def suite_of_another_dimension(case: Case) -> Case:
    return replace(case, statement=replace(case.statement, suite=suite_for(2_048)))


ILL_FORMED = (
    truncated, lengthened, scalar_of_the_order, scalar_above_the_order, identity, identity_in_another_form,
    point_of_order_three, commitment_that_is_no_point, suite_of_another_dimension,
)  # fmt: skip


def second_accepts(case: Case) -> bool:
    try:
        return not second_refuses([case])
    except NotInForm:
        return False


@pytest.mark.parametrize("change", ILL_FORMED, ids=lambda change: change.__name__)
@pytest.mark.parametrize("place", [0, 1], ids=["well-formedness", "applicability"])
def test_both_refuse_what_is_out_of_form(honest: list[Case], change: Callable[[Case], Case], place: int) -> None:
    case = change(honest[place])
    assert (first_accepts(case), second_accepts(case)) == (False, False)


QUERIES: Mapping[str, Callable[[tuple[int, ...]], tuple[int, ...]]] = {
    "shorter": lambda query: query[:-1],
    "longer": lambda query: (*query, 0),
    "zero": lambda query: (0,) * len(query),
    "a component of 128": lambda query: (128, *(0 for _ in query[1:])),
    "a component of -128": lambda query: (-128, *(0 for _ in query[1:])),
    "beyond the bound": lambda query: (127,) * 17 + query[17:],
}


@pytest.mark.parametrize("change", QUERIES.values(), ids=QUERIES)
def test_both_refuse_a_query_that_may_not_be_matched(
    honest: list[Case], change: Callable[[tuple[int, ...]], tuple[int, ...]]
) -> None:
    case = honest[1]
    assert isinstance(case.statement, ApplicabilityStatement)
    case = replace(case, statement=replace(case.statement, query=change(case.statement.query)))
    assert (first_accepts(case), second_accepts(case)) == (False, False)


def test_both_refuse_a_threshold_above_the_bound(honest: list[Case]) -> None:
    case = honest[1]
    assert isinstance(case.statement, ApplicabilityStatement)
    case = replace(case, statement=replace(case.statement, tau=260_101))
    assert (first_accepts(case), second_accepts(case)) == (False, False)


def test_a_commitment_that_no_prover_made_is_refused_alone_in_its_batch(honest: list[Case]) -> None:
    cases = [*honest[:3], commitment_that_is_no_point(honest[3]), honest[4]]
    assert second_refuses(cases) == frozenset({3})
