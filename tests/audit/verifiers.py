"""Both implementations behind one call, so that a test can ask them the same question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crypto.last_seen import parse_last_seen
from crypto.reference.verify import verify
from crypto.verify import AuditOptions, verify_bundle
from tests.audit.tampering import Attempt


@dataclass(frozen=True, slots=True)
class Verdict:
    """What both say in common: exit code, first reason in order, and what was accepted."""

    exit_code: int
    reason: str | None
    statements: frozenset[str]
    hits: frozenset[str]
    grades: tuple[tuple[str, int], ...]
    applicable: frozenset[str]


def ask_first(tried: Attempt) -> Verdict:
    """Ask the implementation that auditors run."""
    seen = None if tried.last_seen is None else parse_last_seen(tried.last_seen)
    options = AuditOptions(now_ms=tried.now_ms, max_age_ms=tried.max_age_ms, last_seen=seen)
    found = verify_bundle(tried.data, tried.trust, options)
    reasons = [failure.reason for check in found.report.checks for failure in check.failures]
    grades = {name: count for name, count in found.report.grades.items() if count}
    return Verdict(
        found.report.exit_code,
        reasons[0] if reasons else None,
        found.statements,
        found.hits,
        tuple(sorted(grades.items())),
        found.applicable,
    )


def ask_second(tried: Attempt) -> Verdict:
    """Ask the one that was written from the formats alone."""
    found = verify(tried.data, tried.trust, now_ms=tried.now_ms, max_age_ms=tried.max_age_ms, last_seen=tried.last_seen)
    grades = {name: count for name, count in found.grades.items() if count}
    return Verdict(
        found.exit_code,
        found.reason,
        found.statements,
        found.hits,
        tuple(sorted(grades.items())),
        found.applicable,
    )


VERIFIERS: dict[str, Callable[[Attempt], Verdict]] = {"first": ask_first, "second": ask_second}
