"""The second implementation's word, and where it differs from the first's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..report import Check, CrossCheck, Failure, Report
from .given_queries import GIVEN_SUBJECT
from .history import COMPARED_SUBJECT
from .options import SecondVerdict, Verification

ACCEPTING = frozenset({0, 3})
#: What the second implementation does not do: its verdict is held against the first's without these.
FIRST_ALONE = frozenset({"publisher", "replay"})
DIFFERENCES_MAX = 16
_FIRST_ALONE_SUBJECTS = (COMPARED_SUBJECT, GIVEN_SUBJECT)


def compare_verdicts(verification: Verification, second: SecondVerdict) -> tuple[Check, CrossCheck]:
    """Return the check and what it found: other exit codes, or other grades or sets where the file is accepted.

    The second implementation does not run models again, so a replayed receipt counts as the attested one that it is, and
    neither a model's publisher nor a replay can make the two differ.
    """
    differences: list[str] = []
    report = verification.report
    first_code = _code_without(report, FIRST_ALONE)
    if second.exit_code != first_code:
        differences.append(f"exit code: first {first_code}, second {second.exit_code}")
    elif second.exit_code in ACCEPTING:
        first, other = _without_replay(report.grades), _without_replay(second.grades)
        differences += [
            f"grade {name}: first {first[name]}, second {other[name]}" for name in first if first[name] != other[name]
        ]
        differences += _between("statement", verification.statements, second.statements)
        differences += _between("hit", verification.hits, second.hits)
        differences += _between("applicability", verification.applicable, second.applicable)
    found = CrossCheck(tuple(differences[:DIFFERENCES_MAX]))
    if found.agrees:
        detail = "a second implementation, which shares no code with the first, came to the same end"
        return Check("cross_check", "passed", detail), found
    failures = tuple(Failure("cross_check", "the second implementation", text) for text in found.differences)
    detail = "two implementations differ, so one of them is wrong: trust neither, and report it"
    return Check("cross_check", "failed", detail, failures), found


def _code_without(report: Report, names: frozenset[str]) -> int:
    """Return the exit code of *report* as if the checks of *names* had not been made."""
    checks = (_without_compared(check) for check in report.checks if check.name not in names)
    return replace(report, checks=tuple(checks)).exit_code


def _without_compared(check: Check) -> Check:
    """Return *check* without what checkpoints and queries from elsewhere showed, which only the first is given."""
    kept = tuple(failure for failure in check.failures if not failure.subject.startswith(_FIRST_ALONE_SUBJECTS))
    status = "passed" if check.failures and not kept else check.status
    return replace(check, status=status, failures=kept)


def _without_replay(grades: Mapping[str, int]) -> dict[str, int]:
    attested = grades.get("attested", 0) + grades.get("replayed", 0)
    return {"attested": attested, "declared": grades.get("declared", 0), "proved": grades.get("proved", 0)}


def _between(name: str, first: frozenset[str], second: frozenset[str]) -> list[str]:
    only = [f"{name} accepted by the first alone: {item}" for item in sorted(first - second)]
    return only + [f"{name} accepted by the second alone: {item}" for item in sorted(second - first)]
