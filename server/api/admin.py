"""`/admin/v1/*`: who may use the house, and how. Every change is written to the audit log in its own transaction.

A tenant admin's key acts on its own tenant; the platform's key sets up organisations, tenants, upstreams and models, and
a tenant's first keys, and reads no tenant's content.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from crypto.canonical import parse_json
from server.api.admin_schemas import (
    EraseBody,
    KeyBody,
    ModelBody,
    ModelName,
    OrganisationBody,
    PolicyBody,
    RotateBody,
    TenantBody,
    TenantPatch,
    UpstreamBody,
)
from server.api.body import check, json_body_schema, read_json_object
from server.api.state import AppState, authenticate, state_of
from server.errors import RequestError
from server.ports import JsonObject
from server.reuse.models import manifest_of
from server.reuse.policy import DEFAULT_POLICY, ReusePolicy, policy_digest
from server.setup import (
    create_key,
    create_organisation,
    create_tenant,
    delete_model,
    erase_tenant,
    put_model,
    put_upstream,
    revoke_key,
    rotate_key,
    set_policy,
    set_quota,
    set_status,
)
from server.store.errors import NotFound
from server.store.maintenance import list_audit
from server.store.platform import PlatformRepository
from server.store.records import ApiKeyRecord, ModelRecord, PolicyRecord, TenantRecord, UpstreamRecord
from server.store.tenancy import KeyRepository, PolicyRepository
from server.upstream.directory import read_key
from server.upstream.endpoint import read_endpoint
from tenants.identifiers import KeyId, OrganisationId, TenantId
from tenants.quotas import Quota
from tenants.scopes import ROLES, Caller, Scope

router = APIRouter(prefix="/admin/v1", tags=["admin"])

TenantQuery = Annotated[str | None, Query(max_length=40, description="the platform names the tenant")]


@router.get("/organisations")
async def list_organisations(request: Request) -> Response:
    """List the organisations."""
    await authenticate(request, Scope.PLATFORM_ADMIN)
    rows = await state_of(request).database.read(lambda c: PlatformRepository(c).list_organisations())
    return _list([{"id": row.id, "name": row.name, "created_at_ms": row.created_at_ms} for row in rows])


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
    return _json({"id": made.id, "name": made.name, "created_at_ms": made.created_at_ms}, status=201)


@router.get("/tenants")
async def list_tenants(request: Request) -> Response:
    """List the tenants that the caller may see: its own, or all of them for the platform."""
    state = state_of(request)
    caller = await _admin(request)
    if caller.tenant is None:
        rows = await state.database.read(lambda c: PlatformRepository(c).list_tenants())
    else:
        own = caller.tenant
        rows = [await state.database.read(lambda c: PlatformRepository(c).get_tenant(own))]
    return _list([_tenant(row) for row in rows])


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
    return _json(_tenant(made), status=201)


@router.get("/tenants/{tenant_id}")
async def get_tenant(request: Request, tenant_id: str) -> Response:
    """Return one tenant."""
    caller = await _admin(request)
    tenant = _tenant_for(caller, tenant_id)
    row = await state_of(request).database.read(lambda c: PlatformRepository(c).get_tenant(tenant))
    return _json(_tenant(row))


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
    _forget(state, tenant)
    return _json(_tenant(row))


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
    await state.database.write(lambda c: erase_tenant(c, tenant, actor=caller.key_id, now_ms=now_ms))
    state.partitions.drop(tenant)
    _forget(state, tenant)
    return _json({"id": tenant, "status": "erased"})


@router.get("/keys")
async def list_keys(request: Request, tenant: TenantQuery = None) -> Response:
    """List a tenant's API keys; the keys themselves are never shown again."""
    caller = await _admin(request)
    owner = _tenant_for(caller, tenant)
    rows = await state_of(request).database.read(lambda c: KeyRepository(c, owner).list_all())
    return _list([_key(row) for row in rows])


