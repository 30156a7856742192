"""What a verification found, as a value with one JSON form: every check, why it failed, and what was reached.

Format: docs/formats.md, "Verification report v1". The text for people is made of it in `report_text`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from .canonical import CanonicalValue, canonical_json
from .errors import Error, VerificationError

SCHEMA: Final = "hitproof/report/v1"
#: Every check, in the order in which it is made and reported.
CHECKS: Final = (
    "archive",
    "trust",
    "manifest",
    "checkpoint",
    "witnesses",
    "rollback",
    "inclusion",
    "status",
    "freshness",
    "receipts",
    "hits",
    "openings",
    "evidence",
    "publisher",
    "replay",
    "ledger",
    "applicability",
    "model_status",
    "cross_check",
)
GRADES: Final = ("declared", "attested", "replayed", "proved")
COUNTS: Final = ("evidence", "hits", "openings", "receipts")
#: Reasons that say that the file could not even be read as what it is.
UNREADABLE: Final = frozenset(
    {"archive_unreadable", "archive_not_canonical", "archive_member", "trust_malformed", "manifest_malformed"}
)
FAILURES_MAX: Final = 1_000
#: Enough for the two signed checkpoints that show a split view.
DETAIL_LENGTH_MAX: Final = 2**14

CheckStatus = Literal["passed", "failed", "not_covered"]
Verdict = Literal["passed", "failed", "unreadable", "revoked"]
_EXIT_CODES: Final[Mapping[Verdict, int]] = {"passed": 0, "failed": 1, "unreadable": 2, "revoked": 3}


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that is not as it must be: *subject* names it, *reason* is a word of docs/formats.md."""

    reason: str
    subject: str
    detail: str

    @classmethod
    def of(cls, subject: str, error: Error, reason: str = "malformed") -> Failure:
        """Return the failure that *error* reports; *reason* stands in where the error brings none."""
        detail = str(error)
        if isinstance(error, VerificationError):
            reason = error.reason or reason
            if error.expected is not None or error.actual is not None:
                detail += f"; expected {error.expected}, found {error.actual}"
        return cls(reason, subject, detail[:DETAIL_LENGTH_MAX])


@dataclass(frozen=True, slots=True)
class Check:
    """One check and what came of it."""

    name: str
    status: CheckStatus
    detail: str
    failures: tuple[Failure, ...] = ()

    def to_json(self) -> dict[str, CanonicalValue]:
        """Return the form that stands in a report."""
        failures = [{"detail": one.detail, "reason": one.reason, "subject": one.subject} for one in self.failures]
        return {"check": self.name, "detail": self.detail, "failures": failures, "status": self.status}


@dataclass(frozen=True, slots=True)
class LogState:
    """The checkpoint that everything was proved under, and the trusted witnesses that signed it."""

    origin: str
    root: bytes
    size: int
    witnesses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SampleResult:
    """Which share of the receipts was looked at, drawn by which nonce."""

    checked: int
    of: int
    nonce: bytes

    @property
    def detects_one_percent(self) -> str:
        """The chance that one in a hundred bad receipts would have shown, as a decimal with four digits."""
        if not self.checked:
            return "0.0000"
        return "1.0000" if self.checked >= self.of else f"{1 - 0.99**self.checked:.4f}"


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """What the second implementation said."""

    differences: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether both implementations came to the same end."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class Report:
    """All that a verification found; *checks* are in the order of `CHECKS`."""

    checks: tuple[Check, ...]
    grades: Mapping[str, int]
    counts: Mapping[str, int]
    log: LogState | None = None
    as_of_ms: int | None = None
    file_sha256: str = ""
    cross_check: CrossCheck | None = None
    sample: SampleResult | None = None

    @property
    def verdict(self) -> Verdict:
        """`unreadable` and `failed` outweigh `revoked`: a revoked model is news only about what is authentic."""
        failed = [check for check in self.checks if check.status == "failed"]
        if any(failure.reason in UNREADABLE for check in failed for failure in check.failures):
            return "unreadable"
        if any(check.name != "model_status" for check in failed):
            return "failed"
        return "revoked" if failed else "passed"

    @property
    def exit_code(self) -> int:
        """What the command ends with: 0, 1, 2 or 3."""
        return _EXIT_CODES[self.verdict]

    @property
    def reason(self) -> str | None:
        """The first failure's reason in the order of the checks, or None."""
        return next((failure.reason for check in self.checks for failure in check.failures), None)

    def to_json(self) -> dict[str, CanonicalValue]:
        """Return the report as one object."""
        return {
            "as_of_ms": self.as_of_ms,
            "checks": [check.to_json() for check in self.checks],
            "counts": {name: self.counts.get(name, 0) for name in COUNTS},
            "cross_check": self._cross_check_json(),
            "exit_code": self.exit_code,
            "file_sha256": self.file_sha256,
            "grades": {name: self.grades.get(name, 0) for name in GRADES},
            "log": self._log_json(),
            "sample": self._sample_json(),
            "schema": SCHEMA,
            "verdict": self.verdict,
        }

    def to_payload(self) -> bytes:
        """Return the report's canonical JSON."""
        return canonical_json(self.to_json())

    def _log_json(self) -> CanonicalValue:
        if self.log is None:
            return None
        witnesses = list(self.log.witnesses)
        return {
            "origin": self.log.origin,
            "root": self.log.root.hex(),
            "size": self.log.size,
            "witnesses": witnesses,
        }

    def _cross_check_json(self) -> CanonicalValue:
        if self.cross_check is None:
            return None
        return {"agrees": self.cross_check.agrees, "differences": list(self.cross_check.differences)}

    def _sample_json(self) -> CanonicalValue:
        if self.sample is None:
            return None
        return {
            "checked": self.sample.checked,
            "detects_one_percent": self.sample.detects_one_percent,
            "nonce": self.sample.nonce.hex(),
            "of": self.sample.of,
        }
