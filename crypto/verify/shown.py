"""What a proof file shows of a hit by meaning: whose word the vector is, and the proofs or the match.

A proof file has no status list and no policies, so whether a key was revoked and whether τ is what the policy asks for is
only seen in a bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..applicability.documents import Applicability, WellFormedness
from ..applicability_extra import QueryOpening, Shown, ShownMatch, ShownProof
from ..checkpoint import Checkpoint
from ..closed import refused_as
from ..embedding_statement import parse_embedding
from ..errors import VerificationError
from ..hit import HitRecord
from ..merkle import leaf_hash, verify_inclusion
from ..pseudonym import epoch_of
from ..release import parse_release
from ..statement import statement_digest
from .applicability_rules import ApplicabilityRules
from .documents import Documents
from .evidence import verify_embedding_signer
from .findings import Notes
from .given_queries import check_given
from .matches import named_release, verify_pool_hit
from .openings import verify_query
from .options import AuditOptions
from .proofs import check_proofs
from .readings import ReadEmbedding, ReadReceipt
from .standing import Standing


@dataclass(frozen=True, slots=True)
class ShownHit:
    """A hit that was accepted, with its receipt, and what the file shows beside them."""

    record: HitRecord
    receipt: ReadReceipt
    shown: Shown | None


def check_embedding(notes: Notes, hit: ShownHit, standing: Standing, point: Checkpoint) -> ReadEmbedding | None:
    """Return the embedding statement, in the log, by one who may say it, and about the hit's receipt; None without one.

    Raises `VerificationError`.
    """
    if not isinstance(hit.shown, ShownProof):
        notes.leave_uncovered("no vector of a tenant's own is stated in this file")
        return None
    envelope, statement = parse_embedding(hit.shown.embedding)
    found = ReadEmbedding(hit.shown.embedding_index, envelope, statement, statement_digest(envelope.payload))
    leaf = leaf_hash(found.to_leaf().encode())
    verify_inclusion(found.index, point.size, leaf, hit.shown.embedding_path, point.root)
    role = verify_embedding_signer(found, hit.receipt, standing)
    if statement.statement != hit.receipt.digest:
        message = "the vector is of another receipt's prompt"
        raise VerificationError(
            message, reason="evidence_mismatch", expected=hit.receipt.digest, actual=statement.statement
        )
    _verify_pseudonyms(found, hit)
    word = "a runner's word" if role == "runner" else "the operator's own word about an answer that is only declared"
    notes.detail = f"the embedding statement, leaf {found.index}, is {word}; not covered: whether the key was revoked"
    return found


def _verify_pseudonyms(found: ReadEmbedding, hit: ShownHit) -> None:
    """Check that within one epoch the vector, the receipt and the hit are of one pseudonym.

    Raises `VerificationError` (`tenant_mismatch`).
    """
    said, receipt = found.statement, hit.receipt.statement
    for at_ms, tenant in ((receipt.issued_at_ms, receipt.tenant), (hit.record.at_ms, hit.record.tenant)):
        if epoch_of(at_ms) == epoch_of(said.issued_at_ms) and tenant != said.tenant:
            message = "the vector is another tenant's than the receipt or the hit"
            raise VerificationError(message, reason="tenant_mismatch", expected=tenant, actual=said.tenant)


def check_shown(notes: Notes, hit: ShownHit, embedding: ReadEmbedding | None, options: AuditOptions) -> frozenset[str]:
    """Return the hit's id if it is shown to be close, or nothing; raises `VerificationError` and notes failures."""
    record, shown = hit.record, hit.shown
    _verify_tier(record, shown)
    rules = ApplicabilityRules(
        hits={record.hit: record},
        receipts={hit.receipt.digest: hit.receipt},
        embeddings={} if embedding is None else {embedding.digest: embedding},
        queries={} if shown is None else _open(record, shown.query),
        thresholds=None,
        given=options.queries,
        srs=options.srs,
    )
    documents, close = Documents(), frozenset[str]()
    if isinstance(shown, ShownProof) and embedding is not None:
        documents = _documents(shown, embedding, record.hit)
        close = check_proofs(notes, documents, rules)
    elif isinstance(shown, ShownMatch):
        close = _check_match(shown, hit, rules)
    given = check_given(notes, rules, documents.hits, close)
    described = _describe(record, shown, documents, close)
    notes.detail = f"{described}; {given}" if given else described
    if not close:
        notes.leave_uncovered(notes.detail)
    return close


def _verify_tier(record: HitRecord, shown: Shown | None) -> None:
    """Check that what is shown is of the hit's tier; raises `VerificationError` (`applicability_mismatch`)."""
    expected = {ShownProof: "private", ShownMatch: "pool"}.get(type(shown), record.tier)
    if record.tier != expected:
        message = "what the file shows belongs to a hit of another tier"
        raise VerificationError(message, reason="applicability_mismatch", expected=expected, actual=record.tier)


@refused_as("opening_mismatch")
def _open(record: HitRecord, query: QueryOpening | None) -> Mapping[str, tuple[int, ...]]:
    """Return the opened query by its hit; raises `VerificationError` (`opening_mismatch`)."""
    if query is None:
        return {}
    verify_query(query.salt, query.vector, record.query_vector or b"")
    return {record.hit: query.vector}


def _documents(shown: ShownProof, embedding: ReadEmbedding, hit: str) -> Documents:
    """Return both proofs as documents about the commitment; raises `VerificationError` where there is none."""
    suite = embedding.statement.suite
    if suite is None:
        message = "the embedding statement names no commitment that anything could be proved about"
        raise VerificationError(message, reason="applicability_mismatch")
    documents = Documents()
    documents.add(WellFormedness(embedding.digest, shown.well_formedness, suite), embedding)
    documents.add(Applicability(embedding.digest, hit, shown.proof, suite), embedding)
    return documents


def _check_match(shown: ShownMatch, hit: ShownHit, rules: ApplicabilityRules) -> frozenset[str]:
    """Return the hit's id if its query is open, having checked what it matched; raises `VerificationError`."""
    release = parse_release(shown.release)
    named = named_release(hit.receipt.statement)
    if release.digest() != named:
        message = "the release is another than the one that the hit's receipt names"
        raise VerificationError(message, reason="match_invalid", expected=named, actual=release.digest())
    is_close = verify_pool_hit(hit.record, shown.match, release, rules)
    return frozenset({hit.record.hit}) if is_close else frozenset()


def _describe(record: HitRecord, shown: Shown | None, documents: Documents, close: frozenset[str]) -> str:
    if shown is None:
        return "the file shows nothing of how close the hit was"
    if documents.unknown:
        return "its proofs are of a suite that this verifier does not know"
    if not close:
        return "the hit's query is closed, so what it was close to is not known"
    return (
        f"what answered {record.hit} was at least as close to its query as its τ, {record.tau}, says; not covered: whether"
        " its policy asks for more"
    )
