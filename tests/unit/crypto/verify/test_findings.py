"""How checks are run and noted."""

from __future__ import annotations

import pytest

from crypto.errors import EncodingError, VerificationError
from crypto.report import FAILURES_MAX
from crypto.verify.findings import Findings, Notes, Stopped


def fail(notes: Notes) -> str:
    notes.fail("hit_order", "it", "no")
    return "value"


def raise_refusal(_: Notes) -> str:
    raise VerificationError("no", reason="trust_expired")


def test_a_required_check_that_fails_ends_the_run_and_is_noted() -> None:
    for check in (fail, raise_refusal):
        findings = Findings()
        with pytest.raises(Stopped):
            findings.require("trust", check)
        assert [one.status for one in findings.close() if one.name == "trust"] == ["failed"]


def test_another_check_that_fails_returns_what_it_found() -> None:
    findings = Findings()
    assert findings.run("hits", fail) == "value"
    assert not findings.passed()


def test_a_fault_of_the_verifier_is_not_taken_for_a_refusal() -> None:
    def stumble(_: Notes) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        Findings().require("trust", stumble)


def test_what_is_refused_about_one_subject_does_not_keep_the_next_from_being_checked() -> None:
    notes = Notes()
    with notes.about("one"):
        raise VerificationError("no", reason="signature_invalid")
    with notes.about("two", "batch_invalid"):
        raise EncodingError("no form")
    assert [(one.subject, one.reason) for one in notes.failures] == [
        ("one", "signature_invalid"),
        ("two", "batch_invalid"),
    ]


def test_failures_beyond_the_limit_are_counted_and_not_kept() -> None:
    notes = Notes()
    for number in range(FAILURES_MAX + 5):
        notes.fail("hit_order", str(number), "no")
    check = notes.close("hits")
    assert (len(check.failures), notes.total) == (FAILURES_MAX, FAILURES_MAX + 5)
    assert "5 further failures" in check.detail


def test_what_was_not_covered_and_failed_all_the_same_is_failed() -> None:
    notes = Notes()
    notes.leave_uncovered("nothing to see")
    assert notes.close("hits").status == "not_covered"
    notes.fail("hit_order", "it", "no")
    assert notes.close("hits").status == "failed"


def test_a_revoked_model_alone_does_not_count_as_failed() -> None:
    findings = Findings()
    findings.run("model_status", fail)
    assert findings.passed()
