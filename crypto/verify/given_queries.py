"""Queries that the auditor computed: is what a hit was proved for what was really asked?"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import VerificationError
from .applicability_rules import ApplicabilityRules
from .documents import ApplicabilityPart
from .findings import Notes
from .options import GivenQuery

#: How failures of this kind are named, which the second implementation cannot find.
GIVEN_SUBJECT = "the query given for "
#: Two machines round the same embedding at most this far apart.
TOLERANCE = 1


def check_given(
    notes: Notes, rules: ApplicabilityRules, proved: Mapping[str, ApplicabilityPart], shown: frozenset[str]
) -> str:
    """Return in words what came of the queries that the auditor gave; *shown* are the hits shown to be close.

    Reasons: `query_mismatch`, `embedder_mismatch`.
    """
    fitting = close = 0
    for given in rules.given:
        before = notes.total
        with notes.about(GIVEN_SUBJECT + (given.hit or "the only hit found by meaning"), "query_mismatch"):
            hit = given.hit or _only(rules)
            _verify_vector(given, rules.queries.get(hit))
            if given.embedders and rules.hits[hit].tier == "private":
                _verify_embedder(given.embedders, hit, rules, proved)
            fitting += 1
            close += hit in shown and notes.total == before
    if not rules.given:
        return ""
    return (
        f"{fitting:,} of {len(rules.given):,} queries that you gave are the ones of their hits, {close:,} shown close"
    )


def _only(rules: ApplicabilityRules) -> str:
    """Return the one hit that was found by meaning; raises `VerificationError` (`query_mismatch`)."""
    semantic = [record.hit for record in rules.hits.values() if record.tier != "exact"]
    if len(semantic) != 1:
        message = "it names no hit, and not exactly one was found by meaning"
        raise VerificationError(message, reason="query_mismatch", expected=1, actual=len(semantic))
    return semantic[0]


def _verify_vector(given: GivenQuery, opened: tuple[int, ...] | None) -> None:
    """Compare the query that was opened with the one that was given; raises `VerificationError` (`query_mismatch`)."""
    if opened is None:
        message = "the hit's query is not opened, or the hit is not here, so there is nothing to compare"
        raise VerificationError(message, reason="query_mismatch")
    if len(opened) != len(given.vector):
        message = "the hit's query has another number of components"
        raise VerificationError(message, reason="query_mismatch", expected=len(given.vector), actual=len(opened))
    furthest = max((abs(one - other) for one, other in zip(opened, given.vector, strict=True)), default=0)
    if furthest > TOLERANCE:
        message = "the hit's query is another one"
        expected = f"components no further than {TOLERANCE} from those given"
        raise VerificationError(message, reason="query_mismatch", expected=expected, actual=furthest)


def _verify_embedder(
    embedders: frozenset[str], hit: str, rules: ApplicabilityRules, proved: Mapping[str, ApplicabilityPart]
) -> None:
    """Check that the stored vector is of the same embedder as the query; raises `VerificationError`.

    It is the vector of the hit's proof, or, without one, any that is stated about the receipt.
    """
    if hit in proved:
        found = {proved[hit].embedding.statement.embedder}
    else:
        receipt = rules.hits[hit].receipt
        stated = (one.statement for one in rules.embeddings.values())
        found = {statement.embedder for statement in stated if statement.statement == receipt}
    if not embedders & found:
        message = "the stored vector was made by another embedder than the query"
        expected, actual = (" or ".join(sorted(one)[:8]) or "no vector is stated" for one in (embedders, found))
        raise VerificationError(message, reason="embedder_mismatch", expected=expected, actual=actual)
