"""Entries that a tenant labelled, looked at once more before anything is paid for: may this one be published, and as what?

Only an attested answer to a poolable question leaves. What leaves is the answer, public questions for it, and a vector
that is noised first; the question that was asked is used here, to see whether it is poolable, and goes no further.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from crypto.errors import Error
from crypto.similarity import is_matchable
from privacy.answers import refuse_answer
from privacy.text import normalise
from server.pool.aliases import AliasTrial, AliasWriter, admit_aliases
from server.pool.eligibility import Eligibility, Profile, poolable
from server.pool.sharing import open_aliases
from server.ports import Clock, Float32Matrix, Int8Matrix, JsonObject
from server.reuse.completeness import reason_not_to_store
from server.reuse.models import ModelRegistry, ResolvedModel, UnknownModel
from server.reuse.opening import EntryOpener
from server.reuse.payload import Alias, EntryPayload, unseal_vector
from server.reuse.quantise import norms_squared, quantise
from server.reuse.receipts import ReceiptChecker
from server.reuse.request import ChatRequest, Steering, text_of
from server.reuse.tenant_directory import TenantContext, TenantDirectory
from server.reuse.verification import Doubt, doubt_row
from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.log_records import StoredReceipt
from server.store.pool_records import Share, WaitingShare
from server.store.receipts import ReceiptRepository
from server.store.records import StoredEntry
from server.upstream.errors import UpstreamError
from tenants.errors import TenantError
from tenants.sealing import sealed_epoch

NOT_SHARING: Final = "the_policy_does_not_share"
SOURCE_GONE: Final = "source_gone"
NOT_ATTESTED: Final = "not_attested"
NOT_POOLABLE: Final = "not_poolable"
NOT_BY_MEANING: Final = "not_matched_by_meaning"
OTHER_RUNNER: Final = "its_runner_is_not_here"
NO_ALIASES: Final = "no_aliases"
ANSWERED_OTHERWISE: Final = "aliases_answered_otherwise"
EXPIRES_SOON: Final = "expires_within_a_day"
NOT_PLAIN: Final = "answer_not_plain_text"
QUOTES_QUESTION: Final = "answer_quotes_question"
DAY_MS: Final = 86_400_000
#: What a published choice and its message may hold besides nothing at all.
CHOICE_FIELDS: Final = frozenset({"index", "message", "finish_reason"})
MESSAGE_FIELDS: Final = frozenset({"role", "content"})


class Unpublishable(Error):
    """An entry that is not published; the message is the reason."""


class NotNow(Error):
    """An entry that cannot be looked at now and waits on."""


@dataclass(frozen=True, slots=True)
class Source:
    """A tenant's entry as it is restated and published: everything but the aliases."""

    tenant: TenantContext
    row: StoredEntry
    payload: EntryPayload
    profile: Profile
    model: ResolvedModel
    vector: Int8Matrix

    @property
    def answer(self) -> str:
        """The text of the answer."""
        return str(self.payload.response["choices"][0]["message"]["content"])


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry that may be published: its label, itself, the public questions it will be found by, and at which ε."""

    waiting: WaitingShare
    source: Source
    aliases: tuple[Alias, ...]
    epsilon_milli: int


@dataclass(frozen=True, slots=True)
class ConsentParts:
    """What labelled entries are looked at with; *embed* maps texts to unit rows, *embedder* is its digest."""

    database: Database
    tenants: TenantDirectory
    models: ModelRegistry
    opener: EntryOpener
    receipts: ReceiptChecker
    writer: AliasWriter
    trial: AliasTrial
    embed: Callable[[Sequence[str]], Float32Matrix]
    embedder: str
    eligibility: Callable[[], Eligibility]
    clock: Clock


class Consented:
    """Looks at labelled entries of any tenant."""

    def __init__(self, parts: ConsentParts) -> None:
        self._parts = parts

    async def look(self, waiting: WaitingShare, *, salt: str) -> Candidate:
        """Return what *waiting* would be published as; raises `Unpublishable`, or `NotNow` for what may change by itself.

        *salt* keeps providers' prefix caches of the pool apart from those of tenants.
        """
        source = await self.load(waiting)
        if whole_day(source.row.expires_at_ms) <= self._parts.clock.now_ms():
            raise Unpublishable(EXPIRES_SOON)
        reason = refuse_source(source)
        if reason is not None:
            raise Unpublishable(reason)
        aliases = await self._aliases(source, waiting.share, salt)
        if not aliases:
            raise Unpublishable(NO_ALIASES)
        # A policy that became stricter since the entry was labelled counts as it is now.
        epsilon_milli = min(waiting.share.epsilon_milli, source.tenant.policy.noised_epsilon_milli)
        return Candidate(waiting, source, aliases, epsilon_milli)

    async def load(self, waiting: WaitingShare) -> Source:
        """Return the entry behind a label, checked as for a hit; raises as `look` does."""
        parts = self._parts
        try:
            tenant = await parts.tenants.get(waiting.tenant_id)
        except TenantError:
            raise NotNow("the tenant's keys cannot be opened now") from None
        if tenant.record.status != "active":
            raise NotNow("the tenant is suspended")
        if tenant.policy.sharing != "noised":
            raise Unpublishable(NOT_SHARING)
        row = await parts.database.read(lambda c: EntryRepository(c, tenant.id).get(waiting.share.entry_id))
        if row is None or doubt_row(
            row, tenant=tenant.id, fingerprint=row.fingerprint, now_ms=parts.clock.now_ms(), max_age_s=None
        ):
            raise Unpublishable(SOURCE_GONE)
        payload = await parts.opener.open(tenant, row)
        if payload is None:
            raise Unpublishable(SOURCE_GONE)
        receipt = await parts.receipts.check(tenant, row, payload)
        if isinstance(receipt, Doubt) or receipt.grade != "attested" or payload.provenance is None:
            raise Unpublishable(NOT_ATTESTED)
        return await self._source(tenant, row, payload)

    async def load_receipt(self, source: Source) -> StoredReceipt:
        """Return the receipt behind the entry; raises `Unpublishable` where it is gone."""
        receipt_id = source.row.receipt_id
        if receipt_id is None:
            raise Unpublishable(NOT_ATTESTED)
        found = await self._parts.database.read(lambda c: ReceiptRepository(c, source.tenant.id).get(receipt_id))
        if found is None or found.body is None:
            raise Unpublishable(NOT_ATTESTED)
        return found

    async def _source(self, tenant: TenantContext, row: StoredEntry, payload: EntryPayload) -> Source:
        body: JsonObject = {"model": row.model, "messages": payload.messages, **payload.parameters}
        profile = poolable(ChatRequest(body, Steering()), tenant.policy, self._parts.eligibility())
        if profile is None:
            raise Unpublishable(NOT_POOLABLE)
        try:
            model = self._parts.models.resolve(row.model)
        except (UnknownModel, UpstreamError):
            raise NotNow("the model cannot be reached now") from None
        if model.runner is None or row.model_version not in model.runner.models:
            raise NotNow(OTHER_RUNNER)
        return Source(tenant, row, payload, profile, model, await self._vector(tenant, row))

    async def _vector(self, tenant: TenantContext, row: StoredEntry) -> Int8Matrix:
        found = await self._parts.database.read(
            lambda c: EntryRepository(c, tenant.id).load_vectors_of([row.id], self._parts.embedder)
        )
        if not found:
            raise Unpublishable(NOT_BY_MEANING)
        key = tenant.open_with(sealed_epoch(found[0][1]))
        vector = unseal_vector(found[0][1], key=key, tenant=tenant.id, entry=row.id)
        if not is_matchable(int(norms_squared(vector[None])[0])):
            # Beyond the bound that its noise is made for: refused before anything is paid for it.
            raise Unpublishable(NOT_BY_MEANING)
        return vector

    async def _aliases(self, source: Source, share: Share, salt: str) -> tuple[Alias, ...]:
        texts = admit_aliases(open_aliases(source.tenant, share.entry_id, share.aliases))
        try:
            texts = texts or await self._parts.writer.derive(source.answer, salt=salt)
            standing = await self._parts.trial.keep(
                texts, source.answer, profile=source.profile, model=source.model, salt=salt
            )
        except UnknownModel:
            return ()
        except UpstreamError:
            raise NotNow("a model that aliases are asked of does not answer now") from None
        if texts and not standing:
            raise Unpublishable(ANSWERED_OTHERWISE)
        if not standing:
            return ()
        rows = quantise(await asyncio.to_thread(self._parts.embed, standing))
        squared = norms_squared(rows)
        return tuple(
            Alias.of(text, row)
            for text, row, size in zip(standing, rows, squared, strict=True)
            if is_matchable(int(size))
        )


def refuse_source(source: Source) -> str | None:
    """Return why the answer of *source* must not become everybody's; None where it may."""
    response = source.payload.response
    reason = reason_not_to_store(response)
    if reason is not None:
        return f"answer_{reason}"
    choices: list[JsonObject] = response["choices"]
    if len(choices) != 1 or not (
        _holds(choices[0]) <= CHOICE_FIELDS and _holds(choices[0]["message"]) <= MESSAGE_FIELDS
    ):
        # Reasoning, log probabilities and whatever comes next can repeat the question where no gate looks.
        return NOT_PLAIN
    reason = refuse_answer(source.answer)
    if reason is not None:
        return reason
    question = normalise(text_of(source.payload.messages[-1]) or "")
    return QUOTES_QUESTION if question and question in normalise(source.answer) else None


def whole_day(at_ms: int) -> int:
    """Return the beginning of the day of *at_ms*: when exactly a tenant's entry ends would tell when it was asked for."""
    return at_ms // DAY_MS * DAY_MS


def _holds(fields: JsonObject) -> set[str]:
    """Return the names of the fields that hold something."""
    return {name for name, value in fields.items() if value is not None}


def read_envelope(receipt: StoredReceipt) -> JsonObject:
    """Return the envelope of a stored receipt as JSON."""
    found: JsonObject = orjson.loads(receipt.body or b"{}")
    return found
