"""What proofs of closeness and matches of the pool are held against: hits, receipts, opened queries, policies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..bundle import BundleParts
from ..bundle_lines import PolicyLine
from ..canonical import JsonValue
from ..errors import EncodingError, VerificationError
from ..hit import HitRecord
from ..similarity import COSINE_ONE, inner_product, is_matchable, threshold_integer
from .options import GivenQuery
from .readings import ReadEmbedding, ReadReceipt

#: Cosine in ten-thousandths that a policy without the field means (docs/formats.md, "Policy v1").
THRESHOLD_DEFAULT = 9_500


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The threshold that each policy's document states, by the policy's digest, or `THRESHOLD_DEFAULT`."""

    stated: Mapping[str, JsonValue]

    @classmethod
    def of(cls, lines: Iterable[PolicyLine]) -> Thresholds:
        """Return the thresholds of the documents in *lines*, whatever they are."""
        return cls({line.policy: line.document.get("threshold_ten_thousandths", THRESHOLD_DEFAULT) for line in lines})

    def verify(self, record: HitRecord, query: tuple[int, ...]) -> None:
        """Check that the τ of *record* is no lower than its policy asks for.

        Raises `VerificationError` (`tau_below_policy`), and `EncodingError` for a query out of bounds.
        """
        norm_squared = inner_product(query, query)
        if not is_matchable(norm_squared):
            raise EncodingError("the query is zero or longer than the bound, so nothing is close to it")
        stated, tau = self.stated.get(record.policy), record.tau or 0
        if type(stated) is not int or not 0 <= stated <= COSINE_ONE:
            message = "the policy's document states no threshold from 0 to 10,000"
            raise VerificationError(message, reason="tau_below_policy", actual=record.policy)
        least = threshold_integer(stated, norm_squared)
        if tau < least:
            message = "the hit passed a lower threshold than its policy asks for"
            raise VerificationError(message, reason="tau_below_policy", expected=f"{least} or more", actual=tau)


@dataclass(frozen=True, slots=True)
class ApplicabilityRules:
    """What there is to hold proofs and matches against; *given* and *srs* come from the auditor.

    *hits* by id and *receipts* by digest; *embeddings* are those that count, by digest, *declared* the ones among them
    that a gateway signed; *queries* those that were opened rightly, by hit; *thresholds* is None where no policy can be
    in the file; *sampled* are the receipts whose hits are looked at, None for all.
    """

    hits: Mapping[str, HitRecord]
    receipts: Mapping[str, ReadReceipt]
    embeddings: Mapping[str, ReadEmbedding]
    queries: Mapping[str, tuple[int, ...]]
    thresholds: Thresholds | None
    declared: frozenset[str] = field(default_factory=frozenset)
    given: tuple[GivenQuery, ...] = ()
    sampled: frozenset[str] | None = None
    srs: Path | None = None

    def is_skipped(self, receipt: str) -> bool:
        """Say whether the receipt with this digest is outside the sample."""
        return self.sampled is not None and receipt not in self.sampled

    def verify_threshold(self, record: HitRecord, query: tuple[int, ...]) -> None:
        """Check τ against the policy, where policies are here; raises `VerificationError` and `EncodingError`."""
        if self.thresholds is not None:
            self.thresholds.verify(record, query)


def index_hits(parts: BundleParts) -> dict[str, HitRecord]:
    """Return the hits of *parts* by id, the first where one stands twice."""
    found: dict[str, HitRecord] = {}
    for line in parts.hits:
        for record in line.records:
            found.setdefault(record.hit, record)
    return found
