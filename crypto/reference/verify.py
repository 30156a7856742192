"""Verifies a bundle a second time, in the order of the page "What a verifier checks".

Left out: publishers' model signatures, which need P-256, and replay, which needs the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ParamSpec

from . import (
    archive,
    closeness,
    contents,
    hits,
    json_text,
    leaves,
    ledger,
    notes,
    opened_commitments,
    receipts,
    shape,
    signed_manifest,
)
from .audit import Audit
from .contents import Contents
from .envelope import IN_TOTO
from .errors import NotInForm, Refused, named
from .hashing import consistency_roots
from .json_text import Json
from .notes import Checkpoint
from .records import StatusList, read_status
from .signed_manifest import Manifest
from .statements import read_embedding
from .trust import Trust, verify_trust

Arguments = ParamSpec("Arguments")

PASSED, FAILED, UNREADABLE, REVOKED = 0, 1, 2, 3
#: With one of these the file could not be read; every other failure is a check's.
UNREADABLE_REASONS = frozenset(
    {"archive_unreadable", "archive_not_canonical", "archive_member", "trust_malformed", "manifest_malformed"}
)
LAST_SEEN_BYTES_MAX = 2**21
#: What is said of a fault of this verifier itself, which is a refusal.
OWN_FAULT = "unexpected"


@dataclass(frozen=True, slots=True)
class ReferenceVerdict:
    """Exit code, first reason in the order of the page, receipts by grade, and what was accepted."""

    exit_code: int
    reason: str | None
    grades: dict[str, int]
    statements: frozenset[str]
    hits: frozenset[str]
    #: Those of the hits that were shown to be close to what they were answered with.
    applicable: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LastSeen:
    """What the auditor kept of the audit before."""

    checkpoint: bytes
    trust_version: int


@dataclass(slots=True)
class _Findings:
    reasons: list[str] = field(default_factory=list)

    def collect(self, check: Callable[Arguments, None], *args: Arguments.args, **kwargs: Arguments.kwargs) -> bool:
        """Run one check and remember why it failed; say whether it passed."""
        try:
            check(*args, **kwargs)
        except Refused as refused:
            self.reasons.append(refused.reason)
            return False
        return True


def verify(
    data: bytes, trust: bytes, *, now_ms: int, max_age_ms: int | None = None, last_seen: bytes | None = None
) -> ReferenceVerdict:
    """The verdict on a bundle; never raises: a fault of this code is a refusal too."""
    findings = _Findings()
    audit: Audit | None = None
    is_read = False
    try:
        members = archive.take_apart(data)
        seen = _last_seen(last_seen)
        trusted = verify_trust(trust, now_ms)
        if seen is not None and trusted.version < seen.trust_version:
            raise Refused("trust_rollback", f"version {trusted.version} after {seen.trust_version}")
        _check_version(trusted, members["status.json"])
        with named("manifest_malformed"):
            manifest = signed_manifest.read_manifest(members["bundle.json"])
        is_read = True
        signed_manifest.check_manifest(manifest, trusted, members)
        held = contents.read_contents(members)
        contents.check_counts(manifest, held)
        audit = Audit(trusted, manifest, held)
        _check_all(audit, findings, seen, now_ms, max_age_ms)
    except Refused as refused:
        findings.reasons.append(refused.reason)
    except Exception:  # noqa: BLE001 - whatever goes wrong in here must never become an acceptance
        findings.reasons.append(OWN_FAULT)
    return _verdict(audit, findings.reasons, is_read)


def _verdict(audit: Audit | None, reasons: list[str], is_read: bool) -> ReferenceVerdict:
    accepted = [] if audit is None else [receipt for _, receipt in audit.receipts.values()]
    grades = {"declared": 0, "attested": 0, "replayed": 0, "proved": 0}
    for receipt in accepted:
        grades[receipt.grade] += 1
    reason = reasons[0] if reasons else None
    exit_code = PASSED if reason is None else FAILED
    if reason in UNREADABLE_REASONS or (reason == OWN_FAULT and not is_read):
        exit_code = UNREADABLE
    revoked = {} if audit is None else audit.status.models
    if reason is None and any(revoked.get(receipt.model_version) == "revoked" for receipt in accepted):
        exit_code, reason = REVOKED, "model_revoked"
    used = frozenset() if audit is None else frozenset(audit.hits)
    close = frozenset() if audit is None else frozenset(audit.applicable)
    statements = frozenset(receipt.statement for receipt in accepted)
    return ReferenceVerdict(exit_code, reason, grades, statements, used, close)


def _check_all(audit: Audit, findings: _Findings, seen: LastSeen | None, now_ms: int, max_age_ms: int | None) -> None:
    held, trust, manifest = audit.contents, audit.trust, audit.manifest
    checkpoint, witnessed_ms = _check_checkpoint(held, trust, manifest, now_ms)
    findings.collect(_check_rollback, held, trust, checkpoint, seen)
    leaves.check_inclusion(held, trust, checkpoint)
    findings.collect(_check_status, audit, now_ms)
    if max_age_ms is not None:
        oldest_ms = now_ms - max_age_ms
        findings.collect(_check_freshness, audit, witnessed_ms, oldest_ms)
    _check_receipts_and_hits(audit, findings)
    _read_embeddings(audit)
    for opening in held.openings:
        if opening.kind != opened_commitments.KIND:
            findings.collect(receipts.check_opening, audit, opening)
    findings.reasons += [refused.reason for refused in opened_commitments.check_openings(audit)]
    for hit in held.queries:
        findings.collect(closeness.check_query, audit, hit)
    for index in held.evidence:
        findings.collect(receipts.check_evidence, audit, index)
    for body in held.bodies.values():
        if body.kind == 7:
            findings.collect(receipts.check_evidence_body, audit, body)
    findings.reasons += [refused.reason for refused in ledger.check_ledger(audit)]
    findings.reasons += [refused.reason for refused in closeness.check_closeness(audit)]


def _check_receipts_and_hits(audit: Audit, findings: _Findings) -> None:
    held = audit.contents
    used = frozenset(hit.receipt for line in held.hits for hit in line.hits)
    findings.collect(receipts.check_policies, audit)
    findings.collect(receipts.check_pool, audit)
    for index in held.receipts:
        findings.collect(receipts.check_receipt, audit, index, used)
    findings.collect(receipts.check_models, audit)
    for place, line in enumerate(held.hits):
        if not findings.collect(hits.check_batch, audit, line.batch, place):
            continue
        for hit in line.hits:
            findings.collect(hits.check_hit, audit, line.batch, hit)


def _check_version(trust: Trust, status: bytes) -> None:
    """Refuse a trust file that is older than the status list; a list that is not in form is refused with its member."""
    try:
        stated = read_status(status)
    except NotInForm:
        return
    if trust.version < stated.trust_version:
        raise Refused("trust_rollback", f"the status list knows version {stated.trust_version}")


def _check_checkpoint(
    held: Contents, trust: Trust, manifest: Manifest, now_ms: int
) -> tuple[Checkpoint, dict[bytes, int]]:
    """The bundle's checkpoint and when each trusted witness saw it."""
    with named("checkpoint_malformed"):
        checkpoint = notes.read_checkpoint(held.checkpoint)
    notes.check_log(checkpoint, trust.log)
    if (manifest.origin, manifest.size, manifest.root) != (checkpoint.origin, checkpoint.size, checkpoint.root):
        raise Refused("checkpoint_mismatch", "the manifest names another checkpoint")
    witnessed_ms = notes.witnessed_at(checkpoint, trust.witnesses, now_ms)
    if len(witnessed_ms) < trust.witness_threshold:
        raise Refused("witness_quorum", f"{len(witnessed_ms)} of {trust.witness_threshold}")
    return checkpoint, witnessed_ms


