"""Documents with proofs in them: each is what its leaf says, about an embedding statement that counts, and only once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..applicability.documents import (
    KIND_APPLICABILITY,
    KIND_WELL_FORMEDNESS,
    Applicability,
    ProofDocument,
    WellFormedness,
)
from ..applicability.suites import Suite, find_suite
from ..applicability_lines import ProofLine
from ..bodies import Evidence
from ..bundle_lines import BodyLine
from ..errors import VerificationError
from .findings import Notes
from .readings import ReadEmbedding

KINDS = frozenset({KIND_WELL_FORMEDNESS, KIND_APPLICABILITY})


@dataclass(frozen=True, slots=True)
class WellFormednessPart:
    """A well-formedness document in which nothing is wrong but perhaps the proof; *index* is its leaf's, if it has one."""

    index: int | None
    document: WellFormedness
    embedding: ReadEmbedding
    suite: Suite

    @property
    def subject(self) -> str:
        """What a report calls it."""
        return _name(self.index, self.document)


@dataclass(frozen=True, slots=True)
class ApplicabilityPart:
    """An applicability document in which nothing is wrong but perhaps the proof, or the hit that it names."""

    index: int | None
    document: Applicability
    embedding: ReadEmbedding
    suite: Suite

    @property
    def subject(self) -> str:
        """What a report calls it."""
        return _name(self.index, self.document)


@dataclass(slots=True)
class Documents:
    """What is left to check: well-formedness by embedding statement, applicability by hit; *unknown* are of other suites."""

    well_formed: dict[str, WellFormednessPart] = field(default_factory=dict)
    hits: dict[str, ApplicabilityPart] = field(default_factory=dict)
    unknown: list[ProofDocument] = field(default_factory=list)

    def add(self, document: ProofDocument, embedding: ReadEmbedding, index: int | None = None) -> None:
        """Put *document* where it belongs; its suite is that of *embedding*."""
        suite = find_suite(document.suite)
        if suite is None:
            self.unknown.append(document)
        elif isinstance(document, Applicability):
            self.hits[document.hit] = ApplicabilityPart(index, document, embedding, suite)
        else:
            self.well_formed[document.embedding] = WellFormednessPart(index, document, embedding, suite)


def check_documents(
    notes: Notes, lines: Iterable[ProofLine], bodies: Iterable[BodyLine], embeddings: Mapping[str, ReadEmbedding]
) -> Documents:
    """Return the documents that are what their leaves say, about one of *embeddings*; note the others.

    Reasons: `applicability_mismatch`.
    """
    stated = {line.index: line.body for line in bodies if isinstance(line.body, Evidence) and line.body.kind in KINDS}
    found, seen = Documents(), set[tuple[str, str]]()
    for line in lines:
        with notes.about(_name(line.index, line.document), "applicability_mismatch"):
            _verify_body(line.document, stated.pop(line.index, None), embeddings)
            key = line.document.kind, _about(line.document)
            if key in seen:
                raise _mismatch(f"a second {line.document.kind} document of the same", actual=key[1])
            seen.add(key)
            found.add(line.document, embeddings[line.document.embedding], line.index)
    for index, body in stated.items():
        notes.fail("applicability_mismatch", f"leaf {index}", f"no document is here for its body of kind {body.kind}")
    return found


def _verify_body(document: ProofDocument, body: Evidence | None, embeddings: Mapping[str, ReadEmbedding]) -> None:
    """Compare *document* with the body of its leaf, and both with its embedding statement."""
    if body is None:
        raise _mismatch("no body at this leaf is about a proof")
    stated, found = (body.kind, body.digest), (document.kind, document.digest())
    if stated != found:
        raise _mismatch("the document is another than its body says", expected=stated, actual=found)
    embedding = embeddings.get(document.embedding)
    if embedding is None:
        raise _mismatch("no embedding statement of the bundle that counts has this digest", actual=document.embedding)
    statement = embedding.statement
    if body.statement != statement.statement:
        message = "the body is about another receipt than the embedding statement"
        raise _mismatch(message, expected=statement.statement, actual=body.statement)
    if document.suite != statement.suite:
        message = "the document is of another suite than the commitment"
        raise _mismatch(message, expected=statement.suite, actual=document.suite[:64])


def _about(document: ProofDocument) -> str:
    return document.hit if isinstance(document, Applicability) else document.embedding


def _name(index: int | None, document: ProofDocument) -> str:
    name = f"applicability proof of {document.hit}" if isinstance(document, Applicability) else "well-formedness proof"
    return name if index is None else f"{name}, leaf {index}"


def _mismatch(message: str, *, expected: object = None, actual: object = None) -> VerificationError:
    return VerificationError(message, reason="applicability_mismatch", expected=expected, actual=actual)
