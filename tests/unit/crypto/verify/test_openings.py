"""Opened values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto.bundle_lines import OPENING_KINDS, OpeningLine
from crypto.canonical import JsonValue
from crypto.verify import SampleRequest
from tests.audit.bundles import HonestBundle, Plan, World, make_bundle
from tests.audit.checking import check_of, reasons, verify
from tests.audit.tampering import forged


@pytest.fixture(scope="module")
def honest() -> HonestBundle:
    return forged(commit_and_open, Plan(receipts=2, hits=0, declared=1, embeddings=2))


def commit_and_open(world: World, policy: str) -> None:
    receipt = world.receipts[1]
    world.closeness.add_vector(receipt, world.runners[0])
    world.closeness.open_commitment(receipt.digest)


def line_of(honest: HonestBundle, kind: str) -> OpeningLine:
    return next(line for line in honest.parts.openings if line.kind == kind)


def broken(honest: HonestBundle, line: OpeningLine) -> list[tuple[str, str]]:
    """Return what is wrong when *line* is the only opening."""
    return reasons(verify(honest, replace(honest.parts, openings=(line,))))


@pytest.mark.parametrize("kind", OPENING_KINDS)
def test_every_kind_opens(honest: HonestBundle, kind: str) -> None:
    assert broken(honest, line_of(honest, kind)) == []


@pytest.mark.parametrize("kind", OPENING_KINDS)
def test_another_salt_is_refused(honest: HonestBundle, kind: str) -> None:
    line = line_of(honest, kind)
    assert broken(honest, replace(line, salt=bytes(32))) == [("openings", "opening_mismatch")]


@pytest.mark.parametrize("kind", OPENING_KINDS)
@pytest.mark.parametrize("value", ["text", 1, None, {}, [1, 2], ["1"], [300], [-129], [True], [2**31], [{"a": None}]])
def test_another_value_is_refused(honest: HonestBundle, kind: str, value: JsonValue) -> None:
    assert broken(honest, replace(line_of(honest, kind), value=value)) == [("openings", "opening_mismatch")]


def test_a_value_with_a_field_that_stating_leaves_out_is_refused(honest: HonestBundle) -> None:
    line = line_of(honest, "prompt")
    assert line.value == [{"content": "question 1", "role": "user"}]
    extended: JsonValue = [{"content": "question 1", "role": "user", "name": None}]
    assert broken(honest, replace(line, value=extended)) == [("openings", "opening_mismatch")]


def test_a_value_of_another_receipt_is_refused(honest: HonestBundle) -> None:
    other = make_bundle(Plan(receipts=2, hits=0, seed=1))
    theirs = line_of(other, "output")
    mine = line_of(honest, "output")
    assert broken(honest, replace(theirs, statement=mine.statement)) == [("openings", "opening_mismatch")]


def test_an_opening_of_a_statement_that_is_not_there_is_refused(honest: HonestBundle) -> None:
    line = replace(line_of(honest, "output"), statement="sha256:" + "1" * 64)
    assert broken(honest, line) == [("openings", "opening_unknown")]


def test_a_kind_that_belongs_to_another_statement_is_refused(honest: HonestBundle) -> None:
    text, output = line_of(honest, "text"), line_of(honest, "output")
    assert broken(honest, replace(text, statement=output.statement)) == [("openings", "opening_unknown")]
    assert broken(honest, replace(output, statement=text.statement)) == [("openings", "opening_unknown")]


def test_tokens_that_a_declared_statement_does_not_commit_to_are_refused(honest: HonestBundle) -> None:
    declared = honest.world.receipts[0]
    assert declared.statement.grade == "declared"
    line = replace(line_of(honest, "output_tokens"), statement=declared.digest)
    assert broken(honest, line) == [("openings", "opening_mismatch")]


def test_nothing_opened_is_not_covered(honest: HonestBundle) -> None:
    found = verify(honest, replace(honest.parts, openings=()))
    assert check_of(found, "openings").status == "not_covered"


def test_openings_outside_the_sample_are_not_covered_and_their_number_is_said() -> None:
    honest = make_bundle(Plan(receipts=4, hits=0, embeddings=0))
    found = verify(honest, sample=SampleRequest(1, lambda: bytes(32)))
    assert reasons(found) == []
    assert "12 outside the sample are not covered" in check_of(found, "openings").detail
