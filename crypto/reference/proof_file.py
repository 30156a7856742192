"""Verifies a proof file a second time: a receipt, a hit, or a hit with what shows that it was close.

Left out is what no proof file has: the status of keys and models, policies, manifests, and the other leaves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from . import ed25519, json_text, notes, records, shape
from .envelope import LOG, Envelope
from .errors import NotInForm, Refused, named
from .hashing import inclusion_root, leaf_hash
from .leaves import RECEIPT, make_leaf
from .notes import Checkpoint
from .proof_shown import check_inclusion, envelope_leaf, in_form, is_one_epoch, is_shown
from .proof_text import HitPart, ProofText, read_proof_text
from .receipts import RELEASE_EVIDENCE, check_key
from .records import Body, Hit
from .statements import Receipt, read_receipt
from .trust import Trust, verify_trust
from .verify import FAILED, OWN_FAULT, PASSED, UNREADABLE, UNREADABLE_REASONS, ReferenceVerdict

#: Which kind of leaf a batch of hits is.
BATCH = 2


@dataclass(slots=True)
class _Findings:
    """Why the file is refused, in order, and what was accepted all the same."""

    reasons: list[str] = field(default_factory=list)
    grades: dict[str, int] = field(default_factory=lambda: {"declared": 0, "attested": 0, "replayed": 0, "proved": 0})
    statements: set[str] = field(default_factory=set)
    hits: set[str] = field(default_factory=set)
    applicable: set[str] = field(default_factory=set)


def verify_proof_file(data: bytes, trust: bytes, *, now_ms: int) -> ReferenceVerdict:
    """The verdict on a proof file; never raises: a fault of this code is a refusal too."""
    findings = _Findings()
    is_read = False
    try:
        with named("archive_unreadable"):
            proof = read_proof_text(data)
        trusted = verify_trust(trust, now_ms)
        is_read = True
        _check(proof, trusted, now_ms, findings)
    except Refused as refused:
        findings.reasons.append(refused.reason)
    except Exception:  # noqa: BLE001 - whatever goes wrong in here must never become an acceptance
        findings.reasons.append(OWN_FAULT)
    reason = findings.reasons[0] if findings.reasons else None
    exit_code = PASSED if reason is None else FAILED
    if reason in UNREADABLE_REASONS or (reason == OWN_FAULT and not is_read):
        exit_code = UNREADABLE
    return ReferenceVerdict(
        exit_code,
        reason,
        findings.grades,
        frozenset(findings.statements),
        frozenset(findings.hits),
        frozenset(findings.applicable),
    )


def _check(proof: ProofText, trust: Trust, now_ms: int, findings: _Findings) -> None:
    checkpoint = _check_checkpoint(proof, trust)
    try:
        _check_witnesses(checkpoint, trust, now_ms)
    except Refused as refused:
        # Who else saw the log decides about nothing that follows.
        findings.reasons.append(refused.reason)
    with named("statement_malformed"):
        signed = in_form(proof.envelope)
        receipt = read_receipt(signed)
    leaf = envelope_leaf(RECEIPT, receipt.issued_at_ms, signed)
    if proof.hit is None:
        check_inclusion(proof.index, leaf, proof.path, checkpoint)
        _accept_receipt(receipt, signed, trust, findings)
        return
    with named("malformed"):
        batch = _read_batch(proof.hit)
    check_inclusion(proof.index, _batch_leaf(batch, trust), proof.path, checkpoint)
    check_inclusion(proof.hit.receipt_index, leaf, proof.hit.receipt_path, checkpoint)
    _accept_receipt(receipt, signed, trust, findings)
    with named("malformed"):
        record = records.read_hit(proof.hit.record)
    _check_batch(proof.hit, batch, record)
    if record.receipt != receipt.statement or record.receipt_leaf != leaf_hash(leaf):
        raise Refused("hit_receipt", record.receipt)
    if proof.hit.receipt_index >= proof.index:
        raise Refused("hit_order", record.hit)
    _check_tenancy(record, receipt)
    findings.hits.add(record.hit)
    if proof.hit.shown is not None and is_shown(proof.hit.shown, record, receipt, trust, checkpoint):
        findings.applicable.add(record.hit)


def _check_checkpoint(proof: ProofText, trust: Trust) -> Checkpoint:
    with named("checkpoint_malformed"):
        checkpoint = notes.read_checkpoint(proof.checkpoint)
        if checkpoint.size > json_text.INTEGER_MAX:
            raise NotInForm("a checkpoint of more leaves than a number may say")
    notes.check_log(checkpoint, trust.log)
    return checkpoint


def _check_witnesses(checkpoint: Checkpoint, trust: Trust, now_ms: int) -> None:
    witnessed_ms = notes.witnessed_at(checkpoint, trust.witnesses, now_ms)
    if len(witnessed_ms) < trust.witness_threshold:
        raise Refused("witness_quorum", f"{len(witnessed_ms)} of {trust.witness_threshold}")


def _read_batch(hit: HitPart) -> Body:
    batch = records.read_body(hit.batch)
    if batch.kind != BATCH:
        raise NotInForm("not the body of a batch of hits")
    return batch


def _batch_leaf(batch: Body, trust: Trust) -> bytes:
    log_key = bytes.fromhex(ed25519.key_id(trust.log.public_key))
    return make_leaf(BATCH, batch.at_ms, log_key, LOG, json_text.write(batch.value), b"")


def _names_release(receipt: Receipt) -> bool:
    return any(kind == RELEASE_EVIDENCE for kind, _ in receipt.evidence)


def _accept_receipt(receipt: Receipt, signed: Envelope, trust: Trust, findings: _Findings) -> None:
    is_attested = receipt.grade == "attested"
    key = check_key(trust, signed, receipt.issued_at_ms, ("runner",) if is_attested else ("runner", "gateway"))
    if _names_release(receipt) and (len(receipt.evidence) != 1 or not is_attested):
        raise Refused("release_unlogged", "a release is named otherwise than by a receipt of the pool")
    if is_attested and receipt.model_version not in key.models:
        raise Refused("model_not_allowed", receipt.model_version)
    findings.grades[receipt.grade] += 1
    findings.statements.add(receipt.statement)


def _check_batch(hit: HitPart, batch: Body, record: Hit) -> None:
    """Raise Refused unless the record is where it says it is in its batch, which is one of its tenant's."""
    with named("batch_invalid"):
        count = shape.integer(batch.value["count"])
        if inclusion_root(hit.position, count, leaf_hash(record.data), hit.path).hex() != batch.value["root"]:
            raise NotInForm("not the batch's root")
    if is_one_epoch(batch.at_ms, record.at_ms) and batch.value["tenant"] != record.tenant:
        raise Refused("tenant_mismatch", record.hit)


def _check_tenancy(record: Hit, receipt: Receipt) -> None:
    """Raise Refused where pseudonyms of one epoch differ that should not, and for a tier that is not the receipt's."""
    is_own = receipt.tenant == record.tenant
    is_of_pool = _names_release(receipt) and not is_own
    if (record.tier == "pool") != is_of_pool:
        raise Refused("hit_tier", record.tier)
    if _names_release(receipt) and is_own:
        raise Refused("release_unlogged", "a receipt of the tenant's own names a release")
    if not is_of_pool and not is_own and is_one_epoch(receipt.issued_at_ms, record.at_ms):
        raise Refused("tenant_mismatch", receipt.tenant)
