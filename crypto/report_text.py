"""A report for a person: one line for each check, what it looked at and why that matters, and then the verdict."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from .report import Check, Failure, Report, Verdict

WIDTH: Final = 110
FAILURES_SHOWN: Final = 20

_MARKS: Final = {"passed": "passed     ", "failed": "FAILED     ", "not_covered": "not covered"}
_TITLES: Final = {
    "archive": "the file is whole and in its only form",
    "trust": "the trust file says whose keys count",
    "manifest": "a gateway signed exactly these contents",
    "checkpoint": "the log signed the tree that all this is in",
    "witnesses": "others saw the same tree",
    "rollback": "the log only ever grew",
    "inclusion": "every receipt, batch and event is in the log",
    "status": "what was revoked, by the log's own word",
    "freshness": "that word is recent enough",
    "receipts": "each receipt is the word of a key that counted",
    "hits": "each reused answer had its receipt first",
    "openings": "the texts shown are the ones that were signed",
    "evidence": "later evidence is about these receipts",
    "publisher": "the model's publisher signed its files",
    "replay": "the model gives the same tokens again",
    "ledger": "the organisation's privacy spendings add up, and lie behind what was released",
    "applicability": "answers found by meaning were close to what was asked",
    "model_status": "no receipt is of a withdrawn model",
    "cross_check": "a second implementation agrees",
}
_GRADES: Final = {
    "declared": "the signer says so about a model that it did not load; nobody else stands behind it",
    "attested": "the model owner's runner says so; not a proof of the computation",
    "replayed": "the model was run again here and gave these tokens, within the margin stated above",
    "proved": "a proof of the computation itself was checked",
}
_VERDICTS: Final[dict[Verdict, str]] = {
    "passed": "PASSED: nothing that was checked is wrong",
    "failed": "FAILED: do not rely on this file; the reasons stand above",
    "unreadable": "UNREADABLE: this is not a bundle or not a trust file, or it was damaged; nothing is shown by it",
    "revoked": "REVOKED: everything here is authentic, but a model version was withdrawn since",
}


def describe_report(report: Report) -> str:
    """Return *report* as text, without any control character that a file could have smuggled in."""
    lines = [line for check in report.checks for line in _describe_check(check)]
    lines += ["", *_describe_end(report)]
    return "".join(f"{_printable(line)}\n" for line in lines)


def format_time(at_ms: int) -> str:
    """Return *at_ms* in UTC, or the number itself where no calendar reaches."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"{at_ms} ms"


def _describe_check(check: Check) -> Iterator[str]:
    yield f"{_MARKS[check.status]}  {check.name.replace('_', ' '):13}  {_TITLES[check.name]}"
    if check.detail:
        yield from _wrapped([check.detail], " " * 13)
    for failure in check.failures[:FAILURES_SHOWN]:
        yield from _describe_failure(failure)
    if len(check.failures) > FAILURES_SHOWN:
        yield f"{' ' * 13}… and {len(check.failures) - FAILURES_SHOWN:,} more; --json lists them"


def _describe_failure(failure: Failure) -> Iterator[str]:
    text = f"{failure.reason}: {failure.subject}: {failure.detail}"
    # Only signed notes, which hold no other control character, are shown line by line; elsewhere a file chose the lines.
    lines = text.rstrip("\n").split("\n") if failure.reason == "split_view" else [text]
    yield from _wrapped(lines, " " * 13 + "- ", " " * 15)


def _describe_end(report: Report) -> Iterator[str]:
    yield _VERDICTS[report.verdict]
    if report.verdict in ("failed", "unreadable"):
        return
    if not report.counts.get("receipts"):
        yield "  no receipt is in this file: it shows nothing about any answer"
    for grade, count in report.grades.items():
        yield f"  {count:,} {grade}: {_GRADES[grade]}"
    if report.sample is not None:
        share = f"{report.sample.checked:,} of {report.sample.of:,} receipts were looked at"
        chance = f"if one in a hundred were bad, that shows it with probability {report.sample.detects_one_percent}"
        yield f"  sample: {share}; {chance} (nonce {report.sample.nonce.hex()})"
    if report.as_of_ms is not None:
        yield f"  as of {format_time(report.as_of_ms)}: what was revoked later is not known here"
    if report.log is not None:
        yield f"  checkpoint: {report.log.origin}, {report.log.size:,} leaves, root {report.log.root.hex()}"
    yield f"  file: SHA-256 {report.file_sha256}"


def _wrapped(texts: Sequence[str], first: str, rest: str | None = None) -> list[str]:
    """Wrap each of *texts* at `WIDTH` without breaking words, so that a signed note can be copied out of it."""
    indent = first if rest is None else rest
    lines = []
    for number, line in enumerate(texts):
        start = first if number == 0 else indent
        lines += textwrap.wrap(
            _printable(line),
            WIDTH,
            initial_indent=start,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def _printable(text: str) -> str:
    """Return *text* with every control character, and whatever else moves a cursor, spelled out."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
