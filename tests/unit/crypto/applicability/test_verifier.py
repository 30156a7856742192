"""The verifier accepts exactly the proof of exactly the statement, alone and among many."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from crypto.applicability.arkworks import Arkworks
from crypto.applicability.bisection import FOUND_MAX
from crypto.applicability.claims import Claim
from crypto.applicability.encoding import ApplicabilityProof, WellFormednessProof
from crypto.applicability.setup import SetupError, load_setup
from crypto.applicability.statement import ApplicabilityStatement
from crypto.applicability.suites import ORDER, SUITES
from crypto.applicability.transcript import Transcript
from crypto.applicability.verifier import Verifier, load_verifier
from crypto.canonical import parse_json
from crypto.errors import EncodingError, VerificationError
from tests.applicability_examples import (
    ENTRY,
    OTHER_ENTRY,
    OTHER_QUERY,
    OTHER_SEED,
    QUERY,
    SCORE,
    SEED,
    SUITE,
    applicability_example,
    applicability_statement,
    pair,
    scalars,
    verifier,
    well_formedness_example,
    well_formedness_statement,
)
from tests.applicability_prover import SlowProver
from tests.proof_examples import HIT, changed_values

POINTS = load_setup().powers
#: Points that a reader refuses, wherever in a proof they stand (cases 55 and 56).
NO_POINTS = {
    "identity": b"\xc0" + bytes(47),
    "infinity in another encoding": b"\xff" * 48,
    "off the curve": b"\x80" + bytes(46) + b"\x01",
    "outside the subgroup": b"\x80" + bytes(46) + b"\x04",
    "not compressed": bytes([POINTS[1][0] & 0x7F]) + POINTS[1][1:],
}


def refused_applicability(statement: ApplicabilityStatement, proof: bytes) -> str:
    """Return why the proof is refused; fails the test if it is not."""
    with pytest.raises(VerificationError) as caught:
        verifier().verify_applicability(statement, proof)
    assert caught.value.reason == "applicability_invalid"
    return str(caught.value)


def refused_well_formedness(statement: Any, proof: bytes) -> str:
    with pytest.raises(VerificationError) as caught:
        verifier().verify_well_formedness(statement, proof)
    assert caught.value.reason == "well_formedness_invalid"
    return str(caught.value)


def test_both_proofs_of_an_entry_are_accepted() -> None:
    verifier().verify_applicability(*applicability_example())
    verifier().verify_well_formedness(*well_formedness_example())


@pytest.mark.parametrize("dimension", [256, 257, 512])
def test_proofs_of_a_full_and_a_barely_begun_domain_are_accepted(dimension: int) -> None:
    entry, query = pair(dimension, dimension)
    prover, statement = SlowProver(scalars(dimension)), applicability_statement(entry, query, 0)
    verifier().verify_applicability(statement, prover.prove_applicability(statement, entry, SEED))
    other = well_formedness_statement(entry)
    verifier().verify_well_formedness(other, prover.prove_well_formedness(other, entry, SEED))


@pytest.mark.parametrize("entry", [(0,), (127,) * 16, (-127,) * 16, (1, -1) * 128])
def test_well_formedness_holds_up_to_its_bounds(entry: tuple[int, ...]) -> None:
    statement = well_formedness_statement(entry)
    verifier().verify_well_formedness(statement, SlowProver(scalars(3)).prove_well_formedness(statement, entry, SEED))


@pytest.mark.parametrize(
    "changes",
    [
        {"tau": SCORE + 1},
        {"tau": SCORE - 1},
        {"tau": 0},
        {"embedding": "sha256:" + "72" * 32},
        {"query": (QUERY[0] + 1, *QUERY[1:])},
        {"query": OTHER_QUERY},
        {"query": QUERY[::-1]},
        {"commitment": applicability_statement(seed=OTHER_SEED).commitment},
        {"commitment": applicability_statement(OTHER_ENTRY).commitment},
    ],
)
def test_a_proof_of_another_statement_is_refused(changes: dict[str, Any]) -> None:
    statement, proof = applicability_example()
    assert "does not hold" in refused_applicability(replace(statement, **changes), proof)


def test_a_proof_is_bound_to_every_field_of_the_hits_record() -> None:
    statement, proof = applicability_example()
    record = parse_json(statement.record)
    assert isinstance(record, dict)
    assert {"hit", "tenant", "receipt", "policy", "tau", "query", "query_vector"} <= set(record)
    for _, changed in changed_values(record):
        text = json.dumps(changed, sort_keys=True, separators=(",", ":"))
        refused_applicability(replace(statement, record=text.encode()), proof)


def test_a_proof_replayed_for_another_hit_is_refused() -> None:
    statement, proof = applicability_example()
    other = replace(HIT, hit="hit_" + "3b" * 16)
    refused_applicability(replace(statement, record=other.to_payload()), proof)


def test_a_proof_under_another_suite_is_refused() -> None:
    statement, proof = applicability_example()
    assert "suite" in refused_applicability(replace(statement, suite=SUITES[1]), proof)
    longer = (*QUERY, *[0] * 57)
    refused_applicability(replace(statement, suite=SUITES[1], query=longer, dimension=257), proof)
    other, well_formed = well_formedness_example()
    refused_well_formedness(replace(other, suite=SUITES[1]), well_formed)


def test_zeros_behind_a_query_are_another_query() -> None:
    statement, proof = applicability_example()
    refused_applicability(replace(statement, query=(*QUERY, 0), dimension=len(QUERY) + 1), proof)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tau": -1}, "τ"),
        ({"tau": 260_101}, "τ"),
        ({"query": (128, *QUERY[1:])}, "beyond 127"),
        ({"query": (0,) * len(QUERY)}, "zero or longer"),
        ({"query": (127,) * len(QUERY)}, "zero or longer"),
        ({"query": QUERY[1:]}, "components"),
        ({"commitment": b""}, "48 bytes"),
        ({"commitment": NO_POINTS["identity"]}, "identity"),
    ],
)
def test_a_statement_out_of_bounds_is_refused_before_any_pairing(changes: dict[str, Any], words: str) -> None:
    statement, proof = applicability_example()
    with pytest.raises(VerificationError, match=words) as caught:
        verifier().claim_applicability(replace(statement, **changes), proof)
    assert caught.value.reason == "applicability_invalid"


def test_well_formedness_of_another_entry_is_refused() -> None:
    _, proof = well_formedness_example()
    refused_well_formedness(well_formedness_statement(OTHER_ENTRY), proof)
    refused_well_formedness(well_formedness_statement(ENTRY, OTHER_SEED), proof)


def test_every_field_of_an_applicability_proof_matters() -> None:
    statement, proof = applicability_example()
    other = SlowProver(scalars(77)).prove_applicability(statement, ENTRY, SEED)
    verifier().verify_applicability(statement, other)
    for changed in changed_fields(ApplicabilityProof.parse(proof), ApplicabilityProof.parse(other)):
        refused_applicability(statement, changed)


def test_every_field_of_a_well_formedness_proof_matters() -> None:
    statement, proof = well_formedness_example()
    other = SlowProver(scalars(78)).prove_well_formedness(statement, ENTRY, SEED)
    verifier().verify_well_formedness(statement, other)
    for changed in changed_fields(WellFormednessProof.parse(proof), WellFormednessProof.parse(other)):
        refused_well_formedness(statement, changed)


def changed_fields(proof: Any, other: Any) -> list[bytes]:
    """Every field exchanged for another valid proof's, negated, zero or one more, moved, or no point at all."""
    names = [field.name for field in fields(proof)]
    points = [name for name in names if isinstance(getattr(proof, name), bytes)]
    changed = []
    for name in names:
        value = getattr(proof, name)
        if name in points:
            values = [bytes([value[0] ^ 0x20]) + value[1:], *NO_POINTS.values(), POINTS[0], POINTS[1]]
            values += [getattr(proof, moved) for moved in points if moved != name]
        else:
            values = [-value % ORDER, 0, 1, (value + 1) % ORDER]
        changed += [
            replace(proof, **{name: item}).encode() for item in (getattr(other, name), *values) if item != value
        ]
    return changed


