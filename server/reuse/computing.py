"""A miss: one flight per tenant and question, upstream, whole?, seal and store, and the answer to all who waited."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from crypto.errors import EncodingError, Error, VerificationError
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
from server.reuse.proof_writing import SignerRevoked
from server.reuse.receipt_making import MadeReceipt, Receiptable, ReceiptMaker
from server.reuse.release_clock import ReleaseClock
from server.reuse.replay import replay_chunks
from server.reuse.reporting import Reporter
from server.reuse.request import ShareWish
from server.reuse.sight import Asked, Sight
from server.reuse.storing import Fresh, Stored, Storer, WriteAlso
from server.reuse.tenant_directory import TenantContext
from server.store.errors import StoreError
from server.telemetry import Telemetry
from tenants.errors import TenantError
from tenants.identifiers import EntryId

log = structlog.get_logger()


class Labels(Protocol):
    """Labels entries whose tenants publish them by consent."""

    def label_of(self, asked: Asked) -> WriteAlso | None:
        """Return what labels the entry that is about to be stored for a request; None where it is not shared."""
        ...

    async def label(self, tenant: TenantContext, entry: EntryId, wish: ShareWish) -> None:
        """Label an entry that is there; raises `StoreError`."""
        ...


@dataclass(frozen=True, slots=True)
class ComputerParts:
    """What a computer is wired from."""

    exact: ExactTier
    models: ModelRegistry
    storer: Storer
    receipts: ReceiptMaker
    labels: Labels
    flights: Flights
    labeller: Labeller
    accounting: Accounting
    reporter: Reporter
    budget: TokenBudget
    release_clock: ReleaseClock
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
        # Who says something of sharing asks alone: nobody's answer may be labelled by another's word, or against one's own.
        shared = not steering.no_cache and not steering.no_store and steering.max_age_s != 0 and steering.share is None
        key = sight.identity.exact_key if sight is not None and shared else None

        async def fly(flight: Flight) -> Landed:
            if sight is not None and key is not None and self._parts.reporter.may_give_hits:
                # A flight for the same question may have landed between our look and our start: its answer is there.
                found = await self._parts.exact.ask(asked, sight.identity)
                if isinstance(found, Sight) and isinstance(found.outcome, Hit) and found.response is not None:
                    whole, version = Completion(found.response, None), asked.model.model_version
                    return Landed(whole, found.outcome, version, found.row, found.receipt)
            return await self._land(asked, sight, outcome, await self._call(asked, sight, flight))

        flight = self._parts.flights.join(asked.tenant.id, key, fly)
        if asked.request.is_streamed:
            headers = {"x-hitproof-cache": _early_name(outcome), "x-hitproof-outcome": _early_name(outcome)}
            return StreamedAnswer(flight.tenant, self._follow(asked, sight, outcome, flight), headers)
        landed = await flight.result()
        if self._may_not_be_given(landed):
            flight = self._fly_alone(asked, sight)
            landed = await flight.result()
        account = self._account_landed(asked, sight, outcome, flight, landed)
        if landed.row is not None:
            return self._parts.reporter.replay(asked, landed.completion.response, account, owner=landed.row.tenant_id)
        return Answer(flight.tenant, account, landed.completion.response)

    def _may_not_be_given(self, landed: Landed) -> bool:
        """Tell whether a found answer came to one more who waited than there is room to note hits for."""
        return landed.row is not None and not self._parts.reporter.may_give_hits

    def _fly_alone(self, asked: Asked, sight: Sight | None) -> Flight:
        """Start a flight that is nobody else's and looks nowhere."""

        async def fly(flight: Flight) -> Landed:
            return await self._land(asked, sight, Miss("log_behind"), await self._call(asked, sight, flight))

        return self._parts.flights.join(asked.tenant.id, None, fly)

    async def _call(self, asked: Asked, sight: Sight | None, flight: Flight) -> Completion:
        body = {**asked.request.upstream_body, "model": asked.model.record.requested}
        if asked.model.kind == "runner" and sight is not None:
            body["hitproof_statement"] = self._parts.receipts.ask(asked.tenant)
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
        if sight is None:
            return Landed(completion, Miss(outcome.reason), version)
        stored = await self._store(asked, sight, completion, version, reported)
        if isinstance(stored, str):
            return Landed(completion, Miss(f"{outcome.reason}; not stored: {stored}"), version)
        return Landed(completion, Miss(outcome.reason, stored.entry), version, receipt=stored.receipt)

    async def _store(
        self, asked: Asked, sight: Sight, completion: Completion, version: str, reported: str
    ) -> Stored | str:
        """Store a whole answer with its receipt; return what it became, or why it did not."""
        steering, policy = asked.request.steering, asked.tenant.policy
        why_not = "no_store" if steering.no_store else reason_not_to_store(completion.response)
        if why_not is not None:
            return why_not
        try:
            receipt = self._make_receipt(asked, completion, version)
        except (VerificationError, EncodingError) as error:
            reason = getattr(error, "reason", "") or "not_statable"
            self._parts.telemetry.receipts_refused.labels(reason).inc()
            # Not the error's own text: it can quote the answer.
            log.warning("receipt_refused", upstream=asked.model.record.upstream, reason=reason)
            return "receipt_invalid"
        prompt_tokens, output_tokens, cost_micro = self._parts.accounting.price(asked.model.record, completion.response)
        current = version == asked.model.model_version
        fresh = Fresh(
            identity=sight.identity if current else asked.identify(version, self._parts.embedder_digest),
            messages=list(asked.request.messages),
            parameters=asked.request.material_parameters,
            response=completion.response,
            receipt=receipt,
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
            also=None if policy.sharing != "noised" else self._parts.labels.label_of(asked),
        )
        try:
            return await self._parts.storer.store(asked.tenant, fresh)
        except OverQuota:
            return "over_quota"
        except SignerRevoked:
            return "signer_revoked"
        except (StoreError, TenantError, VectorIndexError) as error:
            self._parts.telemetry.degraded.labels("store").inc()
            log.warning("not_stored", error=type(error).__name__)
            return "store_unavailable"

    def _make_receipt(self, asked: Asked, completion: Completion, version: str) -> MadeReceipt:
        """Verify the runner's receipt, or declare one where nobody signs; raises `VerificationError`, `EncodingError`."""
        request, model, provenance = asked.request, asked.model, completion.provenance
        about = Receiptable(
            request.messages, request.material_parameters, completion.response, model.record.requested, version
        )
        if provenance is None or (model.runner is None and provenance.statement is None):
            return self._parts.receipts.declare(asked.tenant, about)
        if model.runner is None:
            raise VerificationError("the runner signs under a key that it has not announced", reason="signer_unknown")
        return self._parts.receipts.accept(asked.tenant, about, provenance, model.runner)

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
            if self._may_not_be_given(item):
                async for rest in self._follow(asked, sight, outcome, self._fly_alone(asked, sight)):
                    yield rest
                return
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
            sight = replace(sight, outcome=landed.outcome, row=landed.row, receipt=landed.receipt)
        stored = landed.receipt if isinstance(final, Miss) else None
        account = self._parts.reporter.account(asked, final, sight, stored)
        account = replace(account, model_version=landed.model_version)
        self._parts.reporter.record(asked, account, sight)
        if isinstance(final, Miss) and asked.tenant.policy.pool_clock == "sampled_miss":
            self._note_miss(asked, landed)
        if sight is not None and sight.near is not None and flight.take_label():
            self._parts.labeller.offer(asked.tenant, account.lookup, sight.near, landed.completion.response)
        return account

    def _note_miss(self, asked: Asked, landed: Landed) -> None:
        """Remember how long the tenant's miss took: a hit of the pool may have to take as long."""
        _, output_tokens, _ = self._parts.accounting.price(asked.model.record, landed.completion.response)
        latency_s = self._parts.clock.monotonic_s() - asked.started_s
        self._parts.release_clock.note_miss(asked.tenant.id, asked.model.record.alias, output_tokens, latency_s)


def _created_s(response: JsonObject) -> int:
    created = response.get("created")
    return created if isinstance(created, int) else 0


def _early_name(outcome: Outcome) -> str:
    return "bypass" if isinstance(outcome, Bypass) else "miss"
