"""Answers of the pool: made anew from the released text alone, by a runner that attests them, and made twice.

    selected → asked, once per model → held in quarantine → asked again → the same? → an entry of the pool

Nothing of those who voted is in the request: the profile's public system text and parameters, and the released text. The
receipt that is stored is the second answer's, because a receipt is stored within minutes of its signing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from privacy.text import normalise
from server.pool.admission import Admission
from server.pool.asking import Answered, Asker, Refused, Subject
from server.pool.eligibility import Profile
from server.pool.items import Released, open_item, seal_json, unseal_json
from server.pool.principal import Pool
from server.pool.storing import PoolStorer, Publication
from server.ports import Clock, Float32Matrix, Int8Matrix, JsonObject, RandomSource
from server.reuse.fingerprint import identify
from server.reuse.payload import Alias, provenance_to_json
from server.reuse.quantise import quantise
from server.reuse.tenant_directory import TenantContext
from server.store.database import Database
from server.store.errors import Conflict, StoreError
from server.store.pool_items import PoolItemRepository
from server.store.pool_records import PoolAnswer, StoredItem
from server.store.records import ModelRecord
from server.upstream.errors import UpstreamError
from tenants.errors import TenantError
from tenants.identifiers import EntryId

log = structlog.get_logger()

DIFFERS: Final = "another_answer_the_second_time"
NO_PROFILE: Final = "profile_unknown"
OTHER_EMBEDDER: Final = "embedder_changed"
#: Answers in quarantine that are looked through in one go.
HELD_MAX: Final = 1_000
NO_ANSWER: Final = "no_model_gave_an_answer"


@dataclass(frozen=True, slots=True)
class AnswererParts:
    """What answers are made with; *embed* maps texts to unit rows, *price* is (prompt, output tokens, micro-currency)."""

    database: Database
    pool: Pool
    asker: Asker
    storer: PoolStorer
    admission: Admission
    embed: Callable[[Sequence[str]], Float32Matrix]
    embedder: str
    price: Callable[[ModelRecord, JsonObject], tuple[int, int, int]]
    clock: Clock
    random: RandomSource


class PoolAnswerer:
    """Has what was released answered under every alias of *models*, and stores what stands a second time."""

    def __init__(self, parts: AnswererParts, *, models: Sequence[str], quarantine_s: int) -> None:
        self._parts = parts
        self._models = tuple(models)
        self._quarantine_ms = quarantine_s * 1000
        self._after = -1
        self._profiles: Mapping[str, Profile] = {}

    def set_profiles(self, profiles: Mapping[str, Profile]) -> None:
        """Go by these profiles from now on."""
        self._profiles = profiles

    async def answer_selected(self, limit: int) -> int:
        """Ask for the first answers to at most *limit* released items; return how many items were looked at.

        What cannot be asked now stays for later, behind all others.
        """
        items = await self._parts.database.read(
            lambda c: PoolItemRepository(c).list_in("selected", mode="pooled", after=self._after, limit=limit)
        )
        pool = await self._parts.pool.context()
        for item in items:
            try:
                await self._answer_item(pool, item)
            except (StoreError, TenantError) as error:
                # One that was withdrawn meanwhile, or does not open, keeps no other waiting.
                log.warning("pool_item_passed_over", item=item.id, error=type(error).__name__)
        self._after = items[-1].id if len(items) == limit else -1
        return len(items)

    async def redo_held(self, limit: int) -> int:
        """Ask again for at most *limit* answers whose quarantine is over, and store those that stand; return how many."""
        held = await self._parts.database.read(lambda c: PoolItemRepository(c).list_answers_in("held", limit=HELD_MAX))
        pool, stored = await self._parts.pool.context(), 0
        for answer in held:
            if stored >= limit:
                break
            try:
                before: Any = unseal_json(pool, answer.item_id, _field(answer.model), answer.held or b"")
                if self._parts.clock.now_ms() >= before["at_ms"] + self._quarantine_ms:
                    stored += await self._redo(pool, answer, before)
            except (StoreError, TenantError) as error:
                log.warning("pool_answer_passed_over", item=answer.item_id, error=type(error).__name__)
        return stored

    async def _answer_item(self, pool: TenantContext, item: StoredItem) -> None:
        answers = await self._parts.database.read(lambda c: PoolItemRepository(c).list_answers(item.id))
        found = {answer.model: answer for answer in answers}
        try:
            released, profile = await self._admit(pool, item)
        except Refused as error:
            await self._set_item(item, "refused", str(error))
            return
        for alias in self._models:
            if alias not in found:
                answer = await self._first_answer(pool, item, released, profile, alias)
                if answer is None:
                    return
                found[alias] = answer
        if any(answer.state != "refused" for answer in found.values()):
            await self._set_item(item, "answered", None)
        else:
            await self._set_item(item, "refused", NO_ANSWER)

    async def _admit(self, pool: TenantContext, item: StoredItem) -> tuple[Released, Profile]:
        released, profile = open_item(pool, item), self._profiles.get(item.profile)
        if profile is None:
            raise Refused(NO_PROFILE)
        if released.embedder != self._parts.embedder:
            raise Refused(OTHER_EMBEDDER)
        reason = await asyncio.to_thread(self._judge_text, released.texts[0])
        if reason is not None:
            raise Refused(reason)
        return released, profile

    def _judge_text(self, text: str) -> str | None:
        return self._parts.admission.refuse(text, self._vector(normalise(text)))

    async def _first_answer(
        self, pool: TenantContext, item: StoredItem, released: Released, profile: Profile, alias: str
    ) -> PoolAnswer | None:
        """Ask one model for the first time and write down what became of it; None where it cannot be asked now."""
        subject = await self._parts.asker.find_subject(pool, item, released, profile, alias)
        if subject is None:
            return None
        try:
            answered = await self._parts.asker.ask(subject)
        except UpstreamError as error:
            log.warning("pool_answer_waits", model=alias, error=type(error).__name__)
            return None
        except Refused as error:
            answer = PoolAnswer(item.id, alias, "refused", None, None, str(error))
        else:
            answer = PoolAnswer(item.id, alias, "held", self._hold(pool, item.id, alias, answered), None, None)
        await self._parts.database.write(lambda c: PoolItemRepository(c).put_answer(answer))
        return answer

    async def _redo(self, pool: TenantContext, answer: PoolAnswer, before: Any) -> bool:
        """Ask a second time; store what stands, refuse what does not, and leave what cannot be asked now."""
        item = await self._parts.database.read(lambda c: PoolItemRepository(c).get(answer.item_id))
        profile = self._profiles.get(item.profile)
        if profile is None or item.state == "withdrawn":
            return False
        subject = await self._parts.asker.find_subject(pool, item, open_item(pool, item), profile, answer.model)
        if subject is None:
            return False
        try:
            answered = await self._parts.asker.ask(subject)
            if answered.version != before["version"]:
                # Another model answers now: what it says waits as long as what the first one said.
                held = PoolAnswer(
                    item.id, answer.model, "held", self._hold(pool, item.id, answer.model, answered), None, None
                )
                await self._parts.database.write(lambda c: PoolItemRepository(c).put_answer(held))
                return False
            if not await asyncio.to_thread(self._parts.asker.is_same, subject, before["text"], answered):
                raise Refused(DIFFERS)
            await self._store(subject, answered)
        except Refused as error:
            refused = PoolAnswer(item.id, answer.model, "refused", None, None, str(error))
            await self._parts.database.write(lambda c: _refuse(c, refused))
            return False
        except (UpstreamError, Conflict) as error:
            log.warning("pool_answer_waits", model=answer.model, error=type(error).__name__)
            return False
        return True

    async def _store(self, subject: Subject, answered: Answered) -> None:
        parts, model = self._parts, subject.model
        request = subject.profile.request(model.record.alias, subject.text)
        identity = identify(
            request,
            model_version=answered.version,
            embedder_digest=parts.embedder,
            lookup_key=subject.pool.lookup_key,
        )
        own = await asyncio.to_thread(self._vector, subject.text)
        prompt_tokens, output_tokens, cost_micro = parts.price(model.record, answered.completion.response)
        now_ms = parts.clock.now_ms()
        publication = Publication(
            mode="pooled",
            identity=identity,
            messages=subject.messages,
            parameters=dict(subject.profile.parameters),
            response=answered.completion.response,
            receipt=answered.receipt,
            provenance=provenance_to_json(answered.completion.provenance),
            aliases=(Alias.of(subject.text, own),),
            vector=subject.released.row,
            model=model.record.alias,
            model_version=answered.version,
            reported=answered.reported,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            cost_micro=cost_micro,
            created_at_ms=now_ms,
        )

        def also(connection: Connection, entry: EntryId) -> None:
            items = PoolItemRepository(connection)
            _require_held(items, subject.item.id, model.record.alias)
            items.put_answer(PoolAnswer(subject.item.id, model.record.alias, "live", None, entry, None))
            items.set_state(subject.item.id, "live", at_ms=now_ms)

        await parts.storer.store(subject.pool, publication, also)

    def _hold(self, pool: TenantContext, item: int, alias: str, answered: Answered) -> bytes:
        value = {"at_ms": self._parts.clock.now_ms(), "text": answered.text, "version": answered.version}
        return seal_json(pool.data_key, pool.id, item, _field(alias), value, random=self._parts.random)

    def _vector(self, text: str) -> Int8Matrix:
        row: Int8Matrix = quantise(self._parts.embed([text]))[0]
        return row

    async def _set_item(self, item: StoredItem, state: Any, reason: str | None) -> None:
        await self._parts.database.write(lambda c: PoolItemRepository(c).set_state(item.id, state, reason=reason))


def _require_held(items: PoolItemRepository, item: int, alias: str) -> None:
    """Raise `Conflict` where another process was faster, or the item was withdrawn meanwhile."""
    if not any(answer.model == alias and answer.state == "held" for answer in items.list_answers(item)):
        raise Conflict("the answer was stored or withdrawn meanwhile")


def _refuse(connection: Connection, refused: PoolAnswer) -> None:
    """Write down that an answer was refused, and the item with it where no other answer is left."""
    items = PoolItemRepository(connection)
    _require_held(items, refused.item_id, refused.model)
    items.put_answer(refused)
    if all(answer.state == "refused" for answer in items.list_answers(refused.item_id)):
        items.set_state(refused.item_id, "refused", reason=NO_ANSWER)


def _field(alias: str) -> str:
    return f"answer/{alias}"
