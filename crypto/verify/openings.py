"""Opened values: do salt and value give exactly the commitment that was signed?"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from ..applicability_lines import QueryLine
from ..bundle import BundleParts
from ..bundle_lines import OpeningLine
from ..canonical import CanonicalValue, JsonValue, canonical_json
from ..commitment import (
    output_commitment,
    output_tokens_commitment,
    prompt_commitment,
    prompt_tokens_commitment,
    query_vector_commitment,
    stated_json,
    text_commitment,
    vector_commitment,
)
from ..errors import EncodingError, VerificationError
from ..hit import HitRecord
from .applicability_rules import index_hits
from .commitment_openings import COMMITMENT_KIND, CommitmentsOpened, check_commitment_openings
from .findings import Notes
from .readings import ReadEmbedding, Readings, ReadReceipt

RECEIPT_KINDS = frozenset({"output", "prompt", "output_tokens", "prompt_tokens"})


@dataclass(frozen=True, slots=True)
class Opened:
    """What was opened and found right: values by statement and kind, the vectors of queries by hit."""

    values: Mapping[tuple[str, str], JsonValue]
    queries: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def find(self, statement: str, kind: str) -> JsonValue:
        """Return the opened value, or None."""
        return self.values.get((statement, kind))


def check_openings(
    notes: Notes,
    parts: BundleParts,
    readings: Readings,
    sampled: frozenset[str] | None,
    srs: Path | None = None,
) -> Opened:
    """Return the values that fit their commitments; of receipts, only those in *sampled*, or of all where it is None.

    *srs* is the auditor's own copy of the ceremony's file; raises `SetupError` where it is another.
    """
    receipts = {one.digest: one for one in readings.receipts if isinstance(one, ReadReceipt)}
    embeddings = {one.digest: one for one in readings.evidence if isinstance(one, ReadEmbedding)}
    values: dict[tuple[str, str], JsonValue] = {}
    skipped = 0
    for line in parts.openings:
        if line.kind == COMMITMENT_KIND:
            continue
        with notes.about(f"{line.kind} of statement {line.statement}", "opening_mismatch"):
            committed = _commitment(line, receipts, embeddings)
            _verify_dimension(line, embeddings)
            if line.kind in RECEIPT_KINDS and sampled is not None and line.statement not in sampled:
                skipped += 1
                continue
            verify_opening(line, committed)
            values[line.statement, line.kind] = line.value
    commitments = check_commitment_openings(notes, parts.openings, embeddings, srs)
    queries = _check_queries(notes, parts.queries, index_hits(parts))
    if values or commitments.vectors or queries or skipped or notes.failed:
        notes.detail = f"{len(values):,} prompts, outputs, token lists, texts and vectors are the ones that were signed"
        notes.detail += f"; {skipped:,} outside the sample are not covered" if skipped else ""
        notes.detail += _describe(commitments)
        notes.detail += f"; {len(queries):,} queries are the ones of their hits" if queries else ""
    elif commitments.unknown:
        notes.leave_uncovered("nothing is opened that this verifier can check" + _describe(commitments))
    else:
        notes.leave_uncovered("nothing is opened, so what was asked and answered stays hidden")
    values.update({(statement, COMMITMENT_KIND): value for statement, value in commitments.vectors.items()})
    return Opened(values, queries)


def _describe(commitments: CommitmentsOpened) -> str:
    held, unknown = len(commitments.vectors), commitments.unknown
    text = f"; {held:,} algebraic commitments are to the vectors that are opened" if held else ""
    return text + (f"; {unknown:,} are of suites that this verifier does not know" if unknown else "")


def _check_queries(
    notes: Notes, lines: Iterable[QueryLine], hits: Mapping[str, HitRecord]
) -> dict[str, tuple[int, ...]]:
    """Return the vectors of queries that fit what their hits commit to."""
    queries: dict[str, tuple[int, ...]] = {}
    for line in lines:
        with notes.about(f"query of {line.hit}", "opening_mismatch"):
            record = hits.get(line.hit)
            if record is None or record.query_vector is None:
                message = "no hit of the bundle with this id commits to the vector of a query"
                raise VerificationError(message, reason="opening_unknown")
            verify_query(line.salt, line.vector, record.query_vector)
            queries[line.hit] = line.vector
    return queries


def verify_query(salt: bytes, vector: Sequence[int], committed: bytes) -> None:
    """Check that *salt* and *vector* open *committed*; raises `VerificationError` and `EncodingError`."""
    if not hmac.compare_digest(query_vector_commitment(salt, vector_bytes(vector)), committed):
        message = "the query is another than the one that the hit was asked with"
        raise VerificationError(message, reason="opening_mismatch", expected=committed.hex())


def verify_opening(line: OpeningLine, committed: bytes | None) -> None:
    """Check that *line* opens *committed*; raises `VerificationError` (`opening_mismatch`)."""
    if committed is None:
        raise VerificationError("the statement commits to no such value", reason="opening_mismatch")
    try:
        found = _open(line)
    except EncodingError as error:
        raise VerificationError(f"the opened value is not in form: {error}", reason="opening_mismatch") from None
    if not hmac.compare_digest(found, committed):
        raise VerificationError(
            "salt and value do not give the commitment that was signed",
            reason="opening_mismatch",
            expected=committed.hex(),
            actual=found.hex(),
        )


def _commitment(
    line: OpeningLine, receipts: Mapping[str, ReadReceipt], embeddings: Mapping[str, ReadEmbedding]
) -> bytes | None:
    """Return the commitment that *line* opens; raises `VerificationError` (`opening_unknown`)."""
    if line.kind in RECEIPT_KINDS and line.statement in receipts:
        statement = receipts[line.statement].statement
        return {
            "output": statement.output_commitment,
            "prompt": statement.prompt_commitment,
            "output_tokens": statement.output_tokens_commitment,
            "prompt_tokens": statement.prompt_tokens_commitment,
        }[line.kind]
    if line.kind not in RECEIPT_KINDS and line.statement in embeddings:
        embedding = embeddings[line.statement].statement
        return {"text": embedding.text_commitment, "vector": embedding.vector_commitment}[line.kind]
    raise VerificationError("no statement in the bundle has this digest and kind", reason="opening_unknown")


def _verify_dimension(line: OpeningLine, embeddings: Mapping[str, ReadEmbedding]) -> None:
    """Check that an opened vector has as many components as its statement says; raises `VerificationError`."""
    if line.kind != "vector":
        return
    dimension = embeddings[line.statement].statement.dimension
    if not isinstance(line.value, list) or len(line.value) != dimension:
        message = "the opened vector has another dimension than its statement says"
        raise VerificationError(message, reason="opening_mismatch", expected=dimension)


def _open(line: OpeningLine) -> bytes:
    """Return the commitment that salt and value give; raises `EncodingError` for a value of another shape."""
    salt, value = line.salt, line.value
    match line.kind:
        case "output":
            return output_commitment(salt, _stated(value))
        case "prompt":
            return prompt_commitment(salt, _stated(value))
        case "output_tokens":
            return output_tokens_commitment(salt, _integers(value))
        case "prompt_tokens":
            return prompt_tokens_commitment(salt, _integers(value))
        case "vector":
            return vector_commitment(salt, vector_bytes(_integers(value)))
        case _:
            if not isinstance(value, str):
                raise EncodingError("an embedded text is a string")
            return text_commitment(salt, value)


def _stated(value: JsonValue) -> JsonValue:
    """Return *value*, a list that is stated already: two bundles cannot open one commitment differently."""
    if not isinstance(value, list) or canonical_json(cast(CanonicalValue, value)) != stated_json(value):
        raise EncodingError("the value is not a list that is stated: a field is null or a number has a fraction")
    return value


def _integers(value: JsonValue) -> list[int]:
    if not isinstance(value, list):
        raise EncodingError("the value is not an array of integers")
    numbers = [item for item in value if type(item) is int]
    if len(numbers) != len(value):
        raise EncodingError("the value is not an array of integers")
    return numbers


def vector_bytes(numbers: Sequence[int]) -> bytes:
    """Return one signed byte per component; raises `EncodingError` for a component that is none."""
    if not all(-128 <= number <= 127 for number in numbers):
        raise EncodingError("a vector's component is not a signed byte")
    return bytes(number & 255 for number in numbers)
