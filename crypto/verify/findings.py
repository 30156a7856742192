"""How checks are run and noted: one failure does not hide another, and what could not be checked is said to be so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from ..errors import EncodingError, Error, VerificationError
from ..report import CHECKS, FAILURES_MAX, Check, CheckStatus, Failure

Value = TypeVar("Value")


class Stopped(Error):
    """A check failed on which everything behind it rests."""


class Notes:
    """What one check finds: failures, a sentence for people, and whether there was anything to check."""

    def __init__(self) -> None:
        self.detail = ""
        self.failures: list[Failure] = []
        self.dropped = 0
        self.covered = True

    def fail(self, reason: str, subject: str, detail: str) -> None:
        """Note a failure; those beyond `FAILURES_MAX` are only counted."""
        self.add(Failure(reason, subject, detail))

    def add(self, failure: Failure) -> None:
        """Note a failure that was made elsewhere."""
        if len(self.failures) < FAILURES_MAX:
            self.failures.append(failure)
        else:
            self.dropped += 1

    def leave_uncovered(self, detail: str) -> None:
        """Say that this was not checked, and why."""
        self.covered, self.detail = False, detail

    @contextmanager
    def about(self, subject: str, reason: str = "malformed") -> Iterator[None]:
        """Note a refusal inside as a failure of *subject*, under *reason* where it brings none, and go on behind."""
        try:
            yield
        except (VerificationError, EncodingError) as error:
            self.add(Failure.of(subject, error, reason))

    @property
    def failed(self) -> bool:
        """Whether anything failed so far."""
        return bool(self.failures)

    @property
    def total(self) -> int:
        """How many failures there were, those that are only counted included."""
        return len(self.failures) + self.dropped

    def close(self, name: str) -> Check:
        """Return the check as it stands in the report."""
        status: CheckStatus = "failed" if self.failures else "passed" if self.covered else "not_covered"
        detail = self.detail + (f" ({self.dropped} further failures are not listed)" if self.dropped else "")
        return Check(name, status, detail, tuple(self.failures))


class Findings:
    """The checks that were made, by name."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._stopped_at = ""

    def require(self, name: str, check: Callable[[Notes], Value]) -> Value:
        """Run *check* and return what it found; raises `Stopped` if anything in it failed."""
        notes = Notes()
        self._stopped_at = name
        try:
            value = check(notes)
        except (VerificationError, EncodingError) as error:
            notes.add(Failure.of(name, error))
            raise Stopped(name) from None
        finally:
            self._checks[name] = notes.close(name)
        if notes.failed:
            raise Stopped(name)
        self._stopped_at = ""
        return value

    def run(self, name: str, check: Callable[[Notes], Value]) -> Value:
        """Run *check*, which notes its failures and returns what it found in spite of them."""
        notes = Notes()
        try:
            return check(notes)
        finally:
            self._checks[name] = notes.close(name)

    def passed(self) -> bool:
        """Say whether nothing failed so far, a revoked model aside."""
        return all(check.status != "failed" for check in self._checks.values() if check.name != "model_status")

    def add(self, check: Check) -> None:
        """Put *check* among the others."""
        self._checks[check.name] = check

    def close(self, uncovered: str = "") -> tuple[Check, ...]:
        """Return all checks in order; those that were not made say *uncovered*, or which failure kept them from it."""
        why = uncovered or f"not checked, because the check “{self._stopped_at}” failed"
        made = self._checks
        return tuple(
            made.get(name) or Check(name, "not_covered", why)
            for name in CHECKS
            if name in made or name != "cross_check"
        )