@router.post("/keys", openapi_extra=json_body_schema(KeyBody), status_code=201)
async def add_key(request: Request) -> Response:
    """Mint an API key; the answer holds it this once."""
    state = state_of(request)
    caller = await _admin(request)
    body = check(KeyBody, await read_json_object(request, state.settings))
    tenant = None if body.role == "platform-operator" else _tenant_for(caller, body.tenant)
    wanted = None if body.scopes is None else [_scope(scope) for scope in body.scopes]
    granted = ROLES.get(body.role, frozenset()) if wanted is None else frozenset(wanted)
    if body.role in ROLES and not caller.may_grant(body.role, granted):
        raise RequestError(
            "this key may not hand out that role or those scopes", param="role", code="not_yours_to_grant", status=403
        )
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
    return _json({**_key(record), "api_key": text}, status=201)


@router.post("/keys/{key_id}/rotate", openapi_extra=json_body_schema(RotateBody), status_code=201)
async def replace_key(request: Request, key_id: str, tenant: TenantQuery = None) -> Response:
    """Mint a successor and let the old key end after a grace period."""
    state = state_of(request)
    caller = await _admin(request)
    owner = _tenant_for(caller, tenant)
    body = check(RotateBody, await read_json_object(request, state.settings))
    now_ms = state.clock.now_ms()
    record, text = await state.database.write(
        lambda c: rotate_key(
            c,
            owner,
            KeyId(key_id),
            grace_s=body.grace_s,
            pepper=state.pepper,
            actor=caller.key_id,
            now_ms=now_ms,
            random=state.random,
        )
    )
    state.authenticator.forget_all()
    return _json({**_key(record), "api_key": text}, status=201)


@router.delete("/keys/{key_id}")
async def remove_key(request: Request, key_id: str, tenant: TenantQuery = None) -> Response:
    """Revoke an API key, at once."""
    state = state_of(request)
    caller = await _admin(request)
    owner, now_ms = _tenant_for(caller, tenant), state.clock.now_ms()
    await state.database.write(lambda c: revoke_key(c, owner, KeyId(key_id), actor=caller.key_id, now_ms=now_ms))
    state.authenticator.forget_all()
    return _json({"key_id": key_id, "revoked": True})


@router.get("/policies")
async def list_policies(request: Request, tenant: TenantQuery = None) -> Response:
    """Return the policy in force and every version before it."""
    caller = await _admin(request)
    owner = _tenant_for(caller, tenant)
    rows = await state_of(request).database.read(lambda c: PolicyRepository(c, owner).list_versions())
    versions = [_policy(row) for row in rows]
    return _json({"object": "list", "active": versions[0] if versions else _DEFAULT, "data": versions})


@router.post("/policies", openapi_extra=json_body_schema(PolicyBody), status_code=201)
async def add_policy(request: Request) -> Response:
    """Put the next version of the policy in force; fields that are not named take their default."""
    state = state_of(request)
    caller = await _admin(request)
    body = check(PolicyBody, await read_json_object(request, state.settings))
    tenant, policy, now_ms = _tenant_for(caller, body.tenant), ReusePolicy.from_json(body.policy), state.clock.now_ms()
    row = await state.database.write(
        lambda c: set_policy(
            c, tenant, policy, actor=caller.key_id, now_ms=now_ms, expected_version=body.expected_version
        )
    )
    state.tenants.forget(tenant)
    return _json(_policy(row), status=201)


@router.get("/models")
async def list_models(request: Request) -> Response:
    """List model aliases with their versions, and every version that was seen."""
    await _admin(request)
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
    return _json({"object": "list", "data": [_model(row) for row in models], "versions": shown})


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
    return _json(_model(next(row for row in state.models.list_aliases() if row.alias == alias)))


@router.delete("/models/{alias:path}")
async def remove_model(request: Request, alias: str) -> Response:
    """Close a model alias; its entries are served no more."""
    state = state_of(request)
    caller = await authenticate(request, Scope.PLATFORM_ADMIN)
    now_ms = state.clock.now_ms()
    await state.database.write(lambda c: delete_model(c, alias, actor=caller.key_id, now_ms=now_ms))
    await state.models.refresh()
    return _json({"alias": alias, "deleted": True})


@router.get("/upstreams")
async def list_upstreams(request: Request) -> Response:
    """List the upstreams; their keys are named, never shown."""
    await authenticate(request, Scope.PLATFORM_ADMIN)
    return _list([_upstream(row) for row in state_of(request).models.list_upstreams()])


