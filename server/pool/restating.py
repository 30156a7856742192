"""Store what was published: its runner says the tenant's statement again, for the pool, and the answer becomes an entry.

Whatever stops half way is begun again: an item stays `selected` until its entry is there, and the label that it came from
leads back to the tenant's entry. Nothing is paid for here and no noise is drawn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, runtime_checkable

import structlog
from sqlalchemy import Connection

from crypto.closed import write_record
from crypto.errors import EncodingError, Error, VerificationError
from crypto.release import EVIDENCE_TYPE
from crypto.statement import EvidenceReference
from server.pool.calendar import Calendar
from server.pool.consented import Consented, NotNow, Source, Unpublishable, read_envelope, whole_day
from server.pool.items import Released, open_item
from server.pool.principal import Pool
from server.pool.revoking import REVOKED, end_share
from server.pool.storing import PoolStorer, Publication
from server.ports import Clock, Float32Matrix, JsonObject, Provenance, RandomSource
from server.reuse.fingerprint import identify
from server.reuse.payload import Alias
from server.reuse.pseudonyms import pseudonym_at
from server.reuse.quantise import quantise
from server.reuse.receipt_making import MadeReceipt, Receiptable, ReceiptMaker
from server.reuse.tenant_directory import TenantContext
from server.store.database import Database
from server.store.errors import Conflict
from server.store.pool import PoolRepository
from server.store.pool_items import PoolItemRepository
from server.store.pool_records import PoolAnswer, StoredItem
from server.store.records import ModelRecord
from server.store.shares import ShareRepository, find_of_item
from server.upstream.runner_answers import RestatementAnswer
from tenants.identifiers import EntryId

log = structlog.get_logger()

#: What the pool keeps of the salts: those of the question are thrown away, so that nobody can ever try questions.
KEPT_SALTS: Final = frozenset({"output", "output_tokens"})
#: In place of what would tell one answer from another in a log of the tenant's.
ANONYMOUS_ID: Final = "chatcmpl-pool"
EXACT_KEY_BYTES: Final = 32
#: Reasons that pass by themselves: two clocks apart, or on two sides of the moment at which pseudonyms change.
OF_CLOCKS: Final = frozenset({"signer_expired", "tenant_mismatch"})


@runtime_checkable
class Restates(Protocol):
    """A runner that says its statements again."""

    async def restate(self, asked: JsonObject) -> RestatementAnswer:
        """Send the request of docs/formats.md; raises `UpstreamError`."""
        ...


@dataclass(frozen=True, slots=True)
class RestaterParts:
    """What published items become entries with; *embed* maps texts to unit rows."""

    database: Database
    pool: Pool
    consented: Consented
    receipts: ReceiptMaker
    storer: PoolStorer
    calendar: Calendar
    embed: Callable[[Sequence[str]], Float32Matrix]
    embedder: str
    price: Callable[[ModelRecord, JsonObject], tuple[int, int, int]]
    clock: Clock
    random: RandomSource


class Restater:
    """Makes entries of the pool out of published items."""

    def __init__(self, parts: RestaterParts) -> None:
        self._parts = parts
        self._after = -1

    async def store_published(self, limit: int) -> int:
        """Look at *limit* published items at most; return how many became entries. What cannot be stored now waits.

        It waits behind all others, so that nothing stands in the way of what can.
        """
        items = await self._parts.database.read(
            lambda c: PoolItemRepository(c).list_in("selected", mode="noised", after=self._after, limit=limit)
        )
        pool, stored = await self._parts.pool.context(), 0
        for item in items:
            try:
                await self._store(pool, item)
                stored += 1
            except Unpublishable as error:
                await self._end(item, str(error))
            except (Error, OSError) as error:
                log.warning("published_item_waits", item=item.id, error=type(error).__name__)
        self._after = items[-1].id if len(items) == limit else -1
        return stored

    async def _store(self, pool: TenantContext, item: StoredItem) -> None:
        waiting = await self._parts.database.read(lambda c: find_of_item(c, item.id))
        if waiting is None or waiting.share.state != "published":
            raise Unpublishable(REVOKED)
        source = await self._parts.consented.load(waiting)
        released = open_item(pool, item)
        receipt = await self._restate(pool, item, source)
        publication = await self._publication(pool, item, source, released, receipt)

        def also(connection: Connection, entry: EntryId) -> None:
            share = ShareRepository(connection, waiting.tenant_id).find(waiting.share.entry_id)
            items = PoolItemRepository(connection)
            if share is None or share.state != "published" or items.get(item.id).state != "selected":
                raise Conflict("the entry was revoked or stored meanwhile")
            items.put_answer(PoolAnswer(item.id, source.row.model, "live", None, entry, None))
            items.set_state(item.id, "live", at_ms=self._parts.clock.now_ms())

        await self._parts.storer.store(pool, publication, also)

    async def _restate(self, pool: TenantContext, item: StoredItem, source: Source) -> MadeReceipt:
        """Have the runner say its statement again, and believe it only when it says exactly what was asked."""
        parts, payload, runner = self._parts, source.payload, source.model.runner
        release = await parts.database.read(lambda c: PoolRepository(c).get(item.release))
        upstream, said = source.model.upstream, payload.provenance
        if release.digest is None or runner is None or said is None or not isinstance(upstream, Restates):
            raise NotNow("the runner cannot say a statement again now")
        evidence = (EvidenceReference(EVIDENCE_TYPE, release.digest),)
        answer = await upstream.restate(
            {
                "choices": payload.response["choices"],
                "envelope": read_envelope(await parts.consented.load_receipt(source)),
                "evidence": [write_record(reference) for reference in evidence],
                "messages": payload.messages,
                "openings": payload.openings,
                "output_token_ids": said["output_token_ids"],
                "policy": pool.policy_digest,
                "prompt_token_ids": said["prompt_token_ids"],
                "tenant": pseudonym_at(pool, parts.clock.now_ms()),
            }
        )
        provenance = Provenance(
            model_version=source.row.model_version,
            prompt_token_ids=tuple(said["prompt_token_ids"]),
            output_token_ids=tuple(said["output_token_ids"]),
            parameters=said["parameters"],
            statement=answer.envelope,
            openings=answer.openings,
        )
        about = Receiptable(
            payload.messages, payload.parameters, payload.response, source.row.model, source.row.model_version
        )
        try:
            made = parts.receipts.accept(pool, about, provenance, runner, evidence=evidence)
        except (VerificationError, EncodingError) as error:
            reason = getattr(error, "reason", "") or "not_statable"
            if reason in OF_CLOCKS:
                raise NotNow("the runner's clock is not ours") from None
            raise Unpublishable(f"receipt_{reason}") from None
        if made.statement.grade != "attested":
            raise Unpublishable("not_attested")
        kept = {kind: salt if kind in KEPT_SALTS else None for kind, salt in made.openings.items()}
        # An opening of the prompt would be a way to try questions; the entry must open its output alone.
        return replace(made, openings=kept)

    async def _publication(
        self, pool: TenantContext, item: StoredItem, source: Source, released: Released, receipt: MadeReceipt
    ) -> Publication:
        parts, row = self._parts, source.row
        vectors = quantise(await asyncio.to_thread(parts.embed, released.texts))
        identity = identify(
            source.profile.request(row.model, released.texts[0]),
            model_version=row.model_version,
            embedder_digest=parts.embedder,
            lookup_key=pool.lookup_key,
        )
        response = anonymous(source.payload.response)
        prompt_tokens, output_tokens, cost_micro = parts.price(source.model.record, response)
        return Publication(
            mode="noised",
            # A key of chance: two entries with one alias stand side by side, and nobody's can take another's place.
            identity=replace(identity, exact_key=parts.random.token_bytes(EXACT_KEY_BYTES)),
            messages=list(source.profile.context),
            parameters=dict(source.profile.parameters),
            response=response,
            receipt=receipt,
            provenance=None,
            aliases=tuple(Alias.of(text, vector) for text, vector in zip(released.texts, vectors, strict=True)),
            vector=released.row,
            model=row.model,
            model_version=row.model_version,
            reported=row.reported,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            cost_micro=cost_micro,
            created_at_ms=parts.calendar.opens_at_ms(parts.calendar.epoch_of(parts.clock.now_ms())),
            expires_at_ms=whole_day(row.expires_at_ms),
        )

    async def _end(self, item: StoredItem, reason: str) -> None:
        """Withdraw what can never be stored, and end the label with it: it was paid for once and is not drawn again."""
        await self._parts.database.write(lambda c: _end(c, item, reason, now_ms=self._parts.clock.now_ms()))


def _end(connection: Connection, item: StoredItem, reason: str, *, now_ms: int) -> None:
    waiting = find_of_item(connection, item.id)
    if waiting is not None and waiting.share.state == "published":
        end_share(connection, waiting.tenant_id, waiting.share, reason, now_ms=now_ms)
    else:
        PoolItemRepository(connection).withdraw([item.id], reason=reason, at_ms=now_ms)


def anonymous(response: JsonObject) -> JsonObject:
    """Return of *response* what may be everybody's: not its id, not its time, not how long the question was."""
    usage = response.get("usage")
    output_tokens = usage.get("completion_tokens", 0) if isinstance(usage, dict) else 0
    return {
        "id": ANONYMOUS_ID,
        "object": "chat.completion",
        "created": 0,
        "model": response.get("model"),
        # As the runner signed them: fields that hold nothing are part of what the receipt says.
        "choices": response["choices"],
        "usage": {"prompt_tokens": 0, "completion_tokens": output_tokens, "total_tokens": output_tokens},
    }
