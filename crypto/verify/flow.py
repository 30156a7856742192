"""All checks of a bundle, in the order of docs/formats.md, "What a verifier checks".

`require` ends the run where everything behind rests on what failed; `run` goes on, so that one report names all that is
wrong. Whatever was not reached is reported as not covered.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

from ..bundle import Bundle, BundleParts
from ..checkpoint import Cosignature, SignedCheckpoint
from ..last_seen import LastSeen
from ..report import LogState, Report, SampleResult
from ..trust import Trust
from .applicability import check_applicability
from .applicability_rules import ApplicabilityRules, Thresholds, index_hits
from .cross_check import compare_verdicts
from .evidence import check_evidence
from .findings import Findings, Notes, Stopped
from .history import check_checkpoint, check_rollback, check_witnesses
from .hits import check_hits, make_hit_rules
from .inclusion import check_inclusion
from .ledger import check_ledger
from .model_status import check_model_status
from .openings import check_openings
from .options import AuditOptions, Verification
from .outer import check_archive, check_manifest, check_trust, stated_trust_version
from .publishers import check_publishers
from .readings import Readings, ReadReceipt, read_signed
from .receipts import ReceiptRules, check_receipts
from .replay import check_replay
from .sampling import describe_sample, draw_sample
from .standing import Standing, check_freshness, check_status, make_standing
from .tenancy import Policies, Principals, check_policies, make_principals


@dataclass(slots=True)
class _Reached:
    """What is known so far; the report is made of it, however far the checks came."""

    trust: Trust | None = None
    bundle: Bundle | None = None
    signed: SignedCheckpoint | None = None
    witnesses: tuple[Cosignature, ...] = ()
    as_of_ms: int | None = None
    sample: SampleResult | None = None
    receipts: tuple[ReadReceipt, ...] = ()
    replayed: frozenset[str] = frozenset()
    hits: frozenset[str] = frozenset()
    applicable: frozenset[str] = frozenset()
    findings: Findings = field(default_factory=Findings)


def verify_bundle(data: bytes, trust_file: bytes, options: AuditOptions) -> Verification:
    """Check the bundle *data* under *trust_file*; never raises for what a file contains."""
    reached = _Reached()
    try:
        bundle, trust = _check_outside(data, trust_file, options, reached)
        signed = _check_log(bundle, trust, options, reached)
        _check_contents(bundle, trust, signed, options, reached)
    except Stopped:
        pass  # What failed is noted; what rests on it is not covered.
    verification = _conclude(reached, hashlib.sha256(data).hexdigest())
    if options.second_opinion is None:
        return verification
    return _ask_again(verification, data, trust_file, options, reached)


def _check_outside(data: bytes, trust_file: bytes, options: AuditOptions, reached: _Reached) -> tuple[Bundle, Trust]:
    """Archive, trust file, manifest."""
    findings = reached.findings
    members = findings.require("archive", lambda notes: check_archive(notes, data))
    stated = stated_trust_version(members)
    trust = findings.require("trust", lambda notes: check_trust(notes, trust_file, options, stated))
    bundle = findings.require("manifest", lambda notes: check_manifest(notes, members, trust))
    reached.trust, reached.bundle = trust, bundle
    return bundle, trust


def _check_log(bundle: Bundle, trust: Trust, options: AuditOptions, reached: _Reached) -> SignedCheckpoint:
    """Checkpoint, witnesses, rollback."""
    findings = reached.findings
    signed = findings.require("checkpoint", lambda notes: check_checkpoint(notes, bundle, trust))
    reached.signed = signed
    reached.witnesses = findings.run("witnesses", lambda notes: check_witnesses(notes, signed, trust, options.now_ms))
    lines = bundle.parts.checkpoints
    findings.run("rollback", lambda notes: check_rollback(notes, lines, signed, trust, options))
    return signed


def _check_contents(
    bundle: Bundle, trust: Trust, signed: SignedCheckpoint, options: AuditOptions, reached: _Reached
) -> None:
    """Inclusion and all that stands behind it, in the order of the format."""
    findings, parts, readings = reached.findings, bundle.parts, read_signed(bundle.parts)
    findings.require("inclusion", lambda notes: check_inclusion(notes, parts, readings, signed.checkpoint, trust))
    status = findings.require("status", lambda notes: check_status(notes, bundle, options.now_ms))
    reached.as_of_ms = status.at_ms
    findings.run(
        "freshness",
        lambda notes: check_freshness(notes, status, reached.witnesses, trust, options.now_ms, options.max_age_ms),
    )
    sampled = _draw(signed.checkpoint.root, len(parts.receipts), options, reached)
    standing, principals = make_standing(trust, status), make_principals(parts.scope)
    policies, receipts = findings.run(
        "receipts", lambda notes: _check_receipts(notes, parts, readings, standing, principals, sampled)
    )
    rules = make_hit_rules(parts, readings, principals, policies)
    reached.hits = findings.run("hits", lambda notes: check_hits(notes, rules))
    looked_at = _sampled_digests(readings, sampled)
    opened = findings.run("openings", lambda notes: check_openings(notes, parts, readings, looked_at, options.srs))
    reached.receipts = tuple(one for one in receipts if looked_at is None or one.digest in looked_at)
    embeddings = findings.run("evidence", lambda notes: check_evidence(notes, parts, readings, standing, principals))
    findings.run("publisher", lambda notes: check_publishers(notes, parts, trust))
    reached.replayed = findings.run(
        "replay", lambda notes: check_replay(notes, parts, reached.receipts, opened, options.replay)
    )
    findings.run("ledger", lambda notes: check_ledger(notes, parts))
    closeness = ApplicabilityRules(
        hits=index_hits(parts),
        receipts={one.digest: one for one in readings.receipts if isinstance(one, ReadReceipt)},
        embeddings=embeddings.accepted,
        queries=opened.queries,
        thresholds=Thresholds.of(parts.policies),
        declared=embeddings.declared,
        given=options.queries,
        sampled=looked_at,
        srs=options.srs,
    )
    reached.applicable = findings.run("applicability", lambda notes: check_applicability(notes, parts, closeness))
    findings.run("model_status", lambda notes: check_model_status(notes, receipts, status))


def _check_receipts(
    notes: Notes,
    parts: BundleParts,
    readings: Readings,
    standing: Standing,
    principals: Principals,
    sampled: frozenset[int] | None,
) -> tuple[Policies, tuple[ReadReceipt, ...]]:
    """Policies belong to the check of the receipts that state them."""
    policies = check_policies(notes, parts.policies, parts.bodies, principals)
    rules = ReceiptRules(parts, standing, principals, policies, sampled)
    return policies, check_receipts(notes, readings, rules)


def _draw(root: bytes, count: int, options: AuditOptions, reached: _Reached) -> frozenset[int] | None:
    """Return the places of the receipts to look at closely, or None for all."""
    if options.sample is None:
        return None
    nonce = options.sample.draw_nonce()
    places = draw_sample(root, nonce, count, options.sample.count)
    reached.sample = describe_sample(nonce, len(places), count)
    return places


def _sampled_digests(readings: Readings, sampled: frozenset[int] | None) -> frozenset[str] | None:
    if sampled is None:
        return None
    chosen = (readings.receipts[place] for place in sampled)
    return frozenset(one.digest for one in chosen if isinstance(one, ReadReceipt))


def _conclude(reached: _Reached, file_sha256: str) -> Verification:
    """Return the report of what was reached; statements and hits are accepted only if nothing failed."""
    report = Report(
        checks=reached.findings.close(),
        grades=_count_grades(reached),
        counts={} if reached.bundle is None else _counts(reached.bundle),
        log=_log_state(reached),
        as_of_ms=reached.as_of_ms,
        file_sha256=file_sha256,
        sample=reached.sample,
    )
    statements = frozenset(receipt.digest for receipt in reached.receipts)
    last_seen = None
    if reached.findings.passed() and reached.bundle is not None and reached.trust is not None:
        last_seen = LastSeen(reached.bundle.parts.checkpoint, reached.trust.version)
    return Verification(report, statements, reached.hits, last_seen, reached.applicable)


def _counts(bundle: Bundle) -> dict[str, int]:
    counts = bundle.parts.counts
    return {
        "evidence": counts.evidence,
        "hits": counts.hits,
        "openings": counts.openings,
        "receipts": counts.receipts,
    }


def _count_grades(reached: _Reached) -> dict[str, int]:
    grades: dict[str, int] = {}
    for receipt in reached.receipts:
        grade = "replayed" if receipt.digest in reached.replayed else receipt.statement.grade
        grades[grade] = grades.get(grade, 0) + 1
    return grades


def _log_state(reached: _Reached) -> LogState | None:
    if reached.signed is None:
        return None
    found = reached.signed.checkpoint
    return LogState(found.origin, found.root, found.size, tuple(one.name for one in reached.witnesses))


def _ask_again(
    verification: Verification, data: bytes, trust_file: bytes, options: AuditOptions, reached: _Reached
) -> Verification:
    """Add what the second implementation says of the same bytes."""
    ask = options.second_opinion
    if ask is None:
        return verification
    seen = None if options.last_seen is None else options.last_seen.to_payload()
    second = ask(data, trust_file, now_ms=options.now_ms, max_age_ms=options.max_age_ms, last_seen=seen)
    check, found = compare_verdicts(verification, second)
    reached.findings.add(check)
    report = replace(verification.report, checks=reached.findings.close(), cross_check=found)
    return replace(verification, report=report, last_seen=verification.last_seen if found.agrees else None)
