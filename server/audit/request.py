"""What an export is asked for, in one form for command line, endpoint and job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from crypto.canonical import INTEGER_MAX
from crypto.errors import Error
from crypto.manifest import is_model_version

FROM_SIZES_MAX: Final = 64
OPENED_MAX: Final = 100_000
#: What is kept to be opened: of a receipt, of the statement about its vector, and of the hits that it answered.
QUERY_KIND: Final = "query_vector"
OPENING_KINDS: Final = (
    "commitment",
    "output",
    "output_tokens",
    "prompt",
    "prompt_tokens",
    QUERY_KIND,
    "text",
    "vector",
)


class ExportError(Error):
    """An export cannot be made as asked; the message says what to change.

    ExportError
    ├── ExportUnavailable      not now: the log does not move, or is damaged
    ├── ExportNotReady         a job has no file, here or yet
    ├── ExportRunning          one of this tenant is running
    └── ExportsBusy            as many as may are running, of whatever tenants
    """


class ExportUnavailable(ExportError):
    """Nothing can be proved now; the message says who can mend it."""


class ExportNotReady(ExportError):
    """A job has no file to give."""


class ExportRunning(ExportError):
    """An export of this tenant is running; another begins when it has ended."""


class ExportsBusy(ExportError):
    """As many exports are running as may."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Hits and receipts of [since, until), of one model version or of all; commitments of *opened* receipts are opened.

    *opened* is None for every receipt, and *kinds* says which commitments: none of them by default. *from_sizes* are
    checkpoints that an auditor has seen, to be proved continued. *applicability* has the proofs made that its hits lack,
    and opens the queries that they are about: a proof lets whoever holds it test guesses of its query, so it never goes
    where that query is to stay closed. Raises `ExportError`.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    model_version: str | None = None
    kinds: tuple[str, ...] = ()
    opened: frozenset[str] | None = None
    from_sizes: tuple[int, ...] = ()
    applicability: bool = False

    def __post_init__(self) -> None:
        if self.applicability and QUERY_KIND not in self.kinds:
            object.__setattr__(self, "kinds", (*self.kinds, QUERY_KIND))
        numbers = [self.since_ms or 0, self.until_ms or 0, *self.from_sizes]
        if not 0 <= min(numbers) <= max(numbers) <= INTEGER_MAX:
            raise ExportError("times and sizes are integers from 0 to 2^53 - 1")
        if self.since_ms is not None and self.until_ms is not None and self.since_ms >= self.until_ms:
            raise ExportError("the time to export ends before it begins")
        if self.model_version is not None and not is_model_version(self.model_version):
            raise ExportError("a model version is sha256: and 64 lower-case hexadecimal digits")
        unknown = sorted(set(self.kinds) - set(OPENING_KINDS))
        if unknown:
            raise ExportError(f"nothing of the kind {unknown[0]!r} can be opened, only {', '.join(OPENING_KINDS)}")
        if self.opened is not None and len(self.opened) > OPENED_MAX:
            raise ExportError(f"more than {OPENED_MAX} receipts are to be opened one by one; open all instead")
        if len(self.from_sizes) > FROM_SIZES_MAX or any(size < 1 for size in self.from_sizes):
            raise ExportError(f"earlier checkpoints are named by at most {FROM_SIZES_MAX} sizes of 1 and more")

    @property
    def opens_content(self) -> bool:
        """Whether any plaintext would leave with the bundle."""
        return bool(self.kinds)

    def opens(self, receipt: str) -> bool:
        """Say whether the commitments of *receipt* are to be opened."""
        return self.opens_content and (self.opened is None or receipt in self.opened)

    def to_json(self) -> dict[str, Any]:
        """Return what a job and the audit log keep of it."""
        return {
            "since_ms": self.since_ms,
            "until_ms": self.until_ms,
            "model_version": self.model_version,
            "kinds": sorted(self.kinds),
            "opened": None if self.opened is None else len(self.opened),
            "from_sizes": list(self.from_sizes),
            "applicability": self.applicability,
        }
