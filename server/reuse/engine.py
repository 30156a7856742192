"""The lookup, from an authenticated request to an answer: every branch stands here, every leaf elsewhere.

    bypass? → exact? → embed → nearest in the tenant's own partition → guards → decide → verify on read → answer
    miss there → the pool, where policy and request allow it → decide → verify on read → hold → answer
    miss → one flight per tenant and question → upstream → whole? → seal, store, feed in one transaction → answer

Any doubt is a miss. The tenant is the caller's and enters nowhere else; what the pool answers is the pool's.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Protocol

from server.ports import Clock, JsonObject
from server.reuse.accounting import Accounting
from server.reuse.answers import Account, Answer, ReceiptState, StreamedAnswer
from server.reuse.computing import Computer, Labels
from server.reuse.decision import Accept, Decision, Reject, WouldAccept
from server.reuse.exact import ExactTier
from server.reuse.fingerprint import Identity, is_of_conversation
from server.reuse.models import ModelRegistry
from server.reuse.near import NearTier
from server.reuse.outcomes import Bypass, Hit, Miss, Refused
from server.reuse.plan import reason_for_exact_only, reason_to_bypass
from server.reuse.pool_tier import PoolTier
from server.reuse.quarantine import Quarantine
from server.reuse.receipt_making import Receiptable, ReceiptMaker
from server.reuse.release_clock import ReleaseClock
from server.reuse.reporting import Reporter
from server.reuse.request import ChatRequest
from server.reuse.sight import Asked, Sight
from server.reuse.storing import Fresh, Stored, Storer
from server.reuse.tenant_directory import TenantDirectory
from server.reuse.verification import OF_RECEIPTS, Doubt
from server.store.errors import StoreError
from server.store.records import StoredEntry
from tenants.identifiers import EntryId, KeyId, TenantId


class Votes(Protocol):
    """Hears of questions whose tenants share them as votes."""

    def offer(self, asked: Asked) -> None:
        """Take note of a request; never raises and never waits."""
        ...


class ReuseEngine:
    """Answers chat requests from work already done where that is safe, and has the rest computed."""

    def __init__(
        self,
        *,
        tenants: TenantDirectory,
        models: ModelRegistry,
        exact: ExactTier,
        near: NearTier,
        pool: PoolTier | None,
        votes: Votes | None,
        labels: Labels,
        release_clock: ReleaseClock,
        computer: Computer,
        storer: Storer,
        receipts: ReceiptMaker,
        quarantine: Quarantine,
        reporter: Reporter,
        accounting: Accounting,
        clock: Clock,
        embedder_digest: str,
    ) -> None:
        self._tenants = tenants
        self._models = models
        self._exact = exact
        self._near = near
        self._pool = pool
        self._votes = votes
        self._labels = labels
        self._release_clock = release_clock
        self._computer = computer
        self._storer = storer
        self._receipts = receipts
        self._quarantine = quarantine
        self._reporter = reporter
        self._accounting = accounting
        self._clock = clock
        self._embedder_digest = embedder_digest

    @property
    def pool_id(self) -> TenantId | None:
        """The tenant id of the pool that is read here, if one is."""
        return None if self._pool is None else self._pool.id

    async def answer(self, tenant: TenantId, key: KeyId, request: ChatRequest) -> Answer | StreamedAnswer:
        """Answer *request* for the tenant of the caller's key, whole or in chunks as it asks."""
        asked = await self._ask(tenant, key, request)
        if asked.bypass is not None:
            return await self._computer.compute(asked, None, Bypass(asked.bypass))
        sight = await self._look(asked, search=not request.steering.no_cache)
        if asked.tenant.policy.sharing == "pooled" and self._votes is not None:
            self._votes.offer(asked)
        if isinstance(sight.outcome, Hit):
            if request.steering.share is not None and sight.outcome.tier != "pool":
                await self._label(asked, sight.outcome)
            if self._accounting.is_audited(asked.tenant.policy, sight.outcome):
                sight = sight.without_hit("audit")
            elif self._reporter.may_give_hits:
                return self._hit(asked, sight)
            else:
                sight = sight.without_hit("log_behind")
        if request.steering.only_if_cached:
            await self._hold_miss(asked, sight)
            return self._refuse(asked, sight)
        return await self._computer.compute(asked, sight, sight.outcome)

    async def look_up(self, tenant: TenantId, key: KeyId, request: ChatRequest) -> tuple[Account, JsonObject | None]:
        """Say what *request* would come to, without computing, storing or recording anything: the dry run."""
        asked = await self._ask(tenant, key, request)
        if asked.bypass is not None:
            return self._reporter.account(asked, Bypass(asked.bypass), None), None
        sight = await self._look(asked, search=True)
        await self._hold_miss(asked, sight)
        return self._reporter.account(asked, sight.outcome, sight), sight.response

    async def put(self, tenant: TenantId, key: KeyId, request: ChatRequest, response: JsonObject) -> Stored:
        """Store a client's own *response* to *request*; it is declared by that client and never leaves its tenant."""
        asked = await self._ask(tenant, key, request)
        sight = await self._look(asked, search=False)
        model, version = asked.model.record, asked.model.model_version
        parameters = request.material_parameters
        about = Receiptable(request.messages, parameters, response, model.alias, version)
        return await self._storer.store(
            asked.tenant,
            Fresh(
                identity=sight.identity,
                messages=list(request.messages),
                parameters=parameters,
                response=response,
                receipt=self._receipts.declare(asked.tenant, about),
                provenance=None,
                question=None if sight.near is None else sight.near.question,
                source="client",
                model=model.alias,
                model_version=version,
                reported="",
                prompt_tokens=0,
                output_tokens=0,
                cost_micro=0,
                ttl_s=min(request.steering.ttl_s or asked.tenant.policy.ttl_s, asked.tenant.policy.ttl_s_max),
                tags=request.steering.tags,
            ),
        )

    async def _ask(self, tenant: TenantId, key: KeyId, request: ChatRequest) -> Asked:
        context = await self._tenants.get(tenant)
        model = self._models.resolve(request.model)
        bypass = reason_to_bypass(request, context.policy)
        return Asked(context, key, request, model, bypass, self._clock.monotonic_s())

    async def _look(self, asked: Asked, *, search: bool) -> Sight:
        """Look in the exact tier, then by meaning, then in the pool."""
        identity = asked.identify(asked.model.model_version, self._embedder_digest)
        exact = await self._exact.ask(asked, identity) if search else None
        if isinstance(exact, Sight):
            return exact
        sight = await self._look_near(asked, identity, search=search)
        if self._pool is not None and asked.tenant.policy.pool_read:
            sight = await self._look_in_pool(self._pool, asked, sight)
        if isinstance(exact, Doubt) and exact.reason in OF_RECEIPTS and isinstance(sight.outcome, Miss):
            # The very request is there and may not answer for its receipt's sake: that is what its owner can mend.
            return replace(sight, outcome=Miss(exact.reason))
        return sight

    async def _look_near(self, asked: Asked, identity: Identity, *, search: bool) -> Sight:
        """Look by meaning, where request and policy allow it."""
        exact_only = reason_for_exact_only(asked.request, asked.tenant.policy)
        if exact_only is not None:
            return Sight(Miss(exact_only), None, None, identity, None)
        near = await self._near.ask(
            asked.tenant,
            identity.fingerprint,
            asked.request.query or "",
            max_age_s=asked.request.steering.max_age_s,
            threshold_ten_thousandths=asked.request.steering.threshold_ten_thousandths,
            search=search,
        )
        if near.decision is None:
            return Sight(Miss("no_cache" if not search else f"degraded_{near.fault}"), None, None, identity, near)
        if isinstance(near.decision, Accept) and near.accepted is not None:
            found = near.accepted
            payload = found.payload
            if not is_of_conversation(asked.request, payload.messages, payload.parameters, whole=False):
                await self._quarantine.put(asked.tenant.id, found.row.id, "other_conversation")
                return Sight(Miss("not_opened"), None, None, identity, near)
            outcome = Hit("private", found.row.id, "same_meaning")
            return Sight(outcome, payload.response, found.row, identity, near, found.receipt)
        if isinstance(near.decision, WouldAccept):
            return Sight(Miss("shadow"), None, None, identity, near)
        return Sight(Miss(_reason(near.decision, near.doubt)), None, None, identity, near)

    async def _look_in_pool(self, pool: PoolTier, asked: Asked, sight: Sight) -> Sight:
        """Ask the pool where the private tier compared and had nothing; shadow mode has no part in it.

        A hit comes back when it may leave.
        """
        compared = sight.near is not None and sight.near.decision is not None
        if not compared or not isinstance(sight.outcome, Miss) or asked.tenant.policy.mode != "static":
            return sight
        sight = await pool.ask(asked, sight)
        if isinstance(sight.outcome, Hit):
            await self._hold(asked, sight)
        return sight

    async def _hold_miss(self, asked: Asked, sight: Sight) -> None:
        """Hold back a miss that the pool was asked about and that nothing is computed for: its moment says as much."""
        if sight.is_pool_asked and isinstance(sight.outcome, Miss):
            await self._hold(asked, sight)

    async def _hold(self, asked: Asked, sight: Sight) -> None:
        """Let what the pool had a part in leave by the caller's clock."""
        await self._release_clock.hold(
            asked.tenant.policy.pool_clock,
            asked.tenant.id,
            asked.model.record.alias,
            0 if sight.row is None else sight.row.output_tokens,
            started_s=asked.started_s,
        )

    async def _label(self, asked: Asked, hit: Hit) -> None:
        """Label the caller's own entry that answers, where the request asks for that; a store that cannot costs a label."""
        wish = asked.request.steering.share
        if wish is None or not wish.shares or asked.tenant.policy.sharing != "noised":
            return
        with contextlib.suppress(StoreError):
            await self._labels.label(asked.tenant, hit.entry, wish)

    async def quarantine(self, tenant: TenantId, entry: EntryId, reason: str) -> bool:
        """Take an entry of *tenant* out of service; False when there was none, or the store cannot do so now."""
        return await self._quarantine.put(tenant, entry, reason)

    def show_receipt(self, row: StoredEntry) -> ReceiptState | None:
        """Say how the receipt of a stored entry stands; None where it has none."""
        if row.receipt_id is None or row.receipt_seq is None or row.receipt_grade is None:
            return None
        return self._reporter.show_receipt(row.receipt_id, row.receipt_seq, row.receipt_grade)

    def _hit(self, asked: Asked, sight: Sight) -> Answer | StreamedAnswer:
        account = self._reporter.account(asked, sight.outcome, sight)
        self._reporter.record(asked, account, sight)
        if sight.response is None or sight.row is None:
            raise RuntimeError("a hit without a response")
        return self._reporter.replay(asked, sight.response, account, owner=sight.row.tenant_id)

    def _refuse(self, asked: Asked, sight: Sight) -> Answer:
        account = self._reporter.account(asked, Refused("only_if_cached"), sight)
        self._reporter.record(asked, account, sight)
        return Answer(asked.tenant.id, account, None)


def _reason(decision: Decision, doubt: str | None) -> str:
    if not isinstance(decision, Reject):
        return "not_opened"
    if decision.reason == "no_candidate" and doubt is not None:
        return doubt
    return decision.reason if decision.guard is None else f"guard_{decision.guard}"
