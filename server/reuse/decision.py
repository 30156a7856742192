"""May one of these candidates answer this query? One pure function over integers and facts.

A candidate answers exactly when ⟨q, e⟩ ≥ τ (`crypto.similarity`: the very inequality that is proved later) and no guard
in force doubts it. Candidates are tried best first. Steering by the request can raise τ and never lower it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from crypto.canonical import CanonicalValue
from crypto.errors import Error
from crypto.similarity import COSINE_ONE, cosine_estimate, is_matchable, threshold_integer
from server.reuse.guards import ALWAYS_GUARDS, Facts, doubts
from server.reuse.policy import ReusePolicy
from tenants.identifiers import EntryId

#: More than any caller asks an index for; a longer list is a fault of the caller's, not a reason to work longer.
CANDIDATES_MAX: Final = 64

Reason = Literal["mode", "query_vector", "query_language", "no_candidate", "below_threshold", "guard"]


@dataclass(frozen=True, slots=True)
class QueryView:
    """What the decision needs of a query: |q|² of its quantised vector, and the facts of its text."""

    norm_squared: int
    facts: Facts


@dataclass(frozen=True, slots=True)
class CandidateView:
    """What the decision needs of an entry: exact ⟨q, e⟩ and |e|², and the facts of its stored query."""

    entry_id: EntryId
    inner_product: int
    norm_squared: int
    facts: Facts


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a decision fell as it did, for the owner of both texts; *nearest_doubts* are all doubts about the nearest.

    *tau* is None when nothing was compared. Cosines are estimates in ten-thousandths and decide nothing.
    """

    threshold_ten_thousandths: int
    tau: int | None
    nearest: EntryId | None
    nearest_cosine_ten_thousandths: int | None
    nearest_inner_product: int | None
    nearest_doubts: tuple[str, ...]
    candidates_compared: int
    certified: bool

    def to_json(self) -> dict[str, CanonicalValue]:
        """Return the form that the API and the record of lookups carry."""
        return {
            "threshold_ten_thousandths": self.threshold_ten_thousandths,
            "tau": self.tau,
            "nearest": None if self.nearest is None else str(self.nearest),
            "nearest_cosine_ten_thousandths": self.nearest_cosine_ten_thousandths,
            "nearest_inner_product": self.nearest_inner_product,
            "nearest_doubts": list(self.nearest_doubts),
            "candidates_compared": self.candidates_compared,
            "certified": self.certified,
        }


@dataclass(frozen=True, slots=True)
class Accept:
    """*candidate* may answer; *score* is the exact inner product, at least *tau*."""

    candidate: CandidateView
    score: int
    tau: int
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class WouldAccept:
    """In shadow mode *candidate* would have answered; a type of its own, so that nobody serves it by accident."""

    candidate: CandidateView
    score: int
    tau: int
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class Reject:
    """Nothing may answer; *guard* names the first doubt about the best candidate above τ, if a guard decided."""

    reason: Reason
    nearest: CandidateView | None
    guard: str | None
    explanation: Explanation


Decision: TypeAlias = Accept | WouldAccept | Reject


def decide(
    query: QueryView,
    candidates: Sequence[CandidateView],
    policy: ReusePolicy,
    *,
    steer_threshold_ten_thousandths: int | None = None,
) -> Decision:
    """Accept the best candidate that satisfies the inequality and that no guard in force doubts, or say why none.

    Raises `Error` for more than `CANDIDATES_MAX` candidates, and `EncodingError` for a steered threshold that is no
    cosine.
    """
    if len(candidates) > CANDIDATES_MAX:
        raise Error(f"{len(candidates)} candidates were given to decide; at most {CANDIDATES_MAX} are compared")
    threshold = threshold_in_force(policy, steer_threshold_ten_thousandths)
    if policy.mode not in ("static", "shadow"):
        return Reject("mode", None, None, _explain(query, None, threshold, None, 0))
    if not is_matchable(query.norm_squared):
        return Reject("query_vector", None, None, _explain(query, None, threshold, None, 0))
    tau = threshold_integer(threshold, query.norm_squared)
    if policy.other_languages == "exact_only" and query.facts.is_other_language:
        return Reject("query_language", None, None, _explain(query, None, threshold, tau, 0))
    ranked = sorted(
        (candidate for candidate in candidates if is_matchable(candidate.norm_squared)),
        key=lambda candidate: (-candidate.inner_product, candidate.entry_id),
    )
    nearest = ranked[0] if ranked else None
    explanation = _explain(query, nearest, threshold, tau, len(ranked))
    first_guard: str | None = None
    for candidate in ranked:
        if candidate.inner_product < tau:
            break
        guard = standing_guard(query.facts, candidate.facts, policy)
        if guard is None:
            verdict = Accept if policy.mode == "static" else WouldAccept
            return verdict(candidate, candidate.inner_product, tau, explanation)
        first_guard = first_guard or guard
    if nearest is None:
        return Reject("no_candidate", None, None, explanation)
    return Reject("below_threshold" if first_guard is None else "guard", nearest, first_guard, explanation)


def threshold_in_force(policy: ReusePolicy, steer_threshold_ten_thousandths: int | None) -> int:
    """Return the cosine that a candidate must reach: the policy's, or the request's where that is higher."""
    return max(policy.threshold_ten_thousandths, steer_threshold_ten_thousandths or 0)


def standing_guard(query: Facts, candidate: Facts, policy: ReusePolicy) -> str | None:
    """Name the first guard in force under *policy* that doubts the pair, or None."""
    if policy.other_languages == "exact_only" and candidate.is_other_language:
        return "language"
    for doubt in doubts(query, candidate):
        if doubt in ALWAYS_GUARDS or doubt in policy.guards:
            return doubt
    return None


def _explain(
    query: QueryView, nearest: CandidateView | None, threshold: int, tau: int | None, compared: int
) -> Explanation:
    if nearest is None:
        return Explanation(min(threshold, COSINE_ONE), tau, None, None, None, (), compared, False)
    return Explanation(
        threshold_ten_thousandths=threshold,
        tau=tau,
        nearest=nearest.entry_id,
        nearest_cosine_ten_thousandths=cosine_estimate(nearest.inner_product, query.norm_squared, nearest.norm_squared),
        nearest_inner_product=nearest.inner_product,
        nearest_doubts=doubts(query.facts, nearest.facts),
        candidates_compared=compared,
        certified=False,
    )