def _check_rollback(held: Contents, trust: Trust, checkpoint: Checkpoint, seen: LastSeen | None) -> None:
    proved: dict[int, bytes] = {checkpoint.size: checkpoint.root}
    for old, proof in held.earlier:
        notes.check_log(old, trust.log)
        if old.size == checkpoint.size and old.root != checkpoint.root:
            raise Refused("split_view", f"two roots of size {old.size}")
        if old.size > checkpoint.size:
            raise Refused("rollback", f"a checkpoint of size {old.size} is called earlier")
        if old.size == checkpoint.size:
            raise Refused("consistency_invalid", "the bundle's own checkpoint is called earlier")
        with named("consistency_invalid"):
            if consistency_roots(old.size, checkpoint.size, old.root, proof) != (old.root, checkpoint.root):
                raise NotInForm("the proof leads to other roots")
        proved[old.size] = old.root
    if seen is None:
        return
    with named("checkpoint_malformed"):
        last = notes.read_checkpoint(seen.checkpoint)
    notes.check_log(last, trust.log)
    if last.size > checkpoint.size:
        raise Refused("rollback", f"size {checkpoint.size} after {last.size}")
    if last.size not in proved:
        raise Refused("consistency_missing", f"from size {last.size}")
    if proved[last.size] != last.root:
        raise Refused("split_view", f"two roots of size {last.size}")


