"""The report for people."""

from __future__ import annotations

import pytest

from crypto.report import CHECKS, GRADES, Check, Failure, LogState, Report, SampleResult
from crypto.report_text import FAILURES_SHOWN, describe_report, format_time


def make_report(*checks: Check, **fields: object) -> Report:
    return Report(**{"checks": checks, "grades": {}, "counts": {}, **fields})  # type: ignore[arg-type]


def test_every_check_has_a_line_that_says_what_came_of_it_and_what_it_means() -> None:
    text = describe_report(make_report(*(Check(name, "passed", "") for name in CHECKS)))
    lines = text.split("\n\n")[0].splitlines()
    assert [line.split("  ")[0] for line in lines] == ["passed"] * len(CHECKS)
    assert all(len(line.split()) > 4 for line in lines)


def test_a_failure_names_reason_subject_and_detail() -> None:
    check = Check("hits", "failed", "", (Failure("hit_order", "hit hit_1", "expected 1, found 2"),))
    assert "- hit_order: hit hit_1: expected 1, found 2" in describe_report(make_report(check))


def test_a_long_list_of_failures_is_cut_and_says_so() -> None:
    failures = tuple(Failure("hit_order", f"hit {number}", "no") for number in range(FAILURES_SHOWN + 3))
    text = describe_report(make_report(Check("hits", "failed", "", failures)))
    assert "… and 3 more" in text
    assert f"hit {FAILURES_SHOWN}:" not in text


def test_control_characters_of_a_file_do_not_reach_the_terminal() -> None:
    check = Check("trust", "failed", "a\x1b[2Jb", (Failure("trust_malformed", "x\x07\x1b]0;t", "y\u202e\x9b"),))
    text = describe_report(make_report(check))
    assert all(character == "\n" or character.isprintable() for character in text)


@pytest.mark.parametrize("grade", [grade for grade in GRADES if grade != "proved"])
def test_a_signature_is_never_called_a_proof(grade: str) -> None:
    text = describe_report(make_report(grades={grade: 2}))
    assert f"2 {grade}:" in text
    assert "proved" not in text


def test_an_attested_receipt_is_said_to_be_a_word_and_no_proof() -> None:
    text = describe_report(make_report(grades={"attested": 1}))
    assert "the model owner's runner says so; not a proof of the computation" in text


def test_what_failed_states_no_grade() -> None:
    failed = Check("hits", "failed", "", (Failure("hit_order", "it", "no"),))
    text = describe_report(make_report(failed, grades={"attested": 1}))
    assert "attested" not in text
    assert "FAILED" in text


def test_the_end_names_time_checkpoint_and_sample() -> None:
    log = LogState("log.example", bytes(32), 1_000, ())
    text = describe_report(make_report(log=log, as_of_ms=0, sample=SampleResult(5, 50, bytes(32))))
    assert "as of 1970-01-01 00:00:00 UTC" in text
    assert "log.example, 1,000 leaves, root " + "00" * 32 in text
    assert "5 of 50 receipts" in text
    assert "0.0490" in text


def test_a_signed_note_can_be_copied_out_of_the_text() -> None:
    note = "log.example/a-long-origin\n7\n" + "A" * 43 + "=\n\n\N{EM DASH} log.example " + "B" * 100
    text = describe_report(
        make_report(Check("rollback", "failed", "", (Failure("split_view", "it", f"two:\n{note}"),)))
    )
    for line in filter(None, note.split("\n")):
        assert any(line.split()[-1] in shown.split() for shown in text.splitlines())


def test_a_time_beyond_the_calendar_is_shown_as_a_number() -> None:
    assert format_time(2**53 - 1) == f"{2**53 - 1} ms"
