"""Zero knowledge, executed: what proofs show could have come of any vector for which the statements are true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

import pytest
from py_arkworks_bls12381 import Scalar

from crypto.applicability.arkworks import Arkworks
from crypto.applicability.setup import Setup
from crypto.applicability.statement import ApplicabilityStatement, WellFormednessStatement
from crypto.applicability.suites import ORDER, SLACK_BITS, SUITES
from crypto.applicability.verifier import Verifier
from crypto.errors import VerificationError
from crypto.similarity import NORM_BOUND_SQUARED, inner_product
from server.prover import well_formedness
from server.prover.applicability import prove_applicability
from server.prover.basis import Powers
from server.prover.polynomials import Blinded, evaluate
from server.prover.workbench import Workbench
from tests.applicability_simulator import WEIGHTS, Simulated, Simulator, inverse, make_setup, point

SUITE = SUITES[0]
N = SUITE.size
W = SUITE.generator
SECRET = 0x5EC2E7 << 200
SEED = bytes(32)
DIMENSION = 200
QUERY = tuple(Random(1).choices((-30, -25, 20, 33), k=DIMENSION))


def near(seed: int) -> tuple[int, ...]:
    """Return a vector near the query."""
    return tuple(map(sum, zip(QUERY, Random(seed).choices((-9, -2, 0, 3), k=DIMENSION), strict=True)))


VECTORS = (near(2), near(3))
TAU = min(inner_product(QUERY, vector) for vector in VECTORS) - 1000


@pytest.fixture(scope="module")
def setup() -> Setup:
    return make_setup(SECRET, N + 4)


@pytest.fixture(scope="module")
def verifier(setup: Setup) -> Verifier:
    return Verifier(Arkworks(), setup)


@pytest.fixture(scope="module")
def bench(setup: Setup) -> ChosenBlinders:
    return ChosenBlinders(Powers(setup), SUITE)


class ChosenBlinders(Workbench):
    """A workbench whose commitments are blinded by what a test chose."""

    chosen: Sequence[int] = ()

    def commitment_blinders(self, seed: bytes) -> list[Scalar]:
        return scalars(self.chosen)


@dataclass
class Chosen:
    """A source of scalars that gives out what a test chose, in order."""

    left: list[int]

    def take(self, count: int) -> list[Scalar]:
        taken, self.left = self.left[:count], self.left[count:]
        return scalars(taken)


def scalars(values: Sequence[int]) -> list[Scalar]:
    return [Scalar(value % ORDER) for value in values]


def statement(commitment: bytes, tau: int = TAU, query: tuple[int, ...] = QUERY) -> ApplicabilityStatement:
    return ApplicabilityStatement(SUITE, "sha256:" + "0" * 64, b"{}", commitment, query, tau, DIMENSION)


def simulator(seed: int) -> Simulator:
    return Simulator(SUITE, SECRET, Random(seed))


def blinders(values: Sequence[int], wanted: Mapping[int, int]) -> list[int]:
    """Return the r for which the interpolation of *values* plus Z·r is *wanted* at as many places as r has coefficients."""
    ask = simulator(0)
    shares = {
        place: (value - ask.at([part % ORDER for part in values], place)) * inverse(ask.vanishing(place))
        for place, value in wanted.items()
    }
    total = [0] * len(shares)
    for place, share in shares.items():
        others = [other for other in shares if other != place]
        basis = [1]
        for other in others:
            basis = [low - other * high for low, high in zip([0, *basis], [*basis, 0], strict=True)]
        scale = share * inverse(sum(part * pow(place, power, ORDER) for power, part in enumerate(basis)) % ORDER)
        total = [(kept + part * scale) % ORDER for kept, part in zip(total, basis, strict=True)]
    return total


def value_at(coefficients: Sequence[int], place: int) -> int:
    return sum(part * pow(place, power, ORDER) for power, part in enumerate(coefficients)) % ORDER


def bits(slack: int) -> list[int]:
    return [slack >> place & 1 if place < SLACK_BITS else 0 for place in range(N)]


def padded(vector: Sequence[int]) -> list[int]:
    return [*vector, *[0] * (N - len(vector))]


def committed_blinders(vector: Sequence[int], shown: Mapping[str, int]) -> list[int]:
    """Return what blinds *vector* into the commitment and the value at ζ that a simulated proof shows."""
    return blinders(padded(vector), {SECRET: shown["C"], shown["zeta"]: shown["e"]})


def hit_blinders(vector: Sequence[int], for_e: Sequence[int], shown: Mapping[str, int]) -> list[int]:
    """Return s, and what blinds the bits and the sums, for the proof of *vector* to be the simulated one."""
    ask, zeta, alpha = simulator(0), shown["zeta"], shown["alpha"]
    e, q, b = padded(vector), padded(QUERY), bits(inner_product(vector, QUERY) - TAU)
    terms = [left * right - (bit << place) for place, (left, right, bit) in enumerate(zip(e, q, b, strict=True))]
    terms[0] -= TAU
    own = ask.at([part % ORDER for part in e], zeta) + ask.vanishing(zeta) * value_at(for_e, zeta)
    s_value = (shown["e"] - own) * inverse(ask.vanishing(zeta)) % ORDER
    slope = (s_value - shown["S"]) * inverse(zeta - SECRET) % ORDER
    shown_e = shown["C"] + ask.vanishing(SECRET) * shown["S"]
    z_turned = shown["T"] * ask.vanishing(SECRET) + shown["Z"] + shown_e * ask.at(QUERY, SECRET)
    z_turned -= shown["B"] * ask.at(WEIGHTS, SECRET) + TAU * ask.at((1,), SECRET)
    z_turned -= alpha * (shown["B"] * shown["B"] - shown["B"])
    sums = {SECRET: shown["Z"], zeta: shown["z"], W * zeta % ORDER: shown["z_next"], W * SECRET % ORDER: z_turned}
    for_b = blinders(b, {SECRET: shown["B"], zeta: shown["b"]})
    return [(shown["S"] - slope * SECRET) % ORDER, slope, *for_b, *blinders([0, *accumulate(terms[:-1])], sums)]


def well_formedness_blinders(
    bench: Workbench, vector: Sequence[int], for_e: Sequence[int], shown: Mapping[str, int]
) -> list[int]:
    """Return what blinds b, m, h, z and the quotient's parts for the proof of *vector* to be the simulated one."""
    ask, zeta, gamma, alpha = simulator(0), shown["zeta"], shown["gamma"], shown["alpha"]
    delta, e = shown["delta"], padded(vector)
    b = bits(NORM_BOUND_SQUARED - inner_product(e, e))
    m = [e.count(place - 127) if place < 255 else 0 for place in range(N)]
    h = [inverse(gamma + part) for part in e]
    norms = [part * part + (bit << place) for place, (part, bit) in enumerate(zip(e, b, strict=True))]
    norms[0] -= NORM_BOUND_SQUARED
    looked_up = [count * inverse(gamma + entry) if count else 0 for count, entry in zip(m, ask.table(), strict=True)]
    terms = [own - other + alpha * norm for own, other, norm in zip(h, looked_up, norms, strict=True)]
    z = [0, *accumulate(terms[:-1])]
    quotient = shown["T0"] + pow(SECRET, N, ORDER) * shown["T1"]
    e_value, bit = shown["C"], shown["B"]
    rest = shown["M"] + delta * (shown["H"] * (gamma + e_value) - 1) + delta * delta * (bit * bit - bit)
    norm = e_value * e_value + bit * ask.at(WEIGHTS, SECRET) - NORM_BOUND_SQUARED * ask.at((1,), SECRET)
    step = (quotient * ask.vanishing(SECRET) - rest) * inverse(gamma + ask.at(ask.table(), SECRET))
    z_turned = step + shown["Z"] + shown["H"] + alpha * norm
    sums = {SECRET: shown["Z"], zeta: shown["z"], W * zeta % ORDER: shown["z_next"], W * SECRET % ORDER: z_turned}
    rows = {"b": b, "m": m, "h": h}
    solved = {name: blinders(row, {SECRET: shown[name.upper()], zeta: shown[name]}) for name, row in rows.items()}
    solved |= {"z": blinders(z, sums), "e": list(for_e)}
    parts = {
        name: Blinded(bench.domain.to_coefficients(scalars(row)), scalars(solved[name]))
        for name, row in {**rows, "e": e, "z": z}.items()
    }
    challenges = well_formedness.Challenges(*scalars((gamma, alpha, delta)))
    whole = well_formedness.make_quotient(bench, well_formedness.Polynomials(**parts), challenges)
    low = int(evaluate(whole[:N], Scalar(SECRET)))
    split = (shown["T0"] - low) * inverse(pow(SECRET, N, ORDER)) % ORDER
    return [*solved["b"], *solved["m"], *solved["h"], *solved["z"], split]


