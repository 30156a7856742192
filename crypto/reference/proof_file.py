"""Verifies a proof file a second time: a receipt, a hit, or a hit with what shows that it was close.

Left out is what no proof file has: the status of keys and models, policies, manifests, and the other leaves.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from . import ed25519, json_text, matches, notes, shape
from .applicability import Closeness, Commitment, Equation, form_equation, hit_equation
from .closeness import holding
from .envelope import LOG, Envelope
from .errors import NotInForm, Refused, named
from .hashing import inclusion_root, leaf_hash
from .leaves import EVIDENCE, RECEIPT, make_leaf
from .notes import Checkpoint
from .polynomials import SUITES
from .proof_documents import OpenedQuery
from .proof_text import BATCH, HitPart, PoolShown, PrivateShown, ProofText, read_proof_text
from .receipts import RELEASE_EVIDENCE, check_key
from .signed_manifest import EPOCH_MS
from .statements import Embedding, Receipt, read_embedding, read_receipt
from .trust import Trust, verify_trust
from .verify import FAILED, OWN_FAULT, PASSED, UNREADABLE, UNREADABLE_REASONS, ReferenceVerdict


@dataclass(slots=True)
class _Accepted:
    grades: dict[str, int] = field(default_factory=dict)
    statements: set[str] = field(default_factory=set)
    hits: set[str] = field(default_factory=set)
    applicable: set[str] = field(default_factory=set)


def verify_proof_file(data: bytes, trust: bytes, *, now_ms: int) -> ReferenceVerdict:
    """The verdict on a proof file; never raises: a fault of this code is a refusal too."""
    accepted = _Accepted({"declared": 0, "attested": 0, "replayed": 0, "proved": 0})
    reason: str | None = None
    is_read = False
    try:
        with named("archive_unreadable"):
            proof = read_proof_text(data)
        trusted = verify_trust(trust, now_ms)
        is_read = True
        _check(proof, trusted, now_ms, accepted)
    except Refused as refused:
        reason = refused.reason
    except Exception:  # noqa: BLE001 - whatever goes wrong in here must never become an acceptance
        reason = OWN_FAULT
    exit_code = PASSED if reason is None else FAILED
    if reason in UNREADABLE_REASONS or (reason == OWN_FAULT and not is_read):
        exit_code = UNREADABLE
    return ReferenceVerdict(
        exit_code,
        reason,
        accepted.grades,
        frozenset(accepted.statements),
        frozenset(accepted.hits),
        frozenset(accepted.applicable),
    )


def _check(proof: ProofText, trust: Trust, now_ms: int, accepted: _Accepted) -> None:
    with named("checkpoint_malformed"):
        checkpoint = notes.read_checkpoint(proof.checkpoint)
        if checkpoint.size > json_text.INTEGER_MAX:
            raise NotInForm("a checkpoint of more leaves than a number may say")
    notes.check_log(checkpoint, trust.log)
    witnessed_ms = notes.witnessed_at(checkpoint, trust.witnesses, now_ms)
    if len(witnessed_ms) < trust.witness_threshold:
        raise Refused("witness_quorum", f"{len(witnessed_ms)} of {trust.witness_threshold}")
    with named("statement_malformed"):
        signed = _in_form(proof.envelope)
        receipt = read_receipt(signed)
    leaf = _envelope_leaf(RECEIPT, receipt.issued_at_ms, signed)
    if proof.hit is None:
        _check_inclusion(proof.index, leaf, proof.path, checkpoint)
    else:
        _check_inclusion(proof.index, _batch_leaf(proof.hit, trust), proof.path, checkpoint)
        _check_inclusion(proof.hit.receipt_index, leaf, proof.hit.receipt_path, checkpoint)
    shown = None if proof.hit is None else proof.hit.shown
    embedding = _read_embedding(shown, checkpoint) if isinstance(shown, PrivateShown) else None
    _check_receipt(receipt, signed, trust)
    accepted.grades[receipt.grade] += 1
    accepted.statements.add(receipt.statement)
    if proof.hit is None:
        return
    _check_hit(proof.hit, proof.index, receipt, leaf)
    accepted.hits.add(proof.hit.record.hit)
    if isinstance(shown, PrivateShown) and embedding is not None:
        _check_embedding(embedding, shown, receipt, proof.hit, trust)
        is_shown = _is_close(embedding, shown, proof.hit)
    else:
        is_shown = isinstance(shown, PoolShown) and _is_matched(shown, receipt, proof.hit)
    if is_shown:
        accepted.applicable.add(proof.hit.record.hit)


def _in_form(signed: Envelope | None) -> Envelope:
    if signed is None:
        raise NotInForm("the envelope is not in form")
    return signed


def _envelope_leaf(kind: int, time_ms: int, signed: Envelope) -> bytes:
    key = bytes.fromhex(signed.key_id)
    return make_leaf(kind, time_ms, key, signed.payload_type, signed.payload, signed.signature)


def _batch_leaf(hit: HitPart, trust: Trust) -> bytes:
    log_key = bytes.fromhex(ed25519.key_id(trust.log.public_key))
    return make_leaf(BATCH, hit.batch.at_ms, log_key, LOG, json_text.write(hit.batch.value), b"")


def _check_inclusion(index: int, leaf: bytes, path: tuple[bytes, ...], checkpoint: Checkpoint) -> None:
    with named("inclusion_invalid"):
        if inclusion_root(index, checkpoint.size, leaf_hash(leaf), path) != checkpoint.root:
            raise NotInForm(f"the path from {index} leads to another root")


def _names_release(receipt: Receipt) -> bool:
    return any(kind == RELEASE_EVIDENCE for kind, _ in receipt.evidence)


def _check_receipt(receipt: Receipt, signed: Envelope, trust: Trust) -> None:
    is_attested = receipt.grade == "attested"
    key = check_key(trust, signed, receipt.issued_at_ms, ("runner",) if is_attested else ("runner", "gateway"))
    if _names_release(receipt) and (len(receipt.evidence) != 1 or not is_attested):
        raise Refused("release_unlogged", "a release is named otherwise than by a receipt of the pool")
    if is_attested and receipt.model_version not in key.models:
        raise Refused("model_not_allowed", receipt.model_version)


def _check_hit(hit: HitPart, batch_index: int, receipt: Receipt, leaf: bytes) -> None:
    record = hit.record
    with named("batch_invalid"):
        count = shape.integer(hit.batch.value["count"])
        root = inclusion_root(hit.position, count, leaf_hash(record.data), hit.path)
        if root.hex() != hit.batch.value["root"]:
            raise NotInForm("not the batch's root")
    if record.receipt != receipt.statement or record.receipt_leaf != leaf_hash(leaf):
        raise Refused("hit_receipt", record.receipt)
    if hit.receipt_index >= batch_index:
        raise Refused("hit_order", record.hit)
    if _is_one_epoch(hit.batch.at_ms, record.at_ms) and hit.batch.value["tenant"] != record.tenant:
        raise Refused("tenant_mismatch", "the batch is another tenant's")
    is_own = receipt.tenant == record.tenant
    is_of_pool = _names_release(receipt) and not is_own
    if (record.tier == "pool") != is_of_pool:
        raise Refused("hit_tier", record.tier)
    if _names_release(receipt) and is_own:
        raise Refused("release_unlogged", "a receipt of the tenant's own names a release")
    if not is_of_pool and not is_own and _is_one_epoch(receipt.issued_at_ms, record.at_ms):
        raise Refused("tenant_mismatch", receipt.tenant)


def _is_one_epoch(left_ms: int, right_ms: int) -> bool:
    return left_ms // EPOCH_MS == right_ms // EPOCH_MS


def _read_embedding(shown: PrivateShown, checkpoint: Checkpoint) -> Embedding:
    with named("statement_malformed"):
        signed = _in_form(shown.embedding)
        embedding = read_embedding(signed)
    leaf = _envelope_leaf(EVIDENCE, embedding.issued_at_ms, signed)
    _check_inclusion(shown.embedding_index, leaf, shown.embedding_path, checkpoint)
    return embedding


def _check_embedding(embedding: Embedding, shown: PrivateShown, receipt: Receipt, hit: HitPart, trust: Trust) -> None:
    """Raise Refused unless the statement is one of those who may make it, about this receipt and of this tenant."""
    roles = ("runner", "gateway") if receipt.grade == "declared" else ("runner",)
    with named("statement_malformed"):
        check_key(trust, _in_form(shown.embedding), embedding.issued_at_ms, roles)
    if embedding.of != receipt.statement:
        raise Refused("evidence_mismatch", embedding.of)
    for at_ms, tenant in ((receipt.issued_at_ms, receipt.tenant), (hit.record.at_ms, hit.record.tenant)):
        if _is_one_epoch(embedding.issued_at_ms, at_ms) and embedding.tenant != tenant:
            raise Refused("tenant_mismatch", embedding.tenant)


def _opened(query: OpenedQuery | None, hit: HitPart) -> tuple[int, ...] | None:
    if query is None:
        return None
    if not query.opens(hit.record.query_vector):
        raise Refused("opening_mismatch", hit.record.hit)
    return query.vector


def _is_close(embedding: Embedding, shown: PrivateShown, hit: HitPart) -> bool:
    """Whether the proofs were checked and hold; raises Refused for one that does not."""
    query, tau = _opened(shown.query, hit), hit.record.tau
    if embedding.algebraic is None:
        raise Refused("applicability_mismatch", "the embedding statement has no commitment")
    suite, point = embedding.algebraic
    if suite not in SUITES:
        return False
    commitment = Commitment(suite, point, embedding.dimension)
    equations: dict[str, Equation] = {}
    with suppress(NotInForm):
        equations["form"] = form_equation(commitment, shown.well_formedness)
    if query is not None and tau is not None:
        with suppress(NotInForm):
            statement = Closeness(commitment, embedding.statement, hit.record.data, query, tau)
            equations["hit"] = hit_equation(statement, shown.proof)
    held = holding(equations)
    if "form" not in held:
        raise Refused("well_formedness_invalid", embedding.statement)
    if query is not None and "hit" not in held:
        raise Refused("applicability_invalid", hit.record.hit)
    return query is not None


def _is_matched(shown: PoolShown, receipt: Receipt, hit: HitPart) -> bool:
    """Whether the query was opened and is close to what it matched; raises Refused for a match that is none."""
    query, tau = _opened(shown.query, hit), hit.record.tau
    if shown.release.digest != dict(receipt.evidence)[RELEASE_EVIDENCE]:
        raise Refused("match_invalid", "another release than the receipt names")
    with named("match_invalid"):
        if tau is None:
            raise NotInForm("a hit of the pool has a threshold")
        matches.check_match(matches.read_match(shown.match), shown.release, query, tau)
    return query is not None
