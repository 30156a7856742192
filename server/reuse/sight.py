"""One request on its way through, and what was seen of it before anything was computed."""

from __future__ import annotations

from dataclasses import dataclass

from server.ports import JsonObject
from server.reuse.decision import Reject
from server.reuse.fingerprint import Identity, identify
from server.reuse.models import ResolvedModel
from server.reuse.near import Near
from server.reuse.outcomes import Outcome
from server.reuse.request import ChatRequest
from server.reuse.tenant_directory import TenantContext
from server.store.records import StoredEntry
from tenants.identifiers import KeyId


@dataclass(frozen=True, slots=True)
class Sight:
    """What a lookup found before anything was computed: a hit with its response, or the reason for none."""

    outcome: Outcome
    response: JsonObject | None
    row: StoredEntry | None
    identity: Identity
    near: Near | None

    @property
    def guard(self) -> str | None:
        """The guard that kept the nearest candidate from answering, if one did."""
        decision = None if self.near is None else self.near.decision
        return decision.guard if isinstance(decision, Reject) else None


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
