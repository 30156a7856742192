"""`/admin/v1/{model-versions,signing-keys}`: what still counts, and ending it; the platform's alone."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from server.api.admin_schemas import SigningKeyBody
from server.api.admin_views import json_response, list_response, signing_key_json
from server.api.body import check, json_body_schema, read_json_object
from server.api.idempotency import IdempotentRoute
from server.api.state import authenticate, state_of
from server.standing import end_model_version, revoke_signer
from server.store.signers import SignerRepository
from tenants.scopes import Scope

router = APIRouter(prefix="/admin/v1", tags=["admin"], route_class=IdempotentRoute)


@router.post("/model-versions/{model_version}/supersede")
async def supersede_version(request: Request, model_version: str) -> Response:
    """Withdraw a model version without blame: what it answered is reused no more, and its receipts stay good."""
    return await _end(request, model_version, "superseded")


@router.post("/model-versions/{model_version}/revoke")
async def revoke_version(request: Request, model_version: str) -> Response:
    """Withdraw a model version for good: what it answered is reused no more, and auditors are told."""
    return await _end(request, model_version, "revoked")


@router.get("/signing-keys")
async def list_signing_keys(request: Request) -> Response:
    """List the keys that sign, and whether what they sign still counts."""
    await authenticate(request, Scope.PLATFORM_ADMIN)
    rows = await state_of(request).database.read(lambda c: SignerRepository(c).list_all())
    return list_response([signing_key_json(row) for row in rows])


@router.post("/signing-keys/{key_id}/revoke", openapi_extra=json_body_schema(SigningKeyBody))
async def revoke_signing_key(request: Request, key_id: str) -> Response:
    """End a signing key: retired from now on, or compromised from the leaf *since_index* on."""
    state = state_of(request)
    caller = await authenticate(request, Scope.PLATFORM_ADMIN)
    body = check(SigningKeyBody, await read_json_object(request, state.settings))
    now_ms = state.clock.now_ms()
    row = await state.database.write(
        lambda c: revoke_signer(
            c, key_id, since_index=body.since_index, actor=caller.key_id, now_ms=now_ms, random=state.random
        )
    )
    return json_response(signing_key_json(row))


async def _end(request: Request, model_version: str, status: str) -> Response:
    state = state_of(request)
    caller = await authenticate(request, Scope.PLATFORM_ADMIN)
    now_ms = state.clock.now_ms()
    await state.database.write(
        lambda c: end_model_version(c, model_version, status, actor=caller.key_id, now_ms=now_ms, random=state.random)
    )
    return json_response({"model_version": model_version, "status": status})