@pytest.mark.campaign
def test_a_flipped_bit_in_any_proof_is_refused(campaign: bool) -> None:
    source = random.Random(9)
    for refused, (statement, proof) in (
        (refused_applicability, applicability_example()),
        (refused_well_formedness, well_formedness_example()),
    ):
        bits = range(8 * len(proof))
        for bit in bits if campaign else source.sample(bits, 600):
            flipped = bytearray(proof)
            flipped[bit // 8] ^= 1 << bit % 8
            refused(statement, bytes(flipped))  # type: ignore[operator]


@pytest.mark.parametrize("change", [lambda proof: proof[:-1], lambda proof: proof + b"\0", lambda proof: b""])
def test_a_truncated_proof_and_trailing_bytes_are_refused(change: Any) -> None:
    statement, proof = applicability_example()
    assert "bytes, not 416" in refused_applicability(statement, change(proof))
    other, well_formed = well_formedness_example()
    assert "bytes, not 576" in refused_well_formedness(other, change(well_formed))


def test_one_kind_of_proof_is_not_the_other() -> None:
    statement, proof = applicability_example()
    other, well_formed = well_formedness_example()
    refused_applicability(statement, well_formed)
    refused_well_formedness(other, proof)


def test_a_scalar_that_is_only_equal_modulo_r_is_refused() -> None:
    statement, proof = applicability_example()
    for at in range(6 * 48, len(proof), 32):
        value = int.from_bytes(proof[at : at + 32], "big") + ORDER
        if value < 2**256:
            changed = proof[:at] + value.to_bytes(32, "big") + proof[at + 32 :]
            assert "order of the group" in refused_applicability(statement, changed)


@cache
def honest_claim(number: int) -> Claim:
    """One hit's of the same entry, with a threshold of its own."""
    statement = applicability_statement(tau=SCORE - number)
    proof = SlowProver(scalars(1000 + number)).prove_applicability(statement, ENTRY, SEED)
    return verifier().claim_applicability(statement, proof)


def honest_claims(count: int) -> list[Claim]:
    return [honest_claim(number) for number in range(count)]


def false_claim() -> Claim:
    statement, proof = applicability_example()
    return verifier().claim_applicability(replace(statement, tau=SCORE + 1), proof)


def test_one_false_claim_among_sixty_four_is_found() -> None:
    claims = honest_claims(63)
    assert verifier().find_invalid(claims) == frozenset()
    for place in (0, 31, 32, 63):
        assert verifier().find_invalid([*claims[:place], false_claim(), *claims[place:]]) == {place}


@pytest.mark.parametrize("places", [{0}, {6}, {0, 6}, {2, 3}, {0, 1, 2, 3, 4, 5, 6}])
def test_exactly_the_false_claims_are_found(places: set[int]) -> None:
    honest = honest_claims(7)
    claims = [false_claim() if place in places else claim for place, claim in enumerate(honest)]
    assert verifier().find_invalid(claims) == places


def test_a_batch_holds_both_kinds_of_proofs() -> None:
    claims = honest_claims(2)
    claims.insert(1, verifier().claim_well_formedness(*well_formedness_example()))
    assert verifier().find_invalid(claims) == frozenset()
    _, proof = well_formedness_example()
    claims.insert(1, verifier().claim_well_formedness(well_formedness_statement(OTHER_ENTRY), proof))
    assert verifier().find_invalid(claims) == {1}


def test_no_claims_are_all_valid() -> None:
    assert verifier().find_invalid([]) == frozenset()


def test_of_very_many_false_claims_the_first_ones_are_found_and_none_behind_counts_as_true() -> None:
    """A hundred thousand broken proofs in one bundle must not cost hours."""
    (true,) = honest_claims(1)
    wrong = replace(true, base=(true.base + 1) % ORDER)
    curve = CountingCurve()
    claims = [true, true, *[wrong] * (FOUND_MAX + 5), true, true]
    counted = Verifier(curve, load_setup())
    assert counted.find_invalid(claims) == frozenset(range(2, len(claims)))
    few = curve.checks
    curve.checks = 0
    assert counted.find_invalid([*claims, *[wrong] * 2_000]) == frozenset(range(2, len(claims) + 2_000))
    assert curve.checks <= few + 2 * 7  # a bundle of 2^5 times as many is halved so much more often


def test_as_many_false_claims_as_are_looked_for_are_told_from_the_true_ones() -> None:
    (true,) = honest_claims(1)
    wrong = replace(true, base=(true.base + 1) % ORDER)
    claims = [*[wrong, true] * (FOUND_MAX - 1), true, wrong]
    assert verifier().find_invalid(claims) == {place for place, claim in enumerate(claims) if claim is wrong}


class CountingCurve(Arkworks):
    """Counts the checks of pairings."""

    def __init__(self) -> None:
        self.checks = 0

    def is_product_one(self, pairs: Sequence[tuple[Any, Any]]) -> bool:
        self.checks += 1
        return super().is_product_one(pairs)


def test_errors_that_cancel_each_other_are_both_found() -> None:
    """Two claims whose errors sum to nothing: accepted if all were added up without weights."""
    one, two = honest_claims(2)
    wrong = [replace(one, base=(one.base + 5) % ORDER), replace(two, base=(two.base - 5) % ORDER)]
    assert verifier().find_invalid(wrong) == {0, 1}


class RecordingCurve:
    """Takes bytes for points, and keeps what is multiplied."""

    def __init__(self) -> None:
        self.combined: list[dict[bytes, int]] = []

    def read_g1(self, data: bytes) -> bytes:
        return data

    def read_g2(self, data: bytes) -> bytes:
        return data

    def combine(self, points: Sequence[bytes], scalars: Sequence[int]) -> bytes:
        self.combined.append(dict(zip(points, scalars, strict=True)))
        return b""

    def is_product_one(self, pairs: Sequence[tuple[bytes, bytes]]) -> bool:
        return True


def weights_of(*marks: int) -> list[int]:
    """Return what claims with these marks are multiplied by in one batch."""
    curve = RecordingCurve()
    claims = [Claim(((bytes([place]), 1),), (), 0, mark) for place, mark in enumerate(marks)]
    Verifier(curve, load_setup()).find_invalid(claims)
    return list(curve.combined[0].values())


def test_every_claim_changes_the_weights_of_all() -> None:
    """A mark is drawn from statement and proof, so nobody can choose errors that cancel under the weights."""
    weights = weights_of(1, 2, 3)
    assert weights == weights_of(1, 2, 3)
    assert len(set(weights)) == 3
    assert all(2**96 < weight < 2**128 for weight in weights)
    for others in ((4, 2, 3), (1, 4, 3), (1, 2, 4), (3, 2, 1), (1, 2, 3, 4)):
        assert not set(weights) & set(weights_of(*others))


def test_a_claim_holds_however_often_it_is_made() -> None:
    (claim,) = honest_claims(1)
    assert verifier().find_invalid([claim] * 5) == frozenset()
    assert verifier().find_invalid([claim, false_claim(), claim, false_claim()]) == {1, 3}


def test_a_false_first_opening_is_not_made_up_for_by_the_second() -> None:
    """z one larger at both points satisfies the constraint; each opening then is false."""
    statement, proof = applicability_example()
    parts = ApplicabilityProof.parse(proof)
    shifted = replace(parts, z_value=(parts.z_value + 1) % ORDER, z_next=(parts.z_next + 1) % ORDER)
    refused_applicability(statement, shifted.encode())


def test_the_ceremonys_file_of_ones_own_is_held_to_its_hash(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("4096\n65\n")
    with pytest.raises(SetupError):
        load_verifier(tmp_path / "other.txt")


def test_a_setup_with_other_points_makes_no_verifier_or_one_that_accepts_nothing() -> None:
    setup = load_setup()
    with pytest.raises(EncodingError):
        Verifier(Arkworks(), replace(setup, g2_x=b"\xc0" + bytes(95)))
    swapped = Verifier(Arkworks(), replace(setup, g2_x=setup.g2))
    with pytest.raises(VerificationError):
        swapped.verify_applicability(*applicability_example())


@pytest.mark.parametrize("number", [0, 3, 255])
def test_a_challenge_that_lies_in_the_domain_is_refused(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """No hash will ever draw one; the quotient would not be defined."""
    hit, well_formed = applicability_example(), well_formedness_example()
    monkeypatch.setattr(Transcript, "challenge", lambda self, name: pow(SUITE.generator, number, ORDER))
    assert "evaluation domain" in refused_applicability(*hit)
    assert "evaluation domain" in refused_well_formedness(*well_formed)
