"""Hits of the pool: everything but the query is public to it, so what they matched is computed again."""

from __future__ import annotations

from collections.abc import Iterable

from ..applicability.match import read_match, verify_match, verify_query
from ..applicability_lines import MatchLine
from ..bundle_lines import JsonObject
from ..errors import VerificationError
from ..hit import HitRecord
from ..ledger_lines import ReleaseLine
from ..release import Release
from ..statement import ReceiptStatement
from .applicability_rules import ApplicabilityRules
from .findings import Notes
from .pool import index_releases, verify_form


def check_matches(
    notes: Notes, lines: Iterable[MatchLine], releases: Iterable[ReleaseLine], rules: ApplicabilityRules
) -> frozenset[str]:
    """Return the hits whose opened query is as close to an alias of a released item as they say; note what is refused.

    Reasons: `match_invalid`, `tau_below_policy`.
    """
    by_digest = {digest: line.document for digest, line in index_releases(releases).items()}
    shown: set[str] = set()
    for line in lines:
        with notes.about(f"match of {line.hit}", "match_invalid"):
            record = rules.hits.get(line.hit)
            if record is None:
                raise VerificationError("the hit is not in the bundle", reason="match_invalid")
            if rules.is_skipped(record.receipt):
                continue
            receipt = rules.receipts.get(record.receipt)
            digest = "" if receipt is None else named_release(receipt.statement)
            if verify_pool_hit(record, line.match, by_digest.get(digest), rules):
                shown.add(line.hit)
    return frozenset(shown)


def verify_pool_hit(record: HitRecord, stated: JsonObject, release: Release | None, rules: ApplicabilityRules) -> bool:
    """Say whether *record*'s query is open, having checked the *stated* match in *release*, and then τ and the query.

    Raises `VerificationError` (`match_invalid`, `tau_below_policy`), and `EncodingError` for a query out of bounds.
    """
    if record.tier != "pool":
        message = "only hits of the pool have matched something public"
        raise VerificationError(message, reason="match_invalid", expected="pool", actual=record.tier)
    if release is None:
        message = "the release that the hit's receipt names is not here"
        raise VerificationError(message, reason="match_invalid")
    match = read_match(stated)
    verify_match(match, release)
    query = rules.queries.get(record.hit)
    if query is None:
        return False
    rules.verify_threshold(record, query)
    verify_query(match, query, record.tau or 0)
    return True


def named_release(statement: ReceiptStatement) -> str:
    """Return the digest of the release that a receipt of the pool names; raises `VerificationError` (`match_invalid`)."""
    try:
        return verify_form(statement)
    except VerificationError as error:
        raise VerificationError(str(error), reason="match_invalid") from None
