"""`/admin/v1/{organisations,tenants,models,upstreams}`: the platform's own set-up.

Every change is written to the audit log in its own transaction. A tenant admin sees its own tenant here; the platform's
key sets up the rest, and reads no tenant's content.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from server.api.admin_schemas import (
    EraseBody,
    ModelBody,
    ModelName,
    OrganisationBody,
    TenantBody,
    TenantPatch,
    UpstreamBody,
)
from server.api.admin_views import (
    authenticate_admin,
    forget_tenant,
    json_response,
    list_response,
    model_json,
    tenant_for,
    tenant_json,
    upstream_json,
)
from server.api.body import check, json_body_schema, read_json_object
from server.api.idempotency import IdempotentRoute
from server.api.state import authenticate, state_of
from server.datafolder import DataFolder
from server.erasing import erase_tenant, remove_exports
from server.errors import RequestError
from server.pool.principal import list_customer_organisations, list_customers
from server.reuse.models import manifest_of
from server.setup import (
    create_organisation,
    create_tenant,
    delete_model,
    put_model,
    put_upstream,
    set_quota,
    set_status,
)
from server.store.platform import PlatformRepository
from server.store.records import ModelRecord, TenantRecord, UpstreamRecord
from server.upstream.directory import read_key, refuse_remote_reference
from server.upstream.endpoint import read_endpoint
from tenants.identifiers import OrganisationId, TenantId
from tenants.quotas import Quota
from tenants.scopes import Scope

router = APIRouter(prefix="/admin/v1", tags=["admin"], route_class=IdempotentRoute)


@router.get("/organisations")
async def list_organisations(request: Request) -> Response:
    """List the organisations."""
    await authenticate(request, Scope.PLATFORM_ADMIN)
    rows = await state_of(request).database.read(list_customer_organisations)
    return list_response([{"id": row.id, "name": row.name, "created_at_ms": row.created_at_ms} for row in rows])


@router.post("/organisations", openapi_extra=json_body_schema(OrganisationBody), status_code=201)
async def add_organisation(request: Request) -> Response:
    """Create an organisation."""
    state = state_of(request)
    caller = await authenticate(request, Scope.PLATFORM_ADMIN)
    body = check(OrganisationBody, await read_json_object(request, state.settings))
    now_ms = state.clock.now_ms()
    made = await state.database.write(
        lambda c: create_organisation(c, body.name, actor=caller.key_id, now_ms=now_ms, random=state.random)
    )
    return json_response({"id": made.id, "name": made.name, "created_at_ms": made.created_at_ms}, status=201)


@router.get("/tenants")
async def list_tenants(request: Request) -> Response:
    """List the tenants that the caller may see: its own, or all of them for the platform."""
    state = state_of(request)
    caller = await authenticate_admin(request)
    if caller.tenant is None:
        rows = await state.database.read(list_customers)
    else:
        own = caller.tenant
        rows = [await state.database.read(lambda c: PlatformRepository(c).get_tenant(own))]
    return list_response([tenant_json(row) for row in rows])


@router.post("/tenants", openapi_extra=json_body_schema(TenantBody), status_code=201)
async def add_tenant(request: Request) -> Response:
    """Create a tenant with its data key."""
    state = state_of(request)
    caller = await authenticate(request, Scope.PLATFORM_ADMIN)
    body = check(TenantBody, await read_json_object(request, state.settings))
    quota, now_ms = Quota.from_json(body.quota), state.clock.now_ms()
    made = await state.database.write(
        lambda c: create_tenant(
            c,
            OrganisationId(body.organisation),
            body.name,
            quota=quota,
            provider=state.key_provider,
            actor=caller.key_id,
            now_ms=now_ms,
            random=state.random,
        )
    )
    return json_response(tenant_json(made), status=201)


@router.get("/tenants/{tenant_id}")
async def get_tenant(request: Request, tenant_id: str) -> Response:
    """Return one tenant."""
    caller = await authenticate_admin(request)
    tenant = tenant_for(caller, tenant_id)
    row = await state_of(request).database.read(lambda c: PlatformRepository(c).get_tenant(tenant))
    return json_response(tenant_json(row))


@router.patch("/tenants/{tenant_id}", openapi_extra=json_body_schema(TenantPatch))
async def change_tenant(request: Request, tenant_id: str) -> Response:
    """Change a tenant's quota, or suspend and reactivate it."""
    state = state_of(request)
    caller = await authenticate(request, Scope.PLATFORM_ADMIN)
    body = check(TenantPatch, await read_json_object(request, state.settings))
    tenant, now_ms = TenantId(tenant_id), state.clock.now_ms()
    quota = None if body.quota is None else Quota.from_json(body.quota)

    def change(connection: Any) -> TenantRecord:
        if quota is not None:
            set_quota(connection, tenant, quota, actor=caller.key_id, now_ms=now_ms)
        if body.status is not None:
            set_status(connection, tenant, body.status, actor=caller.key_id, now_ms=now_ms)
        return PlatformRepository(connection).get_tenant(tenant)

    row = await state.database.write(change)
    forget_tenant(state, tenant)
    return json_response(tenant_json(row))