def prove_both(
    bench: ChosenBlinders,
    monkeypatch: pytest.MonkeyPatch,
    vector: Sequence[int],
    once: Simulated,
    hits: Sequence[Simulated],
) -> list[bytes]:
    """Return commitment and proofs as the product makes them of *vector* with the blinders that were solved for."""
    bench.chosen = committed_blinders(vector, once.known)
    source = Chosen(well_formedness_blinders(bench, padded(vector), bench.chosen, once.known))
    monkeypatch.setattr(well_formedness, "SeededScalars", lambda *arguments: source)
    commitment = bench.commit(padded(vector), SEED)
    made = [commitment, well_formedness.prove_well_formedness(bench, vector, SEED)]
    for hit in hits:
        chosen = Chosen(hit_blinders(vector, bench.chosen, hit.known))
        made.append(prove_applicability(bench, statement(commitment), vector, SEED, chosen))
    return made


def test_one_commitment_with_all_its_proofs_comes_of_either_of_two_vectors(
    bench: ChosenBlinders, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = simulator(7)
    logarithm = made.draw()
    commitment = point(logarithm)
    once = made.well_formedness(logarithm)
    hits = [simulator(seed).applicability(statement(commitment), logarithm) for seed in (8, 9, 10)]
    expected = [commitment, once.proof, *(hit.proof for hit in hits)]
    assert VECTORS[0] != VECTORS[1]
    for vector in VECTORS:
        assert prove_both(bench, monkeypatch, vector, once, hits) == expected
    verifier.verify_well_formedness(WellFormednessStatement(SUITE, commitment), once.proof)
    for hit in hits:
        verifier.verify_applicability(statement(commitment), hit.proof)


def test_whoever_knows_the_secret_proves_what_is_false(verifier: Verifier) -> None:
    made = simulator(11)
    logarithm = made.draw()
    claim = statement(point(logarithm), NORM_BOUND_SQUARED, (1,) + (0,) * (DIMENSION - 1))
    verifier.verify_applicability(claim, made.applicability(claim, logarithm).proof)


def test_a_simulated_proof_of_another_statement_is_refused(verifier: Verifier) -> None:
    made = simulator(12)
    logarithm = made.draw()
    found = made.applicability(statement(point(logarithm)), logarithm)
    with pytest.raises(VerificationError):
        verifier.verify_applicability(statement(point(logarithm), TAU + 1), found.proof)


def test_a_proof_without_its_query_tells_the_right_guess_from_a_wrong_one(verifier: Verifier) -> None:
    """What zero knowledge does not cover: the query is public to whoever verifies, and can be guessed by others."""
    made = simulator(15)
    logarithm = made.draw()
    proof = made.applicability(statement(point(logarithm)), logarithm).proof
    verifier.verify_applicability(statement(point(logarithm), query=QUERY), proof)
    for place in range(0, DIMENSION, 40):
        guess = (*QUERY[:place], QUERY[place] + 1, *QUERY[place + 1 :])
        with pytest.raises(VerificationError):
            verifier.verify_applicability(statement(point(logarithm), query=guess), proof)


@pytest.mark.parametrize("blinded_with", [3, 4])
def test_the_sums_need_a_blinder_for_what_the_quotient_shows(blinded_with: int) -> None:
    zeta = Random(13).randrange(ORDER)
    places = (SECRET, zeta, W * zeta % ORDER, W * SECRET % ORDER)
    shown = [[pow(place, power, ORDER) for power in range(blinded_with)] for place in places]
    assert rank(shown) == blinded_with
    assert (rank(shown) == len(places)) is (blinded_with == 4)


@pytest.mark.parametrize("openings", [1, 2])
def test_two_openings_of_a_commitment_would_betray_a_guess(bench: ChosenBlinders, openings: int) -> None:
    """Why a well-formedness proof is a function of the seed, and there is never a second one."""
    random = Random(14)
    secret_blinders = [random.randrange(ORDER) for _ in range(2)]
    zetas = [random.randrange(ORDER) for _ in range(openings)]
    ask = simulator(0)

    def opened(vector: Sequence[int], place: int, rho: Sequence[int]) -> int:
        return (
            ask.at([part % ORDER for part in padded(vector)], place) + ask.vanishing(place) * value_at(rho, place)
        ) % ORDER

    right, wrong = VECTORS
    values = {zeta: opened(right, zeta, secret_blinders) for zeta in zetas}
    bench.chosen = secret_blinders
    commitment = bench.commit(padded(right), SEED)
    fits = {}
    for guess in (right, wrong):
        # Without a second opening, what an adversary does not know of the commitment's logarithm leaves one blinder free.
        free = {} if openings == 2 else {SECRET: opened(right, SECRET, secret_blinders)}
        bench.chosen = blinders(padded(guess), values | free)
        fits[guess] = bench.commit(padded(guess), SEED) == commitment
    assert fits == ({right: True, wrong: False} if openings == 2 else {right: True, wrong: True})


def rank(rows: Sequence[Sequence[int]]) -> int:
    left, found = [list(row) for row in rows], 0
    for column in range(len(left[0])):
        pivot = next((row for row in left[found:] if row[column] % ORDER), None)
        if pivot is None:
            continue
        left.remove(pivot)
        left.insert(found, pivot)
        scale = inverse(pivot[column])
        for number in range(found + 1, len(left)):
            share = left[number][column] * scale
            left[number] = [(own - share * part) % ORDER for own, part in zip(left[number], pivot, strict=True)]
        found += 1
    return found
