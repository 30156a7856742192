"""The proof file of one receipt or one hit: what it shows by itself, and what only a bundle can show.

A proof file carries no status list, no policies and no key that opens the tenant's pseudonym, so a revoked key or model
is not noticed here. Format: docs/formats.md, "Proof files".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from ..applicability_extra import Shown
from ..bodies import HitBatch, parse_body
from ..canonical import INTEGER_MAX
from ..checkpoint import Checkpoint, SignedCheckpoint, verify_checkpoint
from ..errors import VerificationError
from ..hit import HitRecord, parse_hit_record
from ..leaf import LeafKind, body_leaf
from ..merkle import leaf_hash, root_from_inclusion, verify_inclusion
from ..pseudonym import epoch_of
from ..report import LogState, Report
from ..report_text import format_time
from ..statement import ReceiptStatement, parse_receipt, receipt_id, statement_digest
from ..status import StatusList
from ..tlog_proof import (
    PROOF_BYTES_MAX,
    HitProofExtra,
    ReceiptProofExtra,
    TlogProof,
    parse_extra,
    parse_tlog_proof,
)
from ..trust import Trust
from .cross_check import compare_verdicts
from .findings import Findings, Notes, Stopped
from .given_queries import GIVEN_SUBJECT
from .history import check_rollback, check_witnesses
from .hits import verify_hit_receipt, verify_tier
from .options import AuditOptions, Verification
from .outer import check_trust
from .pool import names_release, refuse_release, verify_form
from .readings import ReadReceipt
from .receipts import verify_allowed, verify_receipt_signer
from .shown import ShownHit, check_embedding, check_shown
from .standing import make_standing

_FIRST_LINE = b"c2sp.org/tlog-proof@"
#: What a proof file says of keys and models that are not in force: nothing.
NO_STATUS = StatusList(0, (), (), 1)


@dataclass(frozen=True, slots=True)
class _ProofFile:
    proof: TlogProof
    extra: ReceiptProofExtra | HitProofExtra

    @property
    def shown(self) -> Shown | None:
        """What the file shows of how close the hit was."""
        return self.extra.applicability if isinstance(self.extra, HitProofExtra) else None


def is_proof_file(data: bytes) -> bool:
    """Say whether *data* begins as a proof file does, of whatever version."""
    return data.startswith(_FIRST_LINE)


def verify_proof_file(data: bytes, trust_file: bytes, options: AuditOptions) -> Verification:
    """Check one proof file under *trust_file*; never raises for what a file contains."""
    verification = _verify(data, trust_file, options)
    if options.second_opinion is None:
        return verification
    second = options.second_opinion(data, trust_file, now_ms=options.now_ms, max_age_ms=None, last_seen=None)
    # The second is not told what the auditor knows from elsewhere, so it is compared with a verdict without that.
    alone = _verify(data, trust_file, AuditOptions(now_ms=options.now_ms, srs=options.srs))
    check, found = compare_verdicts(alone, second)
    report = replace(verification.report, checks=(*verification.report.checks, check), cross_check=found)
    return replace(verification, report=report)


def _verify(data: bytes, trust_file: bytes, options: AuditOptions) -> Verification:
    findings = Findings()
    signed: SignedCheckpoint | None = None
    receipt: ReadReceipt | None = None
    hits: frozenset[str] = frozenset()
    applicable: frozenset[str] = frozenset()
    log: LogState | None = None
    try:
        file = findings.require("archive", lambda notes: _read(notes, data))
        trust = findings.require("trust", lambda notes: check_trust(notes, trust_file, options, None))
        signed = findings.require("checkpoint", lambda notes: _check_checkpoint(notes, file, trust))
        found = signed
        witnesses = findings.run("witnesses", lambda notes: check_witnesses(notes, found, trust, options.now_ms))
        point = signed.checkpoint
        log = LogState(point.origin, point.root, point.size, tuple(one.name for one in witnesses))
        findings.run("rollback", lambda notes: _check_rollback(notes, found, trust, options))
        made = findings.require("inclusion", lambda notes: _check_inclusion(notes, file, point, trust))
        receipt = findings.require("receipts", lambda notes: _check_receipt(notes, made, trust))
        record = findings.require("hits", lambda notes: _check_hit(notes, file, made))
        if record is None and options.queries:
            findings.run("applicability", _refuse_given)
        if record is not None:
            hits = frozenset({record.hit})
            hit = ShownHit(record, made, file.shown)
            applicable = _check_closeness(findings, hit, trust, point, options)
    except Stopped:
        pass  # What failed is noted; what rests on it is not covered.
    uncovered = "" if not findings.passed() else "not in a proof file; export a bundle to check it"
    report = Report(
        checks=findings.close(uncovered),
        grades={} if receipt is None else {receipt.statement.grade: 1},
        counts={"hits": len(hits), "receipts": 0 if receipt is None else 1},
        log=log,
        file_sha256=hashlib.sha256(data).hexdigest(),
    )
    statements = frozenset[str]() if receipt is None else frozenset({receipt.digest})
    return Verification(report, statements, hits, applicable=applicable)


def _refuse_given(notes: Notes) -> None:
    notes.fail("query_mismatch", f"{GIVEN_SUBJECT}a receipt", "this is a receipt's proof file, not a hit's")


def _check_closeness(
    findings: Findings, hit: ShownHit, trust: Trust, point: Checkpoint, options: AuditOptions
) -> frozenset[str]:
    """Return the hit's id if it is shown to be close; there is nothing to check where nothing is shown or given."""
    if hit.shown is None and not options.queries:
        return frozenset()
    standing = make_standing(trust, NO_STATUS)
    embedding = findings.require("evidence", lambda notes: check_embedding(notes, hit, standing, point))
    return findings.require("applicability", lambda notes: check_shown(notes, hit, embedding, options))