@router.put("/upstreams/{name}", openapi_extra=json_body_schema(UpstreamBody))
async def change_upstream(request: Request, name: str) -> Response:
    """Set up an upstream, or change it."""
    state = state_of(request)
    caller = await authenticate(request, Scope.PLATFORM_ADMIN)
    body = check(UpstreamBody, await read_json_object(request, state.settings))
    read_endpoint(body.base_url, allow_private=body.allow_private)
    read_key(body.key)
    now_ms = state.clock.now_ms()
    record = UpstreamRecord(name, body.kind, body.base_url, body.key, body.allow_private, now_ms)
    await state.database.write(lambda c: put_upstream(c, record, actor=caller.key_id, now_ms=now_ms))
    await state.models.refresh()
    return _json(_upstream(record))


@router.get("/audit-log")
async def get_audit_log(
    request: Request,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """Return administrative changes in order: the caller's tenant's, or all of them for the platform."""
    caller = await _admin(request)
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
    return _list(shown)


async def _admin(request: Request) -> Caller:
    """Return a caller who administers a tenant or the platform."""
    caller = await state_of(request).authenticator.caller(request.headers.getlist("authorization"))
    if Scope.PLATFORM_ADMIN not in caller.scopes:
        caller.require(Scope.TENANT_ADMIN)
    return caller


def _tenant_for(caller: Caller, named: str | None) -> TenantId:
    """Return the tenant to act on: the caller's own, or the one that the platform names. Others do not exist for it."""
    if caller.tenant is not None:
        if named is not None and named != caller.tenant:
            raise NotFound("there is no such tenant")
        return caller.tenant
    if named is None:
        raise RequestError("name the tenant", param="tenant", code="missing_required_parameter")
    return TenantId(named)


def _scope(text: str) -> Scope:
    try:
        return Scope(text)
    except ValueError:
        allowed = ", ".join(scope.value for scope in Scope)
        raise RequestError(f"the scopes are {allowed}", param="scopes", code="invalid_value") from None


def _forget(state: AppState, tenant: TenantId) -> None:
    state.tenants.forget(tenant)
    state.totals.forget(tenant)
    state.authenticator.forget_all()


def _tenant(row: TenantRecord) -> JsonObject:
    return {
        "id": row.id,
        "organisation": row.organisation_id,
        "name": row.name,
        "status": row.status,
        "quota": json.loads(row.quota),
        "created_at_ms": row.created_at_ms,
    }


def _key(row: ApiKeyRecord) -> JsonObject:
    return {
        "key_id": row.key_id,
        "tenant": row.tenant_id,
        "role": row.role,
        "scopes": json.loads(row.scopes),
        "label": row.label,
        "created_at_ms": row.created_at_ms,
        "created_by": row.created_by,
        "expires_at_ms": row.expires_at_ms,
        "revoked_at_ms": row.revoked_at_ms,
        "last_used_day": row.last_used_day,
    }


def _policy(row: PolicyRecord) -> JsonObject:
    policy = ReusePolicy.from_json(parse_json(row.document.encode()))
    return {
        "version": row.version,
        "digest": row.digest,
        "certified": policy.certified,
        "policy": json.loads(row.document),
        "created_at_ms": row.created_at_ms,
        "created_by": row.created_by,
    }


#: The policy of a tenant that has set none.
_DEFAULT: JsonObject = {
    "version": 0,
    "digest": policy_digest(DEFAULT_POLICY),
    "certified": DEFAULT_POLICY.certified,
    "policy": DEFAULT_POLICY.to_json(),
    "created_at_ms": None,
    "created_by": None,
}


def _model(row: ModelRecord) -> JsonObject:
    return {
        "alias": row.alias,
        "upstream": row.upstream,
        "requested": row.requested,
        "model_version": row.model_version,
        "reported": row.reported or None,
        "input_price_micro": row.input_price_micro,
        "output_price_micro": row.output_price_micro,
    }


def _upstream(row: UpstreamRecord) -> JsonObject:
    return {
        "name": row.name,
        "kind": row.kind,
        "base_url": row.base_url,
        "key": row.key_reference,
        "allow_private": row.allow_private,
    }


def _list(rows: list[JsonObject]) -> Response:
    return _json({"object": "list", "data": rows})


def _json(value: JsonObject, *, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