@router.delete("/tenants/{tenant_id}", openapi_extra=json_body_schema(EraseBody))
async def remove_tenant(request: Request, tenant_id: str) -> Response:
    """Erase a tenant: destroy its data keys, entries and lookups, and revoke its API keys. There is no way back."""
    state = state_of(request)
    caller = await authenticate(request, Scope.PLATFORM_ADMIN)
    body = check(EraseBody, await read_json_object(request, state.settings))
    tenant, now_ms = TenantId(tenant_id), state.clock.now_ms()
    row = await state.database.read(lambda c: PlatformRepository(c).get_tenant(tenant))
    if body.confirm != row.name:
        raise RequestError(
            f'to erase this tenant, repeat with "confirm": "{row.name}"', param="confirm", code="confirmation_needed"
        )
    exports = await state.database.write(
        lambda c: erase_tenant(
            c,
            tenant,
            erasures=state.erasures,
            provider=state.key_provider,
            actor=caller.key_id,
            now_ms=now_ms,
            random=state.random,
        )
    )
    await asyncio.to_thread(remove_exports, DataFolder(state.settings.data).exports, exports)
    state.partitions.drop(tenant)
    forget_tenant(state, tenant)
    return json_response({"id": tenant, "status": "erased"})


@router.get("/models")
async def list_models(request: Request) -> Response:
    """List model aliases with their versions, and every version that was seen."""
    await authenticate_admin(request)
    models, versions = await state_of(request).database.read(
        lambda c: (PlatformRepository(c).list_models(), PlatformRepository(c).list_model_versions())
    )
    shown = [
        {
            "model_version": row.model_version,
            "reported": row.reported or None,
            "status": row.status,
            "first_seen_at_ms": row.first_seen_at_ms,
            "manifest": manifest_of(row),
        }
        for row in versions
    ]
    return json_response({"object": "list", "data": [model_json(row) for row in models], "versions": shown})


@router.put("/models/{alias:path}", openapi_extra=json_body_schema(ModelBody))
async def change_model(request: Request, alias: str) -> Response:
    """Open a model alias to all tenants, or change where it leads and what it costs."""
    state = state_of(request)
    caller = await authenticate(request, Scope.PLATFORM_ADMIN)
    body = check(ModelBody, await read_json_object(request, state.settings))
    check(ModelName, {"alias": alias})
    now_ms = state.clock.now_ms()
    record = ModelRecord(
        alias,
        body.upstream,
        body.requested or alias,
        None,
        None,
        body.input_price_micro,
        body.output_price_micro,
        now_ms,
    )
    await state.database.write(lambda c: put_model(c, record, actor=caller.key_id, now_ms=now_ms))
    await state.models.refresh()
    await state.models.ask_upstreams()
    return json_response(model_json(next(row for row in state.models.list_aliases() if row.alias == alias)))


@router.delete("/models/{alias:path}")
async def remove_model(request: Request, alias: str) -> Response:
    """Close a model alias; its entries are served no more."""
    state = state_of(request)
    caller = await authenticate(request, Scope.PLATFORM_ADMIN)
    now_ms = state.clock.now_ms()
    await state.database.write(lambda c: delete_model(c, alias, actor=caller.key_id, now_ms=now_ms))
    await state.models.refresh()
    return json_response({"alias": alias, "deleted": True})


@router.get("/upstreams")
async def list_upstreams(request: Request) -> Response:
    """List the upstreams; their keys are named, never shown."""
    await authenticate(request, Scope.PLATFORM_ADMIN)
    return list_response([upstream_json(row) for row in state_of(request).models.list_upstreams()])


@router.put("/upstreams/{name}", openapi_extra=json_body_schema(UpstreamBody))
async def change_upstream(request: Request, name: str) -> Response:
    """Set up an upstream, or change it."""
    state = state_of(request)
    caller = await authenticate(request, Scope.PLATFORM_ADMIN)
    body = check(UpstreamBody, await read_json_object(request, state.settings))
    read_endpoint(body.base_url, allow_private=body.allow_private)
    refuse_remote_reference(body.key)
    read_key(body.key)
    now_ms = state.clock.now_ms()
    record = UpstreamRecord(name, body.kind, body.base_url, body.key, body.allow_private, now_ms)
    await state.database.write(lambda c: put_upstream(c, record, actor=caller.key_id, now_ms=now_ms))
    await state.models.refresh()
    return json_response(upstream_json(record))