def _read(notes: Notes, data: bytes) -> _ProofFile:
    """Read form and extra; what is not a proof file at all is unreadable, as a broken archive is."""
    try:
        if len(data) > PROOF_BYTES_MAX:
            raise VerificationError(f"the proof file is longer than {PROOF_BYTES_MAX} bytes")
        proof = parse_tlog_proof(data.decode("utf-8"))
        if proof.extra is None:
            raise VerificationError("the proof file does not carry what it proves")
        extra = parse_extra(proof.extra)
    except UnicodeDecodeError:
        raise VerificationError("the proof file is not UTF-8", reason="archive_unreadable") from None
    except VerificationError as error:
        raise VerificationError(str(error), reason="archive_unreadable") from None
    kind = "hit" if isinstance(extra, HitProofExtra) else "receipt"
    notes.detail = f"the proof file of a {kind}, leaf {proof.index}"
    return _ProofFile(proof, extra)


def _check_checkpoint(notes: Notes, file: _ProofFile, trust: Trust) -> SignedCheckpoint:
    signed = verify_checkpoint(file.proof.checkpoint, trust.log)
    if signed.checkpoint.size > INTEGER_MAX:
        # A bundle's manifest cannot state such a size either, nor can a report.
        message = f"the checkpoint has more than {INTEGER_MAX} leaves"
        raise VerificationError(message, reason="checkpoint_malformed", actual=signed.checkpoint.size)
    notes.detail = f"{signed.checkpoint.origin} signed {signed.checkpoint.size:,} leaves"
    return signed


def _check_rollback(notes: Notes, signed: SignedCheckpoint, trust: Trust, options: AuditOptions) -> None:
    """Compare with checkpoints from elsewhere; a proof file may be older than any of them, so only a split shows."""
    known = () if options.last_seen is None else (options.last_seen.checkpoint,)
    without = AuditOptions(now_ms=options.now_ms, compared=known + options.compared)
    check_rollback(notes, (), signed, trust, without)


