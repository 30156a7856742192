"""Each hit: is it in the batch that the log holds, of a receipt that was there before, and by a policy in force?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..bodies import HitBatch
from ..bundle import BundleParts
from ..bundle_lines import HitLine
from ..errors import VerificationError
from ..hit import HitRecord
from ..merkle import leaf_hash
from ..multiproof import root_from_multiproof
from .findings import Notes
from .readings import Readings, ReadReceipt
from .tenancy import GRACE_MS, Policies, Principals


@dataclass(frozen=True, slots=True)
class HitRules:
    """What hits are held against; *receipts* with their leaf hashes, by digest, the first where one stands twice."""

    parts: BundleParts
    receipts: Mapping[str, tuple[ReadReceipt, bytes]]
    batches: Mapping[int, HitBatch]
    principals: Principals
    policies: Policies


def make_hit_rules(parts: BundleParts, readings: Readings, principals: Principals, policies: Policies) -> HitRules:
    """Return what the hits of *parts* are held against."""
    receipts: dict[str, tuple[ReadReceipt, bytes]] = {}
    for receipt in readings.receipts:
        if isinstance(receipt, ReadReceipt) and receipt.digest not in receipts:
            receipts[receipt.digest] = receipt, leaf_hash(receipt.to_leaf().encode())
    batches = {line.index: line.body for line in parts.bodies if isinstance(line.body, HitBatch)}
    return HitRules(parts, receipts, batches, principals, policies)


def check_hits(notes: Notes, rules: HitRules) -> frozenset[str]:
    """Return the ids of the hits in which nothing is wrong."""
    accepted: set[str] = set()
    seen: set[str] = set()
    for line in rules.parts.hits:
        before = notes.total
        with notes.about(f"hit batch, leaf {line.batch}"):
            _verify_batch(line, rules)
        if notes.total > before:
            continue
        for record in line.records:
            before = notes.total
            with notes.about(f"hit {record.hit}"):
                if record.hit in seen:
                    raise VerificationError("this hit stands in the bundle twice", reason="hit_replayed")
                _verify_hit(record, line.batch, rules)
            seen.add(record.hit)
            if notes.total == before:
                accepted.add(record.hit)
    count = rules.parts.counts.hits
    if count:
        notes.detail = (
            f"{count:,} hits of {len(rules.parts.hits):,} batches: batch, receipt, order, tenant, tier, scope, policy"
        )
    else:
        notes.leave_uncovered("there are no hits in the bundle")
    if hidden := _count_hidden(rules):
        notes.detail += f"; {hidden:,} further hits of this tenant's batches are in the log and not in the bundle"
    if late := _count_late(rules):
        notes.detail += (
            f"; {late:,} are dated more than {GRACE_MS // 1000} s before their batch, so that their policy was in force"
            " is the operator's word"
        )
    return frozenset(accepted)


def _count_hidden(rules: HitRules) -> int:
    """Count the hits that the batches of this tenant state and the bundle does not show."""
    stated = sum(batch.count for batch in rules.batches.values() if rules.principals.tenant.is_ours(batch.tenant))
    return max(0, stated - rules.parts.counts.hits)


def _count_late(rules: HitRules) -> int:
    """Count the hits dated so long before their batch that they may pass under a policy that was no longer in force."""
    batches = rules.batches
    return sum(
        record.at_ms < batches[line.batch].at_ms - GRACE_MS
        for line in rules.parts.hits
        if line.batch in batches
        for record in line.records
    )


def _verify_batch(line: HitLine, rules: HitRules) -> None:
    """Check that the line's records are in the batch that the log asserts, and that it is this tenant's."""
    batch = rules.batches.get(line.batch)
    if batch is None:
        raise VerificationError("no hit batch of the log stands at this leaf", reason="batch_invalid")
    leaves = [
        (place, leaf_hash(record.to_payload())) for place, record in zip(line.positions, line.records, strict=True)
    ]
    try:
        root = root_from_multiproof(leaves, batch.count, line.hashes)
    except VerificationError as error:
        raise VerificationError(str(error), reason="batch_invalid") from None
    if root != batch.root:
        raise VerificationError(
            "the hits are not those of the batch", reason="batch_invalid", expected=batch.root.hex(), actual=root.hex()
        )
    if not rules.principals.tenant.is_ours(batch.tenant):
        raise VerificationError("the batch is another tenant's", reason="tenant_mismatch", actual=batch.tenant)


def _verify_hit(record: HitRecord, batch: int, rules: HitRules) -> None:
    """Check one hit against its receipt, its tenant, the scope and the policy in force."""
    receipt, leaf = rules.receipts.get(record.receipt, (None, b""))
    found = verify_hit_receipt(record, batch, receipt, leaf)
    rules.principals.tenant.verify_at(record.tenant, record.at_ms)
    verify_tier(record, of_pool=rules.principals.pool.is_ours(found.statement.tenant))
    scope = rules.parts.scope
    if not scope.covers(record.at_ms):
        raise VerificationError(
            "the hit lies outside the bundle's time",
            reason="out_of_scope",
            expected=f"from {scope.since_ms} to before {scope.until_ms}",
            actual=record.at_ms,
        )
    rules.policies.verify_in_force(record.policy, batch, record.tenant, record.at_ms)


def verify_tier(record: HitRecord, *, of_pool: bool) -> None:
    """Check that *record* says `pool` exactly where its receipt is the pool's; raises `VerificationError` (`hit_tier`)."""
    if (record.tier == "pool") != of_pool:
        raise VerificationError(
            "the hit came out of another tier than it says",
            reason="hit_tier",
            expected="pool" if of_pool else "exact or private",
            actual=record.tier,
        )


def verify_hit_receipt(record: HitRecord, batch: int, receipt: ReadReceipt | None, leaf: bytes) -> ReadReceipt:
    """Return *receipt* if *record* answered with it and its leaf, with the hash *leaf*, came before the batch's.

    Raises `VerificationError`: `hit_receipt`, `hit_order`.
    """
    if receipt is None or receipt.digest != record.receipt:
        message = "the receipt that the hit answered with is not here"
        raise VerificationError(message, reason="hit_receipt", expected=record.receipt)
    if leaf != record.receipt_leaf:
        raise VerificationError(
            "the hit refers to another leaf than its receipt's",
            reason="hit_receipt",
            expected=record.receipt_leaf.hex(),
            actual=leaf.hex(),
        )
    if receipt.index >= batch:
        raise VerificationError(
            "the hit is in the log before the receipt that it answered with",
            reason="hit_order",
            expected=f"a receipt below leaf {batch}",
            actual=receipt.index,
        )
    return receipt
