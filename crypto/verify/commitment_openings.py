"""Opened algebraic commitments: the vector that proofs were about, shown to whoever may see it.

The curve's library is imported only where a commitment is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..applicability.suites import Suite, find_suite
from ..bundle_lines import OpeningLine
from ..canonical import JsonValue
from ..errors import EncodingError, VerificationError
from .findings import Notes
from .readings import ReadEmbedding

COMMITMENT_KIND: Final = "commitment"
_MISMATCH: Final = "opening_mismatch"


@dataclass(frozen=True, slots=True)
class CommitmentsOpened:
    """The vectors that open their commitments, by statement, and how many have a suite that is not known here."""

    vectors: Mapping[str, JsonValue]
    unknown: int


@dataclass(frozen=True, slots=True)
class _Stated:
    """A line in form about a statement with a commitment in a suite that is known."""

    line: OpeningLine
    suite: Suite
    commitment: bytes
    vector: tuple[int, ...]


def check_commitment_openings(
    notes: Notes, openings: Iterable[OpeningLine], embeddings: Mapping[str, ReadEmbedding], srs: Path | None
) -> CommitmentsOpened:
    """Return which commitments open to the vectors given, all of them checked as one sum; note the others.

    Reasons: `opening_unknown`, `opening_mismatch`. Raises `SetupError` where *srs* is not the ceremony's file.
    """
    lines = list(openings)
    vectors = {line.statement: line.value for line in lines if line.kind == "vector"}
    stated: list[_Stated] = []
    unknown = 0
    for line in lines:
        if line.kind != COMMITMENT_KIND:
            continue
        with notes.about(_subject(line), _MISMATCH):
            suite, commitment = _find_commitment(line, embeddings)
            if suite is None:
                unknown += 1
                continue
            vector = _read_vector(line, embeddings[line.statement].statement.dimension, vectors)
            stated.append(_Stated(line, suite, commitment, vector))
    return CommitmentsOpened(_check_sums(notes, stated, srs) if stated else {}, unknown)


def _check_sums(notes: Notes, stated: Iterable[_Stated], srs: Path | None) -> dict[str, JsonValue]:
    from ..applicability.opening import CommitmentOpening, load_opening_verifier

    verifier = load_opening_verifier(srs)
    tried = []
    for one in stated:
        with notes.about(_subject(one.line), _MISMATCH):
            opening = CommitmentOpening(one.suite, one.commitment, one.vector, one.line.salt)
            tried.append((one.line, verifier.claim(opening)))
    invalid = verifier.find_invalid([claim for _, claim in tried])
    for place in sorted(invalid):
        message = "vector and seed do not give the algebraic commitment that was signed"
        notes.fail(_MISMATCH, _subject(tried[place][0]), message)
    return {line.statement: line.value for place, (line, _) in enumerate(tried) if place not in invalid}


def _subject(line: OpeningLine) -> str:
    return f"{line.kind} of statement {line.statement}"


def _find_commitment(line: OpeningLine, embeddings: Mapping[str, ReadEmbedding]) -> tuple[Suite | None, bytes]:
    """Return suite and commitment of the statement that *line* is about; raises `VerificationError`."""
    if line.statement not in embeddings:
        raise VerificationError("no statement in the bundle has this digest and kind", reason="opening_unknown")
    statement = embeddings[line.statement].statement
    if statement.commitment is None or statement.suite is None:
        raise VerificationError("the statement has no algebraic commitment", reason=_MISMATCH)
    return find_suite(statement.suite), bytes.fromhex(statement.commitment)


def _read_vector(line: OpeningLine, dimension: int, vectors: Mapping[str, JsonValue]) -> tuple[int, ...]:
    """Return the vector of *line*, as long as its statement says, and the one of *vectors* where that has one.

    Raises `EncodingError` and `VerificationError`.
    """
    value = line.value if isinstance(line.value, list) else [None]
    vector = tuple(item for item in value if type(item) is int)
    if len(vector) != len(value):
        raise EncodingError("the value is not an array of integers")
    if len(vector) != dimension:
        message = "the opened vector has another dimension than its statement says"
        raise VerificationError(message, reason=_MISMATCH, expected=dimension)
    if vectors.get(line.statement, line.value) != line.value:
        message = "the statement's commitments are opened to two different vectors"
        raise VerificationError(message, reason=_MISMATCH)
    return vector
