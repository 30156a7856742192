"""What a verifier refuses about a statement, and that a transcript begins with all of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crypto.applicability.statement import ApplicabilityStatement, WellFormednessStatement
from crypto.applicability.suites import SUITES, UnsupportedDimension
from crypto.errors import EncodingError
from crypto.similarity import NORM_BOUND_SQUARED

STATEMENT = ApplicabilityStatement(SUITES[0], "sha256:" + "71" * 32, b"{}", b"\x80" * 48, (3, -4, 0), 5, 3)


def with_query(*query: int) -> dict[str, Any]:
    return {"query": query, "dimension": len(query)}


def test_a_statement_within_the_bounds_is_accepted() -> None:
    for changes in ({}, {"tau": 0}, {"tau": NORM_BOUND_SQUARED}, with_query(*[127] * 16), with_query(*[1] * 256)):
        replace(STATEMENT, **changes).check()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (with_query(), "no suite"),
        (with_query(128), "beyond 127"),
        (with_query(-128), "beyond 127"),
        (with_query(0, 0), "zero or longer"),
        (with_query(*[127] * 17), "zero or longer"),
        (with_query(*[1] * 257), "suite does not fit"),
        (with_query(*[1] * 2049), "no suite"),
        ({"dimension": 4}, "3 components"),
        ({"dimension": 2}, "3 components"),
        ({"suite": SUITES[1]}, "suite does not fit"),
        ({"tau": -1}, "τ"),
        ({"tau": NORM_BOUND_SQUARED + 1}, "τ"),
        ({"commitment": b"\x80" * 47}, "48 bytes"),
        ({"commitment": b""}, "48 bytes"),
    ],
)
def test_what_lies_out_of_bounds_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(EncodingError, match=words):
        replace(STATEMENT, **changes).check()


def test_an_unsupported_dimension_is_told_apart() -> None:
    with pytest.raises(UnsupportedDimension):
        replace(STATEMENT, **with_query(*[1] * 2049)).check()


@pytest.mark.parametrize(
    "changes",
    [
        {"suite": SUITES[1]},
        {"embedding": "sha256:" + "72" * 32},
        {"record": b"{ }"},
        {"commitment": b"\x81" * 48},
        {"query": (3, -4, 1)},
        {"query": (3, -4)},
        {"tau": 6},
    ],
)
def test_every_part_of_an_applicability_statement_changes_every_challenge(changes: dict[str, Any]) -> None:
    changed = replace(STATEMENT, **changes)
    assert changed.begin().challenge("alpha") != STATEMENT.begin().challenge("alpha")


def test_every_part_of_a_well_formedness_statement_changes_every_challenge() -> None:
    statements = [WellFormednessStatement(suite, bytes([name]) * 48) for suite in SUITES for name in (1, 2)]
    assert len({statement.begin().challenge("gamma") for statement in statements}) == len(statements)


def test_both_statements_of_one_commitment_draw_other_challenges() -> None:
    other = WellFormednessStatement(STATEMENT.suite, STATEMENT.commitment)
    assert other.begin().challenge("alpha") != STATEMENT.begin().challenge("alpha")
