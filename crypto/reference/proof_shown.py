"""Checks what a proof file has to show that its hit was close: proofs about a commitment, or a match in the pool."""

from __future__ import annotations

from contextlib import suppress

from . import matches
from .applicability import Closeness, Commitment, Equation, form_equation, hit_equation
from .closeness import holding
from .envelope import Envelope
from .errors import NotInForm, Refused, named
from .hashing import inclusion_root, leaf_hash
from .leaves import EVIDENCE, make_leaf
from .ledger_documents import read_release
from .notes import Checkpoint
from .polynomials import SUITES
from .proof_documents import OpenedQuery
from .proof_text import PoolShown, PrivateShown
from .receipts import RELEASE_EVIDENCE, check_key
from .records import Hit
from .signed_manifest import EPOCH_MS
from .statements import Embedding, Receipt, read_embedding
from .trust import Trust


def is_shown(
    shown: PrivateShown | PoolShown, record: Hit, receipt: Receipt, trust: Trust, checkpoint: Checkpoint
) -> bool:
    """Whether a hit that was accepted is shown to be close; False where it is not covered, Refused where it is wrong."""
    if isinstance(shown, PoolShown):
        return _is_matched(shown, record, _threshold(record, "pool"), receipt)
    embedding = _accept_embedding(shown, record, receipt, trust, checkpoint)
    return _is_close(shown, record, _threshold(record, "private"), embedding)


def in_form(signed: Envelope | None) -> Envelope:
    """The envelope; raises NotInForm for None, which stands for one that could not be read."""
    if signed is None:
        raise NotInForm("the envelope is not in form")
    return signed


def envelope_leaf(kind: int, time_ms: int, signed: Envelope) -> bytes:
    """The leaf of an envelope."""
    key = bytes.fromhex(signed.key_id)
    return make_leaf(kind, time_ms, key, signed.payload_type, signed.payload, signed.signature)


def check_inclusion(index: int, leaf: bytes, path: tuple[bytes, ...], checkpoint: Checkpoint) -> None:
    """Raise Refused unless the path leads from the leaf to the checkpoint's root."""
    with named("inclusion_invalid"):
        if inclusion_root(index, checkpoint.size, leaf_hash(leaf), path) != checkpoint.root:
            raise NotInForm(f"the path from {index} leads to another root")


def is_one_epoch(left_ms: int, right_ms: int) -> bool:
    """Whether a tenant has one pseudonym at both moments."""
    return left_ms // EPOCH_MS == right_ms // EPOCH_MS


def _threshold(record: Hit, tier: str) -> int:
    if record.tier != tier or record.tau is None:
        raise Refused("applicability_mismatch", f"what is shown is not of the tier {record.tier}")
    return record.tau


def _accept_embedding(
    shown: PrivateShown, record: Hit, receipt: Receipt, trust: Trust, checkpoint: Checkpoint
) -> Embedding:
    """The embedding statement, if it is logged, by one who may make it, about this receipt, and of this tenant."""
    with named("statement_malformed"):
        signed = in_form(shown.embedding)
        embedding = read_embedding(signed)
    leaf = envelope_leaf(EVIDENCE, embedding.issued_at_ms, signed)
    check_inclusion(shown.embedding_index, leaf, shown.embedding_path, checkpoint)
    roles = ("runner", "gateway") if receipt.grade == "declared" else ("runner",)
    check_key(trust, signed, embedding.issued_at_ms, roles)
    if embedding.of != receipt.statement:
        raise Refused("evidence_mismatch", embedding.of)
    for at_ms, tenant in ((receipt.issued_at_ms, receipt.tenant), (record.at_ms, record.tenant)):
        if is_one_epoch(embedding.issued_at_ms, at_ms) and embedding.tenant != tenant:
            raise Refused("tenant_mismatch", embedding.tenant)
    return embedding


def _opened(query: OpenedQuery | None, record: Hit) -> tuple[int, ...] | None:
    """The query's vector, or None where it is closed."""
    if query is None:
        return None
    if not query.opens(record.query_vector):
        raise Refused("opening_mismatch", record.hit)
    return query.vector


def _is_close(shown: PrivateShown, record: Hit, tau: int, embedding: Embedding) -> bool:
    query = _opened(shown.query, record)
    if embedding.algebraic is None:
        raise Refused("applicability_mismatch", "the embedding statement has no commitment")
    suite, point = embedding.algebraic
    if suite not in SUITES:
        return False
    commitment = Commitment(suite, point, embedding.dimension)
    equations: dict[str, Equation] = {}
    with suppress(NotInForm):
        equations["form"] = form_equation(commitment, shown.well_formedness)
    if query is not None:
        with suppress(NotInForm):
            statement = Closeness(commitment, embedding.statement, record.data, query, tau)
            equations["hit"] = hit_equation(statement, shown.proof)
    held = holding(equations)
    if "form" not in held:
        raise Refused("well_formedness_invalid", embedding.statement)
    if query is not None and "hit" not in held:
        raise Refused("applicability_invalid", record.hit)
    return query is not None


def _is_matched(shown: PoolShown, record: Hit, tau: int, receipt: Receipt) -> bool:
    query = _opened(shown.query, record)
    with named("malformed"):
        release = read_release(shown.release)
    if release.digest != dict(receipt.evidence)[RELEASE_EVIDENCE]:
        raise Refused("match_invalid", "another release than the receipt names")
    with named("match_invalid"):
        matches.check_match(matches.read_match(shown.match), release, query, tau)
    return query is not None
