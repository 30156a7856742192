"""Opened algebraic commitments in bundles, to both implementations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from crypto.bundle_lines import OpeningLine
from tests.audit.bundles import HonestBundle, Plan, World
from tests.audit.checking import check_of, reasons, verify
from tests.audit.tampering import attempt, forged
from tests.audit.verifiers import VERIFIERS

PLAN = Plan(receipts=2, hits=0, embeddings=0, earlier_checkpoints=0)
UNKNOWN_SUITE = "hitproof/of-another-time/v1"


def commit_and_open(world: World, number: int = 1, **statement: object) -> list[str]:
    """Commit to vectors of the last receipt, open all of them, and return their statements."""
    receipt, made = world.receipts[-1], []
    for _ in range(number):
        world.closeness.add_vector(receipt, world.runners[0], **statement)
        made.append(world.closeness.open_commitment(receipt.digest).statement)
    return made


def bundle(change: Callable[[World], object]) -> HonestBundle:
    return forged(lambda world, policy: change(world), PLAN)


def verdicts(honest: HonestBundle) -> set[tuple[int, str | None]]:
    found = [ask(attempt(honest)) for ask in VERIFIERS.values()]
    return {(verdict.exit_code, verdict.reason) for verdict in found}


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return bundle(commit_and_open)


def test_a_commitment_that_opens_is_accepted_by_both_and_said_to(honest: HonestBundle) -> None:
    assert verdicts(honest) == {(0, None)}
    assert "1 algebraic commitments are to the vectors that are opened" in check_of(verify(honest), "openings").detail


def test_a_commitment_is_opened_without_the_vector_beside_it(honest: HonestBundle) -> None:
    alone = tuple(line for line in honest.parts.openings if line.kind == "commitment")
    found = verify(honest, replace(honest.parts, openings=alone))
    assert (reasons(found), check_of(found, "openings").status) == ([], "passed")


def test_one_bad_opening_among_twenty_is_named_and_refused_by_both() -> None:
    bad: list[OpeningLine] = []

    def change(world: World) -> None:
        commit_and_open(world, 20)
        place = len(world.evidence_openings) - 3 * 8 + 2
        line = world.evidence_openings[place]
        assert line.kind == "commitment"
        bad.append(replace(line, salt=bytes(32)))
        world.evidence_openings[place] = bad[0]

    made = bundle(change)
    (failure,) = check_of(verify(made), "openings").failures
    assert (failure.reason, failure.subject) == ("opening_mismatch", f"commitment of statement {bad[0].statement}")
    assert verdicts(made) == {(1, "opening_mismatch")}


def test_a_vector_that_differs_between_kinds_is_refused_though_each_opens_its_own() -> None:
    def change(world: World) -> None:
        receipt = world.receipts[-1]
        made = world.closeness.add_vector(receipt, world.runners[0])
        other = (-made.vector[0], *made.vector[1:])
        world.add_embedding(
            receipt,
            world.runners[0],
            vector=other,
            commitment=made.commitment.hex(),
            suite="hitproof/kzg-bls12381-256/v1",
        )
        world.closeness.open_commitment(receipt.digest, statement=next(reversed(world.statements)))

    made = bundle(change)
    (failure,) = check_of(verify(made), "openings").failures
    assert (failure.reason, "two different vectors" in failure.detail) == ("opening_mismatch", True)


def test_a_statement_without_a_commitment_opens_to_nothing() -> None:
    made = bundle(lambda world: commit_and_open(world, commitment=None, suite=None))
    (failure,) = check_of(verify(made), "openings").failures
    assert (failure.reason, "no algebraic commitment" in failure.detail) == ("opening_mismatch", True)


def test_a_suite_that_is_not_known_is_not_covered_by_either() -> None:
    made = bundle(lambda world: commit_and_open(world, suite=UNKNOWN_SUITE))
    assert verdicts(made) == {(0, None)}
    only = tuple(line for line in made.parts.openings if line.kind == "commitment")
    check = check_of(verify(made, replace(made.parts, openings=only)), "openings")
    assert (check.status, "1 are of suites that this verifier does not know" in check.detail) == ("not_covered", True)


def test_openings_that_are_refused_early_and_late_are_all_named() -> None:
    def change(world: World) -> None:
        first, second = commit_and_open(world, 2)
        for place, line in enumerate(world.evidence_openings):
            if line.kind == "commitment" and line.statement == first:
                world.evidence_openings[place] = replace(line, value=[])
            elif line.kind == "commitment" and line.statement == second:
                world.evidence_openings[place] = replace(line, salt=bytes(32))

    assert reasons(verify(bundle(change))) == [("openings", "opening_mismatch")] * 2
