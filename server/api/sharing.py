"""`/v1/cache/entries/{id}/share`, `/v1/cache/shares` and `/admin/v1/sharing`: consent given, shown and taken back."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from server.api.admin_views import authenticate_admin, json_response, tenant_for
from server.api.body import check, json_body_schema, read_json_object
from server.api.sharing_schemas import ShareBody
from server.api.state import AppState, admit, state_of
from server.api.steering import read_share_wish, refuse_wish
from server.errors import RequestError
from server.identifiers import format_entry_id, parse_entry_id
from server.pool.principal import find_pool
from server.pool.revoking import revoke_share
from server.pool.share_report import find_item, report_sharing, show_share, summarise_share
from server.pool.sharing import label_entry
from server.pool.terms import rules_of
from server.ports import JsonObject
from server.reuse.tenant_directory import TenantContext
from server.store.entries import EntryRepository
from server.store.errors import NotFound
from server.store.platform import PlatformRepository
from server.store.pool_records import Share, ShareState, StoredItem
from server.store.shares import ShareRepository
from tenants.identifiers import EntryId
from tenants.scopes import Scope

router = APIRouter(tags=["cache"])
admin_router = APIRouter(prefix="/admin/v1", tags=["admin"])

PAGE_MAX = 200
STATES: dict[str, ShareState] = {
    "labelled": "labelled",
    "published": "published",
    "revoked": "revoked",
    "refused": "refused",
}


@router.post("/v1/cache/entries/{entry_id}/share", openapi_extra=json_body_schema(ShareBody))
async def share_entry(request: Request, entry_id: str) -> Response:
    """Label an entry: it is published by consent once its quarantine is over and it is found fit."""
    state = state_of(request)
    who = await admit(request, Scope.CACHE_ADMIN)
    body = check(ShareBody, await read_json_object(request, state.settings))
    wish, entry, now_ms = read_share_wish(body, field="epsilon"), _entry_id(entry_id), state.clock.now_ms()
    if wish is None:
        raise RequestError("say how the entry is to be shared; an empty object is enough")
    if await state.database.read(lambda c: EntryRepository(c, who.tenant).get_summary(entry)) is None:
        raise NotFound("there is no such entry")
    refuse_wish(wish, who.context.policy, field=None)
    actor, random = who.caller.key_id, state.random
    share = await state.database.write(
        lambda c: label_entry(c, who.context, entry, wish, actor=actor, now_ms=now_ms, random=random)
    )
    return json_response(await _show(state, who.context, share, None))


@router.get("/v1/cache/entries/{entry_id}/share")
async def get_share(request: Request, entry_id: str) -> Response:
    """Say what became of the consent for an entry, with the questions that it is found by."""
    state = state_of(request)
    who = await admit(request, Scope.CACHE_READ)
    entry = _entry_id(entry_id)

    def load(connection: Connection) -> tuple[Share, StoredItem | None]:
        share = ShareRepository(connection, who.tenant).get(entry)
        return share, find_item(connection, share)

    share, item = await state.database.read(load)
    return json_response(await _show(state, who.context, share, item))


@router.delete("/v1/cache/entries/{entry_id}/share")
async def unshare_entry(request: Request, entry_id: str) -> Response:
    """Take consent back, for good: the entry leaves the pool at once; what was spent on it stays spent."""
    state = state_of(request)
    who = await admit(request, Scope.CACHE_ADMIN)
    entry, now_ms = _entry_id(entry_id), state.clock.now_ms()

    def revoke(connection: Connection) -> tuple[Share, StoredItem | None]:
        share = revoke_share(connection, who.tenant, entry, actor=who.caller.key_id, now_ms=now_ms)
        return share, find_item(connection, share)

    share, item = await state.database.write(revoke)
    return json_response(await _show(state, who.context, share, item))


@router.get("/v1/cache/shares")
async def list_shares(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
    after: Annotated[str | None, Query(max_length=40)] = None,
    state: Annotated[str | None, Query(max_length=20, description=", ".join(STATES))] = None,
) -> Response:
    """List what was ever labelled, newest entry first, without opening it."""
    parts = state_of(request)
    tenant = (await admit(request, Scope.CACHE_READ)).tenant
    behind, wanted = None if after is None else _entry_id(after), None
    if state is not None:
        if state not in STATES:
            raise RequestError(f"the states are {', '.join(STATES)}", param="state", code="invalid_value")
        wanted = STATES[state]
    rows = await parts.database.read(
        lambda c: ShareRepository(c, tenant).list_page(state=wanted, after=behind, limit=limit + 1)
    )
    shown = [summarise_share(share) for share in rows[:limit]]
    return json_response(
        {
            "object": "list",
            "data": shown,
            "has_more": len(rows) > limit,
            "last_id": format_entry_id(rows[len(shown) - 1].entry_id) if shown else None,
        }
    )


@admin_router.get("/sharing")
async def get_sharing(
    request: Request,
    tenant: Annotated[str | None, Query(max_length=40, description="the platform names the tenant")] = None,
) -> Response:
    """Return how a tenant shares, what is labelled, what left, and what its organisation spent on it."""
    state = state_of(request)
    wanted = tenant_for(await authenticate_admin(request), tenant)
    # The thresholds of some terms take half a second to work out, once in the life of a process.
    rules = await asyncio.to_thread(rules_of, state.settings) if state.settings.pool_models else None
    now_ms = state.clock.now_ms()

    def report(connection: Connection) -> JsonObject:
        if wanted == find_pool(connection):
            raise NotFound("there is no such tenant: the pool is no customer")
        return report_sharing(connection, PlatformRepository(connection).get_tenant(wanted), rules, now_ms=now_ms)

    return json_response(await state.database.read(report))


async def _show(state: AppState, tenant: TenantContext, share: Share, item: StoredItem | None) -> JsonObject:
    pool = None if item is None else await state.database.read(find_pool)
    return show_share(tenant, share, item, None if pool is None else await state.tenants.get(pool))


def _entry_id(text: str) -> EntryId:
    found = parse_entry_id(text)
    if found is None:
        raise NotFound("there is no such entry")
    return found
