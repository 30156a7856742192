"""Hits found by meaning: was what answered them, which nobody shows, as close to the query as the hit says?"""

from __future__ import annotations

from ..applicability.documents import Applicability
from ..bundle import BundleParts
from .applicability_rules import ApplicabilityRules
from .documents import Documents, check_documents
from .findings import Notes
from .given_queries import check_given
from .matches import check_matches
from .proofs import check_proofs


def check_applicability(notes: Notes, parts: BundleParts, rules: ApplicabilityRules) -> frozenset[str]:
    """Return the ids of the hits that are shown to be close to what answered them, by a proof or by a match."""
    documents = check_documents(notes, parts.proofs, parts.bodies, rules.embeddings)
    proved = check_proofs(notes, documents, rules)
    matched = check_matches(notes, parts.matches, parts.releases, rules)
    shown = proved | matched
    given = check_given(notes, rules, documents.hits, shown)
    described = "no proof and no match is in the bundle"
    if parts.proofs or parts.matches:
        described = describe_shown(rules, documents, frozenset(line.hit for line in parts.matches), shown)
    notes.detail = f"{described}; {given}" if given else described
    if not shown:
        notes.leave_uncovered(notes.detail)
    return shown


def describe_shown(
    rules: ApplicabilityRules, documents: Documents, matches: frozenset[str], shown: frozenset[str]
) -> str:
    """Say how many of the hits by meaning are shown to be close, and why the others are not."""
    semantic = [record for record in rules.hits.values() if record.tier != "exact"]
    others = [record for record in semantic if record.hit not in shown]
    looked_at = [record.hit for record in others if not rules.is_skipped(record.receipt)]
    stated = {document.hit for document in documents.unknown if isinstance(document, Applicability)}
    counts = {
        "because the query is closed": sum(
            hit not in rules.queries for hit in looked_at if hit in documents.hits or hit in matches
        ),
        "of a suite that this verifier does not know": len(stated.intersection(looked_at)),
        "without a proof": sum(
            hit not in documents.hits and hit not in matches and hit not in stated for hit in looked_at
        ),
        "outside the sample": len(others) - len(looked_at),
    }
    uncovered = ", ".join(f"{count:,} {why}" for why, count in counts.items() if count)
    text = f"{len(shown):,} of {len(semantic):,} hits found by meaning are shown to be close to what answered them"
    text += f"; not covered: {uncovered}" if uncovered else ""
    own = sum(documents.hits[hit].document.embedding in rules.declared for hit in shown & documents.hits.keys())
    return text + (f"; for {own:,} of them the vector is the operator's own word" if own else "")
