"""One request on its way through, and what was seen of it before anything was computed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from server.ports import JsonObject
from server.reuse.decision import Accept, Reject
from server.reuse.fingerprint import Identity, identify
from server.reuse.hit_journal import Match
from server.reuse.models import ResolvedModel
from server.reuse.near import Near
from server.reuse.outcomes import Hit, Miss, Outcome
from server.reuse.receipts import Receipt
from server.reuse.request import ChatRequest
from server.reuse.tenant_directory import TenantContext
from server.store.records import StoredEntry
from tenants.identifiers import KeyId


@dataclass(frozen=True, slots=True)
class Sight:
    """What a lookup found before anything was computed: a hit with its response and receipt, or the reason for none.

    *near* is always of the tenant's own partition, also where the pool answered: nothing of the pool's candidates is kept.
    What is, in *pool_match*, is the tenant's own question and the threshold that the pool's answer had to reach.
    """

    outcome: Outcome
    response: JsonObject | None
    row: StoredEntry | None
    identity: Identity
    near: Near | None
    receipt: Receipt | None = None
    is_pool_asked: bool = False
    pool_match: Match | None = None

    @property
    def guard(self) -> str | None:
        """The guard that kept the nearest candidate from answering, if one did."""
        decision = None if self.near is None else self.near.decision
        return decision.guard if isinstance(decision, Reject) else None

    def without_hit(self, reason: str) -> Sight:
        """Return what is left of a hit that may not be given for that *reason*: a miss."""
        return replace(self, outcome=Miss(reason), response=None, row=None, receipt=None, pool_match=None)

    @property
    def match(self) -> Match | None:
        """What a hit by meaning rests on; None for a miss, and for the hit of an identical request."""
        if not isinstance(self.outcome, Hit) or self.outcome.tier == "exact":
            return None
        if self.outcome.tier == "pool":
            return self.pool_match
        if self.near is None or self.near.question is None or not isinstance(self.near.decision, Accept):
            return None
        return Match(self.near.question.vector, self.near.decision.tau)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request on its way through: who asks what, of which model, and what it may be compared by."""

    tenant: TenantContext
    key: KeyId
    request: ChatRequest
    model: ResolvedModel
    bypass: str | None
    started_s: float

    def identify(self, model_version: str, embedder_digest: str) -> Identity:
        """Return the identity of the request under *model_version*."""
        return identify(
            self.request,
            model_version=model_version,
            embedder_digest=embedder_digest,
            lookup_key=self.tenant.lookup_key,
        )
