"""The proofs themselves: all of a file at once in one pairing equation, and the bad ones named where that fails.

The curve's library is imported only where there is a proof to check.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..applicability.bisection import FOUND_MAX
from ..applicability.claims import Claim
from ..applicability.statement import ApplicabilityStatement, WellFormednessStatement
from ..errors import EncodingError, VerificationError
from ..hit import HitRecord
from ..report import Failure
from .applicability_rules import ApplicabilityRules
from .documents import ApplicabilityPart, Documents, WellFormednessPart
from .findings import Notes
from .readings import ReadEmbedding

WELL_FORMEDNESS_INVALID = "well_formedness_invalid"
APPLICABILITY_INVALID = "applicability_invalid"


@dataclass(frozen=True, slots=True)
class Tried:
    """One proof: the equation that is left to check, or why it was refused, or neither where its query is closed."""

    subject: str
    reason: str
    embedding: str
    claim: Claim | None = None
    error: VerificationError | EncodingError | None = None

    def refused(self, error: VerificationError | EncodingError) -> Tried:
        """Return it with the reason why it does not count."""
        return replace(self, claim=None, error=error)


def check_proofs(notes: Notes, documents: Documents, rules: ApplicabilityRules) -> frozenset[str]:
    """Return the hits that are shown to be close by proofs, their own and their commitment's; note what is refused.

    Reasons: `well_formedness_invalid`, `applicability_mismatch`, `well_formedness_missing`, `tau_below_policy`,
    `applicability_invalid`.
    """
    basics = [one for one in documents.well_formed.values() if not rules.is_skipped(one.embedding.statement.statement)]
    hits = [one for one in documents.hits.values() if not rules.is_skipped(one.embedding.statement.statement)]
    if not basics and not hits:
        return frozenset()
    from ..applicability.verifier import load_verifier

    verifier = load_verifier(rules.srs)

    def claim_basic(part: WellFormednessPart) -> Claim:
        return verifier.claim_well_formedness(_state_well_formedness(part), part.document.proof)

    def claim_hit(part: ApplicabilityPart) -> Claim | None:
        record = _find_hit(part, documents, rules)
        query = rules.queries.get(record.hit)
        if query is None:
            return None
        rules.verify_threshold(record, query)
        return verifier.claim_applicability(_state_applicability(part, record, query), part.document.proof)

    tried = [_try(part, WELL_FORMEDNESS_INVALID, claim_basic) for part in basics]
    tried += [_try(part, APPLICABILITY_INVALID, claim_hit) for part in hits]
    settled = settle(tried, verifier.find_invalid)
    for one in settled:
        if one.error is not None:
            notes.add(Failure.of(one.subject, one.error, one.reason))
    own = zip(hits, settled[len(basics) :], strict=True)
    return frozenset(part.document.hit for part, one in own if one.claim is not None)


def _try(part: WellFormednessPart | ApplicabilityPart, reason: str, claim: Callable[..., Claim | None]) -> Tried:
    """Take one proof as far as it goes without a pairing."""
    tried = Tried(part.subject, reason, part.document.embedding)
    try:
        return replace(tried, claim=claim(part))
    except (VerificationError, EncodingError) as error:
        return tried.refused(error)


def settle(tried: Sequence[Tried], find_invalid: Callable[[Sequence[Claim]], frozenset[int]]) -> list[Tried]:
    """Return *tried* with all that does not hold refused, a hit's proof also where its commitment's does not hold."""
    settled = list(tried)
    places = [place for place, one in enumerate(tried) if one.claim is not None]
    claims = [one.claim for one in tried if one.claim is not None]
    for found, number in enumerate(sorted(find_invalid(claims)) if claims else ()):
        one = settled[places[number]]
        message = "the proof does not hold"
        if found >= FOUND_MAX:
            message = f"the proof was not looked at, because {FOUND_MAX} before it do not hold"
        settled[places[number]] = one.refused(VerificationError(message, reason=one.reason))
    broken = {one.embedding for one in settled if one.reason == WELL_FORMEDNESS_INVALID and one.error is not None}
    for place, one in enumerate(settled):
        if one.reason == APPLICABILITY_INVALID and one.error is None and one.embedding in broken:
            message = "no proof that its commitment is well formed was found to hold"
            settled[place] = one.refused(VerificationError(message, reason="well_formedness_missing"))
    return settled


def _find_hit(part: ApplicabilityPart, documents: Documents, rules: ApplicabilityRules) -> HitRecord:
    """Return the hit that *part* is about.

    Raises `VerificationError`: `applicability_mismatch`, `well_formedness_missing`.
    """
    record = rules.hits.get(part.document.hit)
    if record is None:
        raise VerificationError("the hit is not in the bundle", reason="applicability_mismatch")
    if record.tier != "private":
        message = "only hits of the tier private are proved"
        raise VerificationError(message, reason="applicability_mismatch", expected="private", actual=record.tier)
    if record.receipt != part.embedding.statement.statement:
        raise VerificationError(
            "the hit answered with another receipt than the one whose vector is proved",
            reason="applicability_mismatch",
            expected=record.receipt,
            actual=part.embedding.statement.statement,
        )
    if part.document.embedding not in documents.well_formed:
        message = "no proof here says that its commitment is well formed"
        raise VerificationError(message, reason="well_formedness_missing", expected=part.document.embedding)
    return record


def _state_well_formedness(part: WellFormednessPart) -> WellFormednessStatement:
    return WellFormednessStatement(part.suite, _commitment(part.embedding))


def _state_applicability(part: ApplicabilityPart, record: HitRecord, query: tuple[int, ...]) -> ApplicabilityStatement:
    return ApplicabilityStatement(
        suite=part.suite,
        embedding=part.document.embedding,
        record=record.to_payload(),
        commitment=_commitment(part.embedding),
        query=query,
        tau=record.tau or 0,
        dimension=part.embedding.statement.dimension,
    )


def _commitment(embedding: ReadEmbedding) -> bytes:
    """Return the commitment, which every statement that has a suite names."""
    return bytes.fromhex(embedding.statement.commitment or "")
