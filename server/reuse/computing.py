"""A miss: one flight per tenant and question, upstream, whole?, seal and store, and the answer to all who waited."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import structlog

from crypto.errors import Error
from server.index.errors import VectorIndexError
from server.ports import Chunk, Clock, Completion, JsonObject
from server.reuse.accounting import Accounting
from server.reuse.answers import Account, Answer, LastChunk, StreamedAnswer
from server.reuse.budget import TokenBudget
from server.reuse.completeness import reason_not_to_store
from server.reuse.eviction import OverQuota
from server.reuse.exact import ExactTier
from server.reuse.flights import Flight, Flights, Landed
from server.reuse.labelling import Labeller
from server.reuse.models import ModelRegistry
from server.reuse.outcomes import Bypass, Hit, Miss, Outcome
from server.reuse.payload import provenance_to_json
from server.reuse.replay import replay_chunks
from server.reuse.reporting import Reporter
from server.reuse.sight import Asked, Sight
from server.reuse.storing import Fresh, Storer
from server.store.errors import StoreError
from server.telemetry import Telemetry
from tenants.errors import TenantError
from tenants.identifiers import EntryId

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ComputerParts:
    """What a computer is wired from."""

    exact: ExactTier
    models: ModelRegistry
    storer: Storer
    flights: Flights
    labeller: Labeller
    accounting: Accounting
    reporter: Reporter
    budget: TokenBudget
    telemetry: Telemetry
    clock: Clock
    embedder_digest: str


class Computer:
    """Has answers computed that the cache could not give."""

    def __init__(self, parts: ComputerParts) -> None:
        self._parts = parts

    async def compute(self, asked: Asked, sight: Sight | None, outcome: Outcome) -> Answer | StreamedAnswer:
        """Have the answer computed, alone or together with whoever asks the same right now."""
        await self._parts.budget.check(asked.tenant.id, asked.tenant.quota)
        steering = asked.request.steering
        shared = not steering.no_cache and not steering.no_store and steering.max_age_s != 0
        key = sight.identity.exact_key if sight is not None and shared else None

        async def fly(flight: Flight) -> Landed:
            if sight is not None and key is not None:
                # A flight for the same question may have landed between our look and our start: its answer is there.
                found = await self._parts.exact.ask(asked, sight.identity)
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
            return self._parts.reporter.replay(asked, landed.completion.response, account, owner=landed.row.tenant_id)
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
        current = version == asked.model.model_version
        identity = sight.identity if current else asked.identify(version, self._parts.embedder_digest)
        fresh = Fresh(
            identity=identity,
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
        except OverQuota:
            return None, "over_quota"
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
        account = replace(self._parts.reporter.account(asked, final, sight), model_version=landed.model_version)
        self._parts.reporter.record(asked, account, sight)
        if sight is not None and sight.near is not None and flight.take_label():
            self._parts.labeller.offer(asked.tenant, account.lookup, sight.near, landed.completion.response)
        return account


def _created_s(response: JsonObject) -> int:
    created = response.get("created")
    return created if isinstance(created, int) else 0


def _early_name(outcome: Outcome) -> str:
    return "bypass" if isinstance(outcome, Bypass) else "miss"
