"""Checks every hit of a bundle, and the batch that it lies in."""

from __future__ import annotations

from bisect import bisect_left

from .audit import Audit
from .errors import NotInForm, Refused, named
from .hashing import leaf_hash, multiproof_root
from .receipts import check_policy
from .records import Hit

POLICY_GRACE_MS = 60_000


def check_batch(audit: Audit, batch: int, place: int) -> None:
    """Raise Refused unless the hits of this line lie in the batch at that index."""
    line = audit.contents.hits[place]
    body = audit.contents.bodies.get(batch)
    if body is None or body.kind != 2:
        raise Refused("batch_invalid", f"no batch at {batch}")
    leaves = [(position, leaf_hash(hit.data)) for position, hit in zip(line.positions, line.hits, strict=True)]
    count = body.value["count"]
    with named("batch_invalid"):
        if not isinstance(count, int) or multiproof_root(leaves, count, line.hashes).hex() != body.value["root"]:
            raise NotInForm("not the batch's root")
    if body.value["tenant"] not in audit.tenant.pseudonyms:
        raise Refused("tenant_mismatch", "the batch is another tenant's")


def check_hit(audit: Audit, batch: int, hit: Hit) -> None:
    """Accept a hit of the batch at that index, or raise Refused."""
    if hit.hit in audit.hits:
        raise Refused("hit_replayed", hit.hit)
    index, receipt = audit.receipts.get(hit.receipt, (None, None))
    if index is None or receipt is None or leaf_hash(audit.contents.leaves[index]) != hit.receipt_leaf:
        raise Refused("hit_receipt", hit.receipt)
    if index >= batch:
        raise Refused("hit_order", hit.hit)
    if hit.tenant != audit.tenant.principal.pseudonym(hit.at_ms):
        raise Refused("tenant_mismatch", hit.tenant)
    if (hit.tier == "pool") != (audit.side(receipt.tenant) is audit.pool):
        raise Refused("hit_tier", hit.tier)
    if not audit.manifest.scope.covers(hit.at_ms):
        raise Refused("out_of_scope", hit.hit)
    logged = audit.announced.get(hit.tenant, [])
    before = bisect_left(logged, batch, key=lambda found: found[0])
    places = audit.places.get((hit.tenant, hit.policy), [])
    earlier = bisect_left(places, before)
    check_policy(audit, hit.policy, earlier > 0)
    successor = places[earlier - 1] + 1
    if successor < before and logged[successor][1].at_ms < hit.at_ms - POLICY_GRACE_MS:
        raise Refused("policy_inactive", hit.policy)
    audit.hits[hit.hit] = hit
