"""The lookup, from an authenticated request to an answer: every branch stands here, every leaf elsewhere.

    plan → exact? → embed → nearest in the tenant's own partition → guards → decide → verify on read → answer
    miss → one flight per tenant and question → upstream → whole? → seal, store, feed in one transaction → answer

Any doubt is a miss. The tenant is the caller's and enters nowhere else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import structlog

from crypto.errors import Error
from server.identifiers import new_lookup_id
from server.index.errors import VectorIndexError
from server.ports import Chunk, Clock, Completion, JsonObject, RandomSource
from server.reuse.accounting import Accounting
from server.reuse.answers import Account, Answer, LastChunk, StreamedAnswer
from server.reuse.budget import TokenBudget
from server.reuse.completeness import reason_not_to_store
from server.reuse.decision import Accept, Decision, Reject, WouldAccept
from server.reuse.fingerprint import Identity, identify
from server.reuse.flights import Flight, Flights, Landed
from server.reuse.labelling import Labeller
from server.reuse.models import ModelRegistry, ResolvedModel
from server.reuse.near import Near, NearTier
from server.reuse.outcomes import Bypass, Hit, Miss, Outcome, Refused
from server.reuse.payload import EntryPayload, provenance_to_json, unseal_payload
from server.reuse.plan import reason_for_exact_only, reason_to_bypass
from server.reuse.quarantine import Quarantine
from server.reuse.replay import replay_chunks, replay_whole
from server.reuse.request import ChatRequest
from server.reuse.storing import Fresh, Storer
from server.reuse.tenant_directory import TenantContext, TenantDirectory
from server.reuse.verification import doubt_row
from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.errors import StoreError
from server.store.records import StoredEntry
from server.telemetry import Telemetry
from tenants.errors import TenantError, UnsealError
from tenants.identifiers import EntryId, KeyId, TenantId
from tenants.sealing import sealed_epoch

log = structlog.get_logger()


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


@dataclass(frozen=True, slots=True)
class Parts:
    """What the engine is wired from."""

    database: Database
    tenants: TenantDirectory
    models: ModelRegistry
    near: NearTier
    storer: Storer
    flights: Flights
    labeller: Labeller
    quarantine: Quarantine
    accounting: Accounting
    budget: TokenBudget
    telemetry: Telemetry
    clock: Clock
    random: RandomSource
    embedder_digest: str


class ReuseEngine:
    """Answers chat requests from work already done where that is safe, and has the rest computed."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def answer(self, tenant: TenantId, key: KeyId, request: ChatRequest) -> Answer | StreamedAnswer:
        """Answer *request* for the tenant of the caller's key, whole or in chunks as it asks."""
        asked = await self._ask(tenant, key, request)
        if asked.bypass is not None:
            return await self._compute(asked, None, Bypass(asked.bypass))
        sight = await self._look(asked, search=not request.steering.no_cache)
        if isinstance(sight.outcome, Hit):
            if not self._parts.accounting.is_audited(asked.tenant.policy, sight.outcome):
                return self._hit(asked, sight)
            sight = replace(sight, outcome=Miss("audit"), response=None, row=None)
        if request.steering.only_if_cached:
            return self._refuse(asked, sight)
        return await self._compute(asked, sight, sight.outcome)

    async def look_up(self, tenant: TenantId, key: KeyId, request: ChatRequest) -> tuple[Account, JsonObject | None]:
        """Say what *request* would come to, without computing, storing or recording anything: the dry run."""
        asked = await self._ask(tenant, key, request)
        if asked.bypass is not None:
            return self._account(asked, Bypass(asked.bypass), None), None
        sight = await self._look(asked, search=True)
        return self._account(asked, sight.outcome, sight), sight.response

    async def put(self, tenant: TenantId, key: KeyId, request: ChatRequest, response: JsonObject) -> EntryId:
        """Store a client's own *response* to *request*; it is declared by that client and never leaves its tenant."""
        asked = await self._ask(tenant, key, request)
        sight = await self._look(asked, search=False)
        model = asked.model.record
        return await self._parts.storer.store(
            asked.tenant,
            Fresh(
                identity=sight.identity,
                messages=list(request.messages),
                parameters=request.material_parameters,
                response=response,
                provenance=None,
                question=None if sight.near is None else sight.near.question,
                source="client",
                model=model.alias,
                model_version=asked.model.model_version,
                reported="",
                prompt_tokens=0,
                output_tokens=0,
                cost_micro=0,
                ttl_s=min(request.steering.ttl_s or asked.tenant.policy.ttl_s, asked.tenant.policy.ttl_s_max),
                tags=request.steering.tags,
            ),
        )

    async def _ask(self, tenant: TenantId, key: KeyId, request: ChatRequest) -> Asked:
        context = await self._parts.tenants.get(tenant)
        model = self._parts.models.resolve(request.model)
        bypass = reason_to_bypass(request, context.policy)
        return Asked(context, key, request, model, bypass, self._parts.clock.monotonic_s())

    def identify(self, asked: Asked, model_version: str) -> Identity:
        """Return the identity of the request under *model_version*."""
        return identify(
            asked.request,
            model_version=model_version,
            embedder_digest=self._parts.embedder_digest,
            lookup_key=asked.tenant.lookup_key,
        )

    async def _look(self, asked: Asked, *, search: bool) -> Sight:
        """Look in the exact tier, then by meaning."""
        identity = self.identify(asked, asked.model.model_version)
        if search:
            found = await self._look_exactly(asked, identity)
            if found is not None:
                return found
        exact_only = reason_for_exact_only(asked.request, asked.tenant.policy)
        if exact_only is not None:
            return Sight(Miss(exact_only), None, None, identity, None)
        near = await self._parts.near.ask(
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
            found_near = near.accepted
            outcome = Hit("private", found_near.row.id, "same_meaning")
            return Sight(outcome, found_near.payload.response, found_near.row, identity, near)
        if isinstance(near.decision, WouldAccept):
            return Sight(Miss("shadow"), None, None, identity, near)
        return Sight(Miss(_reason(near.decision)), None, None, identity, near)

    async def _look_exactly(self, asked: Asked, identity: Identity) -> Sight | None:
        tenant = asked.tenant
        try:
            row = await self._parts.database.read(
                lambda connection: EntryRepository(connection, tenant.id).get_live(identity.exact_key)
            )
        except StoreError as error:
            self._parts.telemetry.degraded.labels("exact").inc()
            log.warning("exact_tier_failed", error=type(error).__name__)
            return None
        if row is None:
            return None
        payload = await self._open_verified(asked, row, identity)
        if payload is None:
            return None
        return Sight(Hit("exact", row.id, "same_request"), payload.response, row, identity, None)

    async def _open_verified(self, asked: Asked, row: StoredEntry, identity: Identity) -> EntryPayload | None:
        """Verify on read: nothing is served from a row that fails any check; a broken one is quarantined."""
        tenant = asked.tenant
        doubt = doubt_row(
            row,
            tenant=tenant.id,
            fingerprint=identity.fingerprint,
            now_ms=self._parts.clock.now_ms(),
            max_age_s=asked.request.steering.max_age_s,
        )
        if doubt is not None:
            if doubt.quarantine:
                await self.quarantine(tenant.id, row.id, doubt.reason)
            return None
        try:
            key = tenant.open_with(sealed_epoch(row.payload))
            return unseal_payload(row.payload, key=key, tenant=tenant.id, entry=row.id)
        except UnsealError:
            await self.quarantine(tenant.id, row.id, "does_not_open")
        except TenantError:
            self._parts.telemetry.degraded.labels("keys").inc()
        return None

    async def quarantine(self, tenant: TenantId, entry: EntryId, reason: str) -> bool:
        """Take an entry of *tenant* out of service; False when there was none, or the store cannot do so now."""
        return await self._parts.quarantine.put(tenant, entry, reason)

    def _hit(self, asked: Asked, sight: Sight) -> Answer | StreamedAnswer:
        account = self._account(asked, sight.outcome, sight)
        self._record(asked, account, sight)
        if sight.response is None or sight.row is None:
            raise RuntimeError("a hit without a response")
        return self._replay(asked, sight.response, account, owner=sight.row.tenant_id)

    def _replay(
        self, asked: Asked, response: JsonObject, account: Account, *, owner: TenantId
    ) -> Answer | StreamedAnswer:
        """Give *response* back; *owner* is whose it is by its row, which the egress check compares with the caller."""
        identifier = f"chatcmpl-{account.lookup.partition('_')[2]}"
        created_s = self._parts.clock.now_ms() // 1000
        if not asked.request.is_streamed:
            whole = replay_whole(response, identifier=identifier, created_s=created_s)
            return Answer(owner, account, whole)
        chunks = replay_chunks(
            response, identifier=identifier, created_s=created_s, with_usage=asked.request.wants_usage
        )
        return StreamedAnswer(owner, _then(chunks, LastChunk(account)), account.headers())

    def _refuse(self, asked: Asked, sight: Sight) -> Answer:
        account = self._account(asked, Refused("only_if_cached"), sight)
        self._record(asked, account, sight)
        return Answer(asked.tenant.id, account, None)

    async def _compute(self, asked: Asked, sight: Sight | None, outcome: Outcome) -> Answer | StreamedAnswer:
        """Have the answer computed, alone or together with whoever asks the same right now."""
        await self._parts.budget.check(asked.tenant.id, asked.tenant.quota)
        steering = asked.request.steering
        shared = not steering.no_cache and not steering.no_store and steering.max_age_s != 0
        key = sight.identity.exact_key if sight is not None and shared else None

        async def fly(flight: Flight) -> Landed:
            if sight is not None and key is not None:
                # A flight for the same question may have landed between our look and our start: its answer is there.
                found = await self._look_exactly(asked, sight.identity)
                if found is not None and isinstance(found.outcome, Hit) and found.response is not None:
                    return Landed(Completion(found.response, None), found.outcome, asked.model.model_version, found.row)
            completion = await self._call(asked, flight)
            return await self._land(asked, sight, outcome, completion)

        flight = self._parts.flights.join(asked.tenant.id, key, fly)
        if asked.request.is_streamed:
            headers = {"x-hitproof-cache": _early_name(outcome), "x-hitproof-outcome": _early_name(outcome)}
            return StreamedAnswer(flight.tenant, self._follow(asked, sight, outcome, flight), headers)
        landed = await flight.result()
        account = self._account_landed(asked, sight, outcome, flight, landed)
        if landed.row is not None:
            return self._replay(asked, landed.completion.response, account, owner=landed.row.tenant_id)
        return Answer(flight.tenant, account, landed.completion.response)

    async def _call(self, asked: Asked, flight: Flight) -> Completion:
        body = {**asked.request.upstream_body, "model": asked.model.record.requested}
        upstream, salt = asked.model.upstream, asked.tenant.salt
        if not asked.request.is_streamed:
            return await upstream.complete(body, tenant_salt=salt)
        completion: Completion | None = None
        async for item in upstream.stream(body, tenant_salt=salt):
            if isinstance(item, Chunk):
                flight.publish(item.event)
            else:
                completion = item
        if completion is None:
            raise Error("the upstream's stream ended without a whole answer")
        return completion

    async def _land(self, asked: Asked, sight: Sight | None, outcome: Outcome, completion: Completion) -> Landed:
        """After a whole answer: note the model version and store."""
        try:
            version, reported = await self._parts.models.note_completion(asked.model, completion)
        except StoreError as error:
            # The answer is whole and somebody waits for it; what cannot be written down is not reused, that is all.
            log.warning("version_not_noted", error=type(error).__name__)
            reason = f"{outcome.reason}; not stored: store_unavailable"
            return Landed(completion, Miss(reason), asked.model.model_version)
        prompt_tokens, output_tokens, _ = self._parts.accounting.price(asked.model.record, completion.response)
        await self._parts.budget.spend(asked.tenant.id, asked.tenant.quota, prompt_tokens + output_tokens)
        stored: EntryId | None = None
        reason = outcome.reason
        if sight is not None:
            stored, why_not = await self._store(asked, sight, completion, version, reported)
            if why_not is not None:
                reason = f"{reason}; not stored: {why_not}"
        return Landed(completion, Miss(reason, stored), version)

    async def _store(
        self, asked: Asked, sight: Sight, completion: Completion, version: str, reported: str
    ) -> tuple[EntryId | None, str | None]:
        steering, policy = asked.request.steering, asked.tenant.policy
        if steering.no_store:
            return None, "no_store"
        why_not = reason_not_to_store(completion.response)
        if why_not is not None:
            return None, why_not
        prompt_tokens, output_tokens, cost_micro = self._parts.accounting.price(asked.model.record, completion.response)
        fresh = Fresh(
            identity=sight.identity if version == asked.model.model_version else self.identify(asked, version),
            messages=list(asked.request.messages),
            parameters=asked.request.material_parameters,
            response=completion.response,
            provenance=provenance_to_json(completion.provenance),
            question=None if sight.near is None else sight.near.question,
            source="runner" if completion.provenance is not None else "upstream",
            model=asked.model.record.alias,
            model_version=version,
            reported=reported,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            cost_micro=cost_micro,
            ttl_s=min(steering.ttl_s or policy.ttl_s, policy.ttl_s_max),
            tags=steering.tags,
        )
        try:
            return await self._parts.storer.store(asked.tenant, fresh), None
        except (StoreError, TenantError, VectorIndexError) as error:
            self._parts.telemetry.degraded.labels("store").inc()
            log.warning("not_stored", error=type(error).__name__)
            return None, "store_unavailable"

    async def _follow(
        self, asked: Asked, sight: Sight | None, outcome: Outcome, flight: Flight
    ) -> AsyncIterator[JsonObject | LastChunk]:
        """Pass chunks on as they come; if the flight is not a streamed one, replay its answer once it is whole."""
        passed = False
        async for item in flight.follow():
            if not isinstance(item, Landed):
                passed = True
                if item.get("choices") or asked.request.wants_usage:
                    yield item
                continue
            account = self._account_landed(asked, sight, outcome, flight, item)
            if not passed:
                response = item.completion.response
                fresh_id = f"chatcmpl-{account.lookup.partition('_')[2]}"
                for chunk in replay_chunks(
                    response,
                    identifier=str(response.get("id")) if item.row is None else fresh_id,
                    created_s=_created_s(response) if item.row is None else self._parts.clock.now_ms() // 1000,
                    with_usage=asked.request.wants_usage,
                ):
                    yield chunk
            yield LastChunk(account)

    def _account_landed(
        self, asked: Asked, sight: Sight | None, outcome: Outcome, flight: Flight, landed: Landed
    ) -> Account:
        final: Outcome = outcome if isinstance(outcome, Bypass) else landed.outcome
        if sight is not None and landed.row is not None:
            sight = replace(sight, row=landed.row)
        account = replace(self._account(asked, final, sight), model_version=landed.model_version)
        self._record(asked, account, sight)
        if sight is not None and sight.near is not None and flight.take_label():
            self._parts.labeller.offer(asked.tenant, account.lookup, sight.near, landed.completion.response)
        return account

    def _account(self, asked: Asked, outcome: Outcome, sight: Sight | None) -> Account:
        is_hit = isinstance(outcome, Hit)
        row = sight.row if sight is not None and is_hit else None
        near = None if sight is None else sight.near
        decision = None if near is None else near.decision
        return Account(
            outcome=outcome,
            lookup=new_lookup_id(self._parts.random, hit=is_hit),
            model_version=asked.model.model_version if row is None else row.model_version,
            policy_version=asked.tenant.policy_version,
            explanation=None if decision is None else decision.explanation,
            guard=None if sight is None else sight.guard,
            would_hit=isinstance(decision, WouldAccept),
            saved_tokens=0 if row is None else row.prompt_tokens + row.output_tokens,
            saved_micro=0 if row is None else row.cost_micro,
        )

    def _record(self, asked: Asked, account: Account, sight: Sight | None) -> None:
        self._parts.accounting.record(
            tenant=asked.tenant,
            key=asked.key,
            model=asked.model.record.alias,
            account=account,
            row=None if sight is None else sight.row,
            near=None if sight is None else sight.near,
            keep_lookup=not asked.request.steering.no_store,
            latency_s=self._parts.clock.monotonic_s() - asked.started_s,
        )


def _reason(decision: Decision) -> str:
    if not isinstance(decision, Reject):
        return "not_opened"
    return decision.reason if decision.guard is None else f"guard_{decision.guard}"


def _created_s(response: JsonObject) -> int:
    created = response.get("created")
    return created if isinstance(created, int) else 0


def _early_name(outcome: Outcome) -> str:
    return "bypass" if isinstance(outcome, Bypass) else "miss"


async def _then(chunks: object, last: LastChunk) -> AsyncIterator[JsonObject | LastChunk]:
    for chunk in chunks:  # type: ignore[attr-defined]
        yield chunk
    yield last
