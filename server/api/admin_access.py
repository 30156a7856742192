"""`/admin/v1/{keys,policies,audit-log}`: who may use a tenant and how, and who changed what.

A tenant admin's key acts on its own tenant; the platform's key names the tenant, to make its first keys and policy.
"""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from server.api.admin_schemas import KeyBody, PolicyBody, RotateBody
from server.api.admin_views import (
    DEFAULT_POLICY_JSON,
    authenticate_admin,
    json_response,
    key_json,
    list_response,
    policy_json,
    scope_of,
    tenant_for,
)
from server.api.body import check, json_body_schema, read_json_object
from server.api.idempotency import IdempotentRoute
from server.api.state import state_of
from server.reuse.policy import ReusePolicy
from server.setup import create_key, refuse_grant, revoke_key, rotate_key, set_policy
from server.store.maintenance import list_audit
from server.store.platform import PlatformRepository
from server.store.tenancy import KeyRepository, PolicyRepository
from tenants.identifiers import KeyId, TenantId
from tenants.scopes import ROLES, Caller

router = APIRouter(prefix="/admin/v1", tags=["admin"], route_class=IdempotentRoute)

TenantQuery = Annotated[str | None, Query(max_length=40, description="the platform names the tenant")]


@router.get("/keys")
async def list_keys(request: Request, tenant: TenantQuery = None) -> Response:
    """List a tenant's API keys, or the platform's own; the keys themselves are never shown again."""
    owner = _owner_for(await authenticate_admin(request), tenant)
    rows = await state_of(request).database.read(
        lambda c: PlatformRepository(c).list_platform_keys() if owner is None else KeyRepository(c, owner).list_all()
    )
    return list_response([key_json(row) for row in rows])


@router.post("/keys", openapi_extra=json_body_schema(KeyBody), status_code=201)
async def add_key(request: Request) -> Response:
    """Mint an API key; the answer holds it this once."""
    state = state_of(request)
    caller = await authenticate_admin(request)
    body = check(KeyBody, await read_json_object(request, state.settings))
    tenant = None if body.role == "platform-operator" else tenant_for(caller, body.tenant)
    wanted = None if body.scopes is None else [scope_of(scope) for scope in body.scopes]
    granted = ROLES.get(body.role, frozenset()) if wanted is None else frozenset(wanted)
    if body.role in ROLES:
        refuse_grant(caller, body.role, granted)
    now_ms = state.clock.now_ms()
    expires_at_ms = None if body.expires_in_s is None else now_ms + body.expires_in_s * 1000
    record, text = await state.database.write(
        lambda c: create_key(
            c,
            tenant,
            role=body.role,
            scopes=wanted,
            label=body.label,
            expires_at_ms=expires_at_ms,
            pepper=state.pepper,
            actor=caller.key_id,
            now_ms=now_ms,
            random=state.random,
        )
    )
    return json_response({**key_json(record), "api_key": text}, status=201)


@router.post("/keys/{key_id}/rotate", openapi_extra=json_body_schema(RotateBody), status_code=201)
async def replace_key(request: Request, key_id: str, tenant: TenantQuery = None) -> Response:
    """Mint a successor and let the old key end after a grace period."""
    state = state_of(request)
    caller = await authenticate_admin(request)
    owner = tenant_for(caller, tenant)
    body = check(RotateBody, await read_json_object(request, state.settings))
    now_ms = state.clock.now_ms()
    record, text = await state.database.write(
        lambda c: rotate_key(
            c,
            owner,
            KeyId(key_id),
            caller=caller,
            grace_s=body.grace_s,
            pepper=state.pepper,
            now_ms=now_ms,
            random=state.random,
        )
    )
    state.authenticator.forget_all()
    return json_response({**key_json(record), "api_key": text}, status=201)


@router.delete("/keys/{key_id}")
async def remove_key(request: Request, key_id: str, tenant: TenantQuery = None) -> Response:
    """Revoke an API key, at once; the platform's own where the platform names no tenant."""
    state = state_of(request)
    caller = await authenticate_admin(request)
    owner, now_ms = _owner_for(caller, tenant), state.clock.now_ms()
    await state.database.write(lambda c: revoke_key(c, owner, KeyId(key_id), actor=caller.key_id, now_ms=now_ms))
    state.authenticator.forget_all()
    return json_response({"key_id": key_id, "revoked": True})


def _owner_for(caller: Caller, named: str | None) -> TenantId | None:
    """Return whose keys to act on: a tenant's, or None for the platform's own, which are the platform's alone."""
    return None if caller.tenant is None and named is None else tenant_for(caller, named)


@router.get("/policies")
async def list_policies(request: Request, tenant: TenantQuery = None) -> Response:
    """Return the policy in force and every version before it."""
    caller = await authenticate_admin(request)
    owner = tenant_for(caller, tenant)
    rows = await state_of(request).database.read(lambda c: PolicyRepository(c, owner).list_versions())
    versions = [policy_json(row) for row in rows]
    return json_response(
        {"object": "list", "active": versions[0] if versions else DEFAULT_POLICY_JSON, "data": versions}
    )


@router.post("/policies", openapi_extra=json_body_schema(PolicyBody), status_code=201)
async def add_policy(request: Request) -> Response:
    """Put the next version of the policy in force; fields that are not named take their default."""
    state = state_of(request)
    caller = await authenticate_admin(request)
    body = check(PolicyBody, await read_json_object(request, state.settings))
    tenant, policy, now_ms = tenant_for(caller, body.tenant), ReusePolicy.from_json(body.policy), state.clock.now_ms()
    row = await state.database.write(
        lambda c: set_policy(
            c, tenant, policy, actor=caller.key_id, now_ms=now_ms, expected_version=body.expected_version
        )
    )
    state.tenants.forget(tenant)
    return json_response(policy_json(row), status=201)


@router.get("/audit-log")
async def get_audit_log(
    request: Request,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """Return administrative changes in order: the caller's tenant's, or all of them for the platform."""
    caller = await authenticate_admin(request)
    rows = await state_of(request).database.read(
        lambda c: list_audit(c, tenant=caller.tenant, after=after, limit=limit)
    )
    shown = [
        {
            "seq": row.seq,
            "at_ms": row.at_ms,
            "actor": row.actor,
            "tenant": row.tenant_id,
            "action": row.action,
            "target": row.target,
            "detail": json.loads(row.detail),
            "hash": row.hash.hex(),
        }
        for row in rows
    ]
    return list_response(shown)