def _check_inclusion(notes: Notes, file: _ProofFile, point: Checkpoint, trust: Trust) -> ReadReceipt:
    """Return the receipt, its leaf made anew and in the tree, as is the batch's where the file is a hit's."""
    extra, proof = file.extra, file.proof
    envelope, statement = parse_receipt(extra.envelope)
    index = extra.receipt_index if isinstance(extra, HitProofExtra) else proof.index
    path = extra.receipt_path if isinstance(extra, HitProofExtra) else proof.hashes
    receipt = ReadReceipt(index, envelope, statement, statement_digest(envelope.payload))
    verify_inclusion(index, point.size, leaf_hash(receipt.to_leaf().encode()), path, point.root)
    if isinstance(extra, HitProofExtra):
        batch = _read_batch(extra)
        leaf = body_leaf(LeafKind.HIT_BATCH, batch.to_payload(), batch.at_ms, trust.log.public_key)
        verify_inclusion(proof.index, point.size, leaf_hash(leaf.encode()), proof.hashes, point.root)
    notes.detail = f"the receipt is leaf {index} of {point.size:,}"
    return receipt


def _check_receipt(notes: Notes, receipt: ReadReceipt, trust: Trust) -> ReadReceipt:
    statement, standing = receipt.statement, make_standing(trust, NO_STATUS)
    verify_receipt_signer(receipt, standing)
    release = f", a receipt of the pool for release {verify_form(statement)}" if names_release(statement) else ""
    verify_allowed(statement, standing)
    notes.detail = (
        f"{receipt_id(receipt.digest)} of {format_time(statement.issued_at_ms)} by key {statement.signer[:16]}…, model"
        f" {statement.model_version}, statement {receipt.digest}{release}: signature, signer, role, time and allowed"
        " model; not covered: whether key or model was revoked, tenant, policy, manifest, release"
    )
    return receipt


def _check_hit(notes: Notes, file: _ProofFile, receipt: ReadReceipt) -> HitRecord | None:
    extra = file.extra
    if not isinstance(extra, HitProofExtra):
        notes.leave_uncovered("this is a receipt's proof file, not a hit's")
        return None
    record = None
    with notes.about("the hit", "batch_invalid"):
        record, batch = parse_hit_record(extra.record), _read_batch(extra)
        _verify_in_batch(extra, batch, leaf_hash(record.to_payload()))
        _verify_batch_tenant(batch, record)
        verify_hit_receipt(record, file.proof.index, receipt, leaf_hash(receipt.to_leaf().encode()))
        _verify_origin(record, receipt.statement)
        notes.detail = f"{record.hit} is in the batch of leaf {file.proof.index} and came after its receipt"
    return record


def _verify_batch_tenant(batch: HitBatch, record: HitRecord) -> None:
    """Check that within one epoch the batch bears the hit's pseudonym; raises `VerificationError` (`tenant_mismatch`)."""
    if epoch_of(batch.at_ms) == epoch_of(record.at_ms) and batch.tenant != record.tenant:
        message = "the hit is in another tenant's batch"
        raise VerificationError(message, reason="tenant_mismatch", expected=record.tenant, actual=batch.tenant)


def _verify_origin(record: HitRecord, statement: ReceiptStatement) -> None:
    """Check that a hit answered with its own tenant's receipt, or in the tier `pool` with one of the pool.

    What can be told without keys: within one epoch a tenant has one pseudonym. Raises `VerificationError`: `hit_tier`,
    `release_unlogged`, `tenant_mismatch`.
    """
    of_pool = names_release(statement) and statement.tenant != record.tenant
    verify_tier(record, of_pool=of_pool)
    if not of_pool:
        refuse_release(statement)
    if of_pool or epoch_of(statement.issued_at_ms) != epoch_of(record.at_ms):
        return
    if statement.tenant != record.tenant:
        message = "the hit answered with another tenant's receipt"
        raise VerificationError(message, reason="tenant_mismatch", expected=record.tenant, actual=statement.tenant)


def _verify_in_batch(extra: HitProofExtra, batch: HitBatch, leaf: bytes) -> None:
    try:
        root = root_from_inclusion(extra.position, batch.count, leaf, extra.path)
    except VerificationError as error:
        raise VerificationError(str(error), reason="batch_invalid") from None
    if root != batch.root:
        raise VerificationError(
            "the hit is not in this batch", reason="batch_invalid", expected=batch.root.hex(), actual=root.hex()
        )


def _read_batch(extra: HitProofExtra) -> HitBatch:
    body = parse_body(LeafKind.HIT_BATCH, extra.batch)
    if not isinstance(body, HitBatch):
        raise VerificationError("the body is no hit batch", reason="leaf_kind")
    return body
