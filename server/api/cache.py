"""`/v1/cache/*`: ask without computing, put, look at, remove, count, and say whether a hit was right."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from server.api.body import check, json_body_schema, read_json_object
from server.api.chat import check_conversation, read_chat_request
from server.api.schemas import ChatBody, FeedbackBody, InvalidateBody, PutEntryBody
from server.api.state import AppState, admit, state_of
from server.errors import RequestError
from server.identifiers import format_entry_id, parse_entry_id
from server.ports import JsonObject
from server.reuse.replay import client_response
from server.reuse.request import ChatRequest, Steering
from server.store.entries import EntryRepository, Selection
from server.store.errors import Conflict, NotFound
from server.store.lookups import LookupRepository
from server.store.maintenance import AuditEvent, append_audit
from server.store.records import EntrySummary, UsageRow
from server.store.suppressions import SuppressionRepository
from tenants.identifiers import EntryId, LookupId, TenantId
from tenants.scopes import Scope

router = APIRouter(tags=["cache"])

PAGE_MAX = 200
DAYS_MAX = 400
CONFIRM_ALL = "remove everything"


@router.post("/v1/cache/lookup", openapi_extra=json_body_schema(ChatBody))
async def look_up(request: Request) -> Response:
    """Say what a chat request would come to, and why; nothing is computed, stored or recorded."""
    state = state_of(request)
    who = await admit(request, Scope.CACHE_READ)
    chat = await read_chat_request(request, state.settings)
    async with state.limits.place(who.tenant, who.caller.key_id, who.quota):
        account, response = await state.engine.look_up(who.tenant, who.caller.key_id, chat)
    found = account.to_json()
    for name in ("hit", "lookup"):
        found[name] = None
    return _json({"object": "cache.lookup", **found, "response": response})


@router.post("/v1/cache/entries", openapi_extra=json_body_schema(PutEntryBody), status_code=201)
async def put_entry(request: Request) -> Response:
    """Store an answer of the caller's own for a conversation; it is `declared`, and never shared."""
    state = state_of(request)
    who = await admit(request, Scope.CACHE_ADMIN)
    value = await read_json_object(request, state.settings)
    body = check(PutEntryBody, value)
    check_conversation(value, state.settings)
    chat = ChatRequest(
        {"model": body.model, "messages": value["messages"]}, Steering(tags=tuple(body.tags), ttl_s=body.ttl)
    )
    response = client_response(body.model, body.answer, created_s=state.clock.now_ms() // 1000)
    stored = await state.engine.put(who.tenant, who.caller.key_id, chat, response)
    return _json({"object": "cache.entry", "id": format_entry_id(stored.entry)}, status=201)


@router.get("/v1/cache/entries")
async def list_entries(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
    after: Annotated[str | None, Query(max_length=40)] = None,
    tag: Annotated[str | None, Query(max_length=100)] = None,
    model: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """List entries, newest first, without opening them."""
    state = state_of(request)
    tenant = (await admit(request, Scope.CACHE_READ)).tenant
    behind = None if after is None else _entry_id(after)
    rows = await state.database.read(
        lambda connection: EntryRepository(connection, tenant).list_page(
            after=behind, limit=limit + 1, tag=tag, model=model
        )
    )
    shown = [_summary(row) for row in rows[:limit]]
    return _json(
        {
            "object": "list",
            "data": shown,
            "has_more": len(rows) > limit,
            "last_id": shown[-1]["id"] if shown else None,
        }
    )


@router.get("/v1/cache/entries/{entry_id}")
async def get_entry(request: Request, entry_id: str) -> Response:
    """Return one entry, opened: its question, its answer and where it came from."""
    state = state_of(request)
    who = await admit(request, Scope.CACHE_READ)
    tenant = who.tenant
    entry = _entry_id(entry_id)
    summary, stored = await state.database.read(
        lambda connection: (
            EntryRepository(connection, tenant).get_summary(entry),
            EntryRepository(connection, tenant).get(entry),
        )
    )
    if summary is None or stored is None:
        raise NotFound("there is no such entry")
    payload = await state.opener.open(who.context, stored)
    if payload is None:
        raise NotFound("there is no such entry")
    receipt = state.engine.show_receipt(stored)
    return _json(
        {
            **_summary(summary),
            "messages": payload.messages,
            "parameters": payload.parameters,
            "response": payload.response,
            "provenance": payload.provenance,
            "receipt": None if receipt is None else receipt.to_json(),
        }
    )


@router.delete("/v1/cache/entries/{entry_id}")
async def delete_entry(request: Request, entry_id: str) -> Response:
    """Remove one entry for good."""
    state = state_of(request)
    who = await admit(request, Scope.CACHE_ADMIN)
    tenant = who.tenant
    entry = _entry_id(entry_id)
    now_ms = state.clock.now_ms()
    event = AuditEvent(who.caller.key_id, tenant, "entry.delete", format_entry_id(entry), {})

    def delete(connection: Any) -> None:
        append_audit(connection, event, at_ms=now_ms)
        EntryRepository(connection, tenant).delete_one(entry, at_ms=now_ms)

    await state.database.write(delete)
    state.totals.forget(tenant)
    return _json({"object": "cache.entry", "id": format_entry_id(entry), "deleted": True})


@router.post("/v1/cache/invalidate", openapi_extra=json_body_schema(InvalidateBody))
async def invalidate(request: Request) -> Response:
    """Remove entries by entry, tag, model version, age, or all of them; a dry run unless asked otherwise."""
    state = state_of(request)
    who = await admit(request, Scope.CACHE_ADMIN)
    tenant = who.tenant
    body = check(InvalidateBody, await read_json_object(request, state.settings))
    now_ms = state.clock.now_ms()
    selection = _selection(body, now_ms)
    if body.dry_run:
        count = await state.database.read(lambda connection: EntryRepository(connection, tenant).count(selection))
        return _json({"object": "cache.invalidation", "dry_run": True, "entries": count})
    if selection.everything and body.confirm != CONFIRM_ALL:
        raise RequestError(
            f'to remove everything, repeat with "confirm": "{CONFIRM_ALL}"', param="confirm", code="confirmation_needed"
        )
    detail = {name: value for name, value in body.model_dump(exclude_none=True).items() if name != "confirm"}
    event = AuditEvent(who.caller.key_id, tenant, "cache.invalidate", tenant, detail)

    def remove(connection: Any) -> int:
        append_audit(connection, event, at_ms=now_ms)
        return EntryRepository(connection, tenant).delete(selection, at_ms=now_ms)

    count = await state.database.write(remove)
    state.totals.forget(tenant)
    return _json({"object": "cache.invalidation", "dry_run": False, "entries": count})


@router.get("/v1/cache/stats")
async def get_stats(request: Request, days: Annotated[int, Query(ge=1, le=DAYS_MAX)] = 30) -> Response:
    """Return what the cache held, answered and saved over the last *days* days."""
    state = state_of(request)
    tenant = (await admit(request, Scope.USAGE)).tenant
    await state.recorder.flush()
    since_day = _day(state.clock.now_ms() - (days - 1) * 86_400_000)

    def load(connection: Any) -> tuple[tuple[int, int], list[UsageRow], dict[tuple[str, str], int]]:
        lookups = LookupRepository(connection, tenant)
        return (
            EntryRepository(connection, tenant).totals(),
            lookups.sum_usage(since_day=since_day),
            lookups.count_labels(),
        )

    (entries, size_bytes), rows, labels = await state.database.read(load)
    return _json(
        {
            "object": "cache.stats",
            "since": since_day,
            "entries": entries,
            "bytes": size_bytes,
            **_sum(rows),
            "labels": {f"{label}_{kind}": count for (label, kind), count in sorted(labels.items())},
            "days": [_usage(row) for row in rows],
        }
    )


@router.post("/v1/cache/feedback", openapi_extra=json_body_schema(FeedbackBody))
async def give_feedback(request: Request) -> Response:
    """Say whether a hit was right; `bad` takes its entry out of service for the caller, and for nobody else."""
    state = state_of(request)
    tenant = (await admit(request, Scope.INFER)).tenant
    body = check(FeedbackBody, await read_json_object(request, state.settings))
    await state.recorder.flush()
    lookup = LookupId(body.hit)
    record = await state.database.read(lambda connection: LookupRepository(connection, tenant).get(lookup))
    if record is None or record.outcome != "hit" or record.entry_id is None:
        raise NotFound("there is no such hit")
    now_ms, label = state.clock.now_ms(), "right" if body.verdict == "good" else "wrong"
    await state.database.write(
        lambda connection: LookupRepository(connection, tenant).set_label(
            lookup, label=label, kind="feedback", at_ms=now_ms
        )
    )
    state.telemetry.labels.labels(label, "feedback").inc()
    is_bad, of_pool = body.verdict == "bad", record.tier == "pool"
    suppressed = is_bad and of_pool and await _suppress(state, tenant, record.entry_id)
    quarantined = is_bad and not of_pool and await state.engine.quarantine(tenant, record.entry_id, "feedback")
    return _json(
        {
            "object": "cache.feedback",
            "hit": body.hit,
            "verdict": body.verdict,
            "quarantined": quarantined,
            "suppressed": suppressed,
        }
    )


async def _suppress(state: AppState, tenant: TenantId, entry: EntryId) -> bool:
    """Keep an entry of the pool from *tenant* from now on; False where it has left the pool since."""
    try:
        await state.database.write(lambda connection: SuppressionRepository(connection, tenant).add(entry))
    except Conflict:
        return False
    return True


def _selection(body: InvalidateBody, now_ms: int) -> Selection:
    given = [body.entry, body.tag, body.model_version, body.older_than_s]
    if body.all == any(value is not None for value in given):
        raise RequestError(
            "name what to remove: entry, tag, model_version or older_than_s, or else all: true", param="all"
        )
    return Selection(
        entry=None if body.entry is None else _entry_id(body.entry),
        tag=body.tag,
        model_version=body.model_version,
        created_before_ms=None if body.older_than_s is None else now_ms - body.older_than_s * 1000,
        everything=body.all,
    )


def _entry_id(text: str) -> EntryId:
    found = parse_entry_id(text)
    if found is None:
        raise NotFound("there is no such entry")
    return found


def _summary(row: EntrySummary) -> JsonObject:
    return {
        "object": "cache.entry",
        "id": format_entry_id(row.id),
        "model": row.model,
        "model_version": row.model_version,
        "source": row.source,
        "state": row.state,
        "state_reason": row.state_reason,
        "created_at_ms": row.created_at_ms,
        "expires_at_ms": row.expires_at_ms,
        "last_hit_at_ms": row.last_hit_at_ms,
        "hits": row.hit_count,
        "bytes": row.size_bytes,
        "matched_by_meaning": row.matched_by_meaning,
        "tags": list(row.tags),
    }


def _usage(row: UsageRow) -> JsonObject:
    return {
        "day": row.day,
        "key": row.key_id,
        "model": row.model,
        "outcome": row.outcome,
        "tier": row.tier or None,
        "requests": row.requests,
        "saved_prompt_tokens": row.saved_prompt_tokens,
        "saved_output_tokens": row.saved_output_tokens,
        "saved_micro_currency": row.saved_micro,
        "mean_latency_ms": row.latency_us / row.requests / 1000 if row.requests else 0,
    }


def _sum(rows: list[UsageRow]) -> JsonObject:
    requests = sum(row.requests for row in rows)
    hits = {tier: sum(row.requests for row in rows if row.tier == tier) for tier in ("exact", "private", "pool")}
    return {
        "requests": requests,
        "hits": hits,
        "hit_rate": sum(hits.values()) / requests if requests else 0,
        "saved_tokens": sum(row.saved_prompt_tokens + row.saved_output_tokens for row in rows),
        "saved_micro_currency": sum(row.saved_micro for row in rows),
    }


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")


def _json(value: JsonObject, *, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