def _check_status(audit: Audit, now_ms: int) -> None:
    held = audit.contents
    binding = [index for index, body in held.bodies.items() if body.kind in (3, 4)]
    if not binding or held.bodies[max(binding)].value["status_list"] != held.status.digest:
        raise Refused("status_unbound", held.status.digest)
    for body in held.bodies.values():
        if body.kind == 3 and body.value["event"] != "added" and not _is_listed(body.value, held.status):
            raise Refused("status_unbound", f"the list does not say that {body.value['key_id']} ended")
    newest = held.bodies[max(binding)]
    if newest.kind == 4 and newest.value["model_version"] is not None:
        listed = held.status.models.get(str(newest.value["model_version"]), "active")
        if listed != newest.value["status"]:
            raise Refused("status_unbound", f"the list says that {newest.value['model_version']} is {listed}")
    if held.status.at_ms > now_ms + 300_000:
        raise Refused("status_future", f"at {held.status.at_ms}")
    if held.status.keys.get(audit.manifest.signer, ("", 0))[0] == "compromised":
        raise Refused("signer_compromised", "the manifest's signer")


def _is_listed(event: dict[str, Json], status: StatusList) -> bool:
    """Whether the list says of a key that ended at least what the event says."""
    listed, since_index = status.keys.get(str(event["key_id"]), ("", 0))
    if not listed or (event["event"] == "compromised" and listed != "compromised"):
        return False
    return not isinstance(event["since_index"], int) or since_index <= event["since_index"]


def _check_freshness(audit: Audit, witnessed_ms: dict[bytes, int], oldest_ms: int) -> None:
    if audit.status.at_ms < oldest_ms:
        raise Refused("stale", "the status list")
    if audit.trust.witness_threshold and max(witnessed_ms.values()) < oldest_ms:
        raise Refused("stale", "the newest cosignature")


def _read_embeddings(audit: Audit) -> None:
    """Keep the embedding statements that are in form; what is not is refused with the evidence."""
    for signed in audit.contents.evidence.values():
        if signed is not None and signed.payload_type == IN_TOTO:
            try:
                embedding = read_embedding(signed)
            except NotInForm:
                continue
            audit.embeddings[embedding.statement] = embedding


def _last_seen(data: bytes | None) -> LastSeen | None:
    if data is None:
        return None
    with named("malformed"):
        value = json_text.read(shape.short(data, LAST_SEEN_BYTES_MAX))
        found = shape.closed(value, "schema", "checkpoint", "trust_version")
        shape.one_of(found["schema"], "hitproof/last-seen/v1")
        note = shape.text(found["checkpoint"], notes.NOTE_BYTES_MAX)
        return LastSeen(note.encode("utf-8"), shape.integer(found["trust_version"], 1))
