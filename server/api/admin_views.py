"""What the admin endpoints share: who may call, for which tenant, and how rows are shown."""

from __future__ import annotations

import json

import orjson
from fastapi import Request
from starlette.responses import Response

from crypto.canonical import parse_json
from server.api.state import AppState, state_of
from server.errors import RequestError
from server.ports import JsonObject
from server.reuse.policy import DEFAULT_POLICY, ReusePolicy, policy_digest
from server.store.errors import NotFound
from server.store.log_records import SignerRow
from server.store.records import ApiKeyRecord, ModelRecord, PolicyRecord, TenantRecord, UpstreamRecord
from tenants.identifiers import TenantId
from tenants.scopes import Caller, Scope


async def authenticate_admin(request: Request) -> Caller:
    """Return a caller who administers a tenant, counted against its rate, or the platform."""
    state = state_of(request)
    caller = await state.authenticator.caller(request.headers.getlist("authorization"))
    if Scope.PLATFORM_ADMIN not in caller.scopes:
        caller.require(Scope.TENANT_ADMIN)
    if caller.tenant is not None:
        context = await state.tenants.get(caller.tenant)
        await state.limits.count(caller.tenant, context.quota)
    return caller


def tenant_for(caller: Caller, named: str | None) -> TenantId:
    """Return the tenant to act on: the caller's own, or the one that the platform names. Others do not exist for it."""
    if caller.tenant is not None:
        if named is not None and named != caller.tenant:
            raise NotFound("there is no such tenant")
        return caller.tenant
    if named is None:
        raise RequestError("name the tenant", param="tenant", code="missing_required_parameter")
    return TenantId(named)


def scope_of(text: str) -> Scope:
    """Read a scope; raises `RequestError` that lists them."""
    try:
        return Scope(text)
    except ValueError:
        allowed = ", ".join(scope.value for scope in Scope)
        raise RequestError(f"the scopes are {allowed}", param="scopes", code="invalid_value") from None


def forget_tenant(state: AppState, tenant: TenantId) -> None:
    """Let this process read everything about *tenant* anew."""
    state.tenants.forget(tenant)
    state.totals.forget(tenant)
    state.authenticator.forget_all()


def tenant_json(row: TenantRecord) -> JsonObject:
    """Return a tenant as the API shows it."""
    return {
        "id": row.id,
        "organisation": row.organisation_id,
        "name": row.name,
        "status": row.status,
        "quota": json.loads(row.quota),
        "created_at_ms": row.created_at_ms,
    }


def key_json(row: ApiKeyRecord) -> JsonObject:
    """Return what is known of an API key, which is never the key."""
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


def policy_json(row: PolicyRecord) -> JsonObject:
    """Return one version of a policy."""
    policy = ReusePolicy.from_json(parse_json(row.document.encode()))
    return {
        "version": row.version,
        "digest": row.digest,
        "certified": policy.certified,
        "obfuscation": policy.is_obfuscation,
        "policy": json.loads(row.document),
        "created_at_ms": row.created_at_ms,
        "created_by": row.created_by,
    }


#: The policy of a tenant that has set none.
DEFAULT_POLICY_JSON: JsonObject = {
    "version": 0,
    "digest": policy_digest(DEFAULT_POLICY),
    "certified": DEFAULT_POLICY.certified,
    "obfuscation": DEFAULT_POLICY.is_obfuscation,
    "policy": DEFAULT_POLICY.to_json(),
    "created_at_ms": None,
    "created_by": None,
}


def model_json(row: ModelRecord) -> JsonObject:
    """Return a model alias."""
    return {
        "alias": row.alias,
        "upstream": row.upstream,
        "requested": row.requested,
        "model_version": row.model_version,
        "reported": row.reported or None,
        "input_price_micro": row.input_price_micro,
        "output_price_micro": row.output_price_micro,
    }


def upstream_json(row: UpstreamRecord) -> JsonObject:
    """Return an upstream; its key by reference."""
    return {
        "name": row.name,
        "kind": row.kind,
        "base_url": row.base_url,
        "key": row.key_reference,
        "allow_private": row.allow_private,
    }


def signing_key_json(row: SignerRow) -> JsonObject:
    """Show a signing key's public half and its standing."""
    return {
        "key_id": row.key_id,
        "public_key": row.public_key.hex(),
        "role": row.role,
        "name": row.name,
        "status": row.status,
        "since_index": row.since_index,
        "first_seen_at_ms": row.first_seen_at_ms,
        "models": list(row.models),
    }


def list_response(rows: list[JsonObject]) -> Response:
    """Write a list."""
    return json_response({"object": "list", "data": rows})


def json_response(value: JsonObject, *, status: int = 200) -> Response:
    """Write *value*."""
    return Response(orjson.dumps(value), status, media_type="application/json")
