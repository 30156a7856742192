"""What an auditor asks for, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..evidence import EvidenceVerifier
from ..last_seen import LastSeen
from ..report import Report


class SecondVerdict(Protocol):
    """What another implementation says of the same file."""

    @property
    def exit_code(self) -> int:
        """0, 1, 2 or 3, as a report's."""
        ...

    @property
    def grades(self) -> Mapping[str, int]:
        """How many receipts reached which grade, without replay."""
        ...

    @property
    def statements(self) -> frozenset[str]:
        """Digests of the statements that were accepted."""
        ...

    @property
    def hits(self) -> frozenset[str]:
        """Ids of the hits that were accepted."""
        ...

    @property
    def applicable(self) -> frozenset[str]:
        """Ids of the hits that are shown to be close to what answered them, by a proof or a match."""
        ...


class SecondOpinion(Protocol):
    """Another implementation of the whole verification."""

    def __call__(
        self, data: bytes, trust: bytes, *, now_ms: int, max_age_ms: int | None, last_seen: bytes | None
    ) -> SecondVerdict:
        """Verify the bundle *data*; it shares no code with the first implementation."""
        ...


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """Look closely at *count* receipts; *draw_nonce* is called once the root is known, so nobody could foresee which."""

    count: int
    draw_nonce: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Run the model in *folder* again, with whatever *verifiers* are installed."""

    folder: Path
    verifiers: Mapping[str, EvidenceVerifier]


@dataclass(frozen=True, slots=True)
class GivenQuery:
    """A quantised query that the auditor computed, of the hit with this id, or of the only one found by meaning.

    *embedders* are the digests of what computed it, none where the auditor does not say; one of them must be the entry's.
    """

    vector: tuple[int, ...]
    hit: str | None = None
    embedders: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """What an auditor asks for beside the file.

    *now_ms* is the auditor's clock, *compared* are notes from elsewhere, *srs* is the auditor's copy of the ceremony's
    file, this package's own unless given.
    """

    now_ms: int
    max_age_ms: int | None = None
    last_seen: LastSeen | None = None
    compared: tuple[str, ...] = ()
    sample: SampleRequest | None = None
    replay: ReplayRequest | None = None
    second_opinion: SecondOpinion | None = None
    queries: tuple[GivenQuery, ...] = ()
    srs: Path | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """The report, which statements and hits were accepted, and what to remember: None unless passed or revoked.

    *applicable* are the hits that are shown to be close to what answered them.
    """

    report: Report
    statements: frozenset[str] = field(default_factory=frozenset)
    hits: frozenset[str] = field(default_factory=frozenset)
    last_seen: LastSeen | None = None
    applicable: frozenset[str] = field(default_factory=frozenset)
