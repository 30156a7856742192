"""Reports: the verdict that follows from the checks, and the one JSON form."""

from __future__ import annotations

import json

import pytest

from crypto.canonical import parse_canonical_json
from crypto.errors import VerificationError
from crypto.report import CHECKS, UNREADABLE, Check, CrossCheck, Failure, LogState, Report, SampleResult


def make_report(*checks: Check, **fields: object) -> Report:
    return Report(checks=checks, grades={}, counts={}, **fields)  # type: ignore[arg-type]


def failed(name: str, reason: str) -> Check:
    return Check(name, "failed", "", (Failure(reason, "it", "why"),))


PASSED = Check("archive", "passed", "whole")


@pytest.mark.parametrize(
    ("checks", "verdict", "exit_code"),
    [
        ((PASSED,), "passed", 0),
        ((PASSED, Check("replay", "not_covered", "")), "passed", 0),
        ((PASSED, failed("receipts", "signature_invalid")), "failed", 1),
        ((failed("archive", "archive_unreadable"),), "unreadable", 2),
        ((PASSED, failed("model_status", "model_revoked")), "revoked", 3),
        ((failed("hits", "hit_order"), failed("model_status", "model_revoked")), "failed", 1),
    ],
)
def test_the_verdict_follows_from_the_checks(checks: tuple[Check, ...], verdict: str, exit_code: int) -> None:
    report = make_report(*checks)
    assert (report.verdict, report.exit_code) == (verdict, exit_code)


@pytest.mark.parametrize("reason", sorted(UNREADABLE))
def test_what_cannot_be_read_outweighs_everything(reason: str) -> None:
    report = make_report(failed("archive", reason), failed("model_status", "model_revoked"))
    assert report.exit_code == 2


def test_the_first_failure_gives_the_reason() -> None:
    assert (
        make_report(PASSED, failed("hits", "hit_order"), failed("openings", "opening_mismatch")).reason == "hit_order"
    )
    assert make_report(PASSED).reason is None


def test_the_json_form_has_exactly_the_documented_fields() -> None:
    report = make_report(
        failed("receipts", "signature_invalid"),
        log=LogState("log.example", bytes(32), 7, ("one",)),
        as_of_ms=5,
        file_sha256="0" * 64,
        cross_check=CrossCheck(("exit code",)),
        sample=SampleResult(2, 4, bytes(32)),
    )
    assert json.loads(report.to_payload()) == {
        "schema": "hitproof/report/v1",
        "verdict": "failed",
        "exit_code": 1,
        "checks": [
            {
                "check": "receipts",
                "status": "failed",
                "detail": "",
                "failures": [{"reason": "signature_invalid", "subject": "it", "detail": "why"}],
            }
        ],
        "grades": {"declared": 0, "attested": 0, "replayed": 0, "proved": 0},
        "counts": {"receipts": 0, "hits": 0, "openings": 0, "evidence": 0},
        "log": {"origin": "log.example", "root": "00" * 32, "size": 7, "witnesses": ["one"]},
        "as_of_ms": 5,
        "file_sha256": "0" * 64,
        "cross_check": {"agrees": False, "differences": ["exit code"]},
        "sample": {"checked": 2, "of": 4, "nonce": "00" * 32, "detects_one_percent": "0.0199"},
    }


def test_the_json_form_is_canonical() -> None:
    assert isinstance(parse_canonical_json(make_report(PASSED).to_payload()), dict)


def test_a_failure_says_what_was_expected_and_what_was_found() -> None:
    error = VerificationError("they differ", reason="hit_order", expected=1, actual=2)
    assert Failure.of("it", error) == Failure("hit_order", "it", "they differ; expected 1, found 2")


def test_an_error_without_a_reason_takes_the_one_that_is_given() -> None:
    assert Failure.of("it", VerificationError("no"), "batch_invalid").reason == "batch_invalid"


@pytest.mark.parametrize(("checked", "of", "chance"), [(459, 1_000, "0.9901"), (10, 10, "1.0000"), (1, 2, "0.0100")])
def test_a_sample_states_what_it_would_have_shown(checked: int, of: int, chance: str) -> None:
    assert SampleResult(checked, of, bytes(32)).detects_one_percent == chance


def test_no_check_stands_twice_in_the_order() -> None:
    assert len(set(CHECKS)) == len(CHECKS)
