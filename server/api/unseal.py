"""`POST /admin/v1/unseal`: open a gateway whose key is in shares, one share at a time.

The share goes into this process's memory and nowhere else: not into the log, the audit log or the answer. Every worker
process is opened by itself.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import StringConstraints
from starlette.responses import JSONResponse

from server.api.body import check, json_body_schema, read_json_object
from server.api.schemas import Body
from server.api.state import authenticate, state_of
from server.errors import RequestError
from server.keys import find_shamir_provider
from server.store.maintenance import AuditEvent, append_audit
from tenants.errors import KeyFormError
from tenants.key_shares import parse_share
from tenants.scopes import Scope

router = APIRouter(prefix="/admin/v1", tags=["admin"])


class UnsealBody(Body):
    """One share, as `hitproof kek split` printed it."""

    share: Annotated[str, StringConstraints(min_length=1, max_length=200)]


@router.post("/unseal", openapi_extra=json_body_schema(UnsealBody))
async def unseal(request: Request) -> JSONResponse:
    """Take one share; say how many were given, how many are needed, and whether the store is open now."""
    state = state_of(request)
    caller = await authenticate(request, Scope.PLATFORM_ADMIN)
    body = check(UnsealBody, await read_json_object(request, state.settings))
    provider = find_shamir_provider(state.key_provider)
    if provider is None:
        raise RequestError(
            "this gateway's key is not in shares: there is nothing to unseal", status=409, code="conflict"
        )
    try:
        share = parse_share(body.share)
        detail = {"share": share.number, "needed": share.threshold}
        event = AuditEvent(caller.key_id, None, "kek.unseal", share.key_id, detail)
        now_ms = state.clock.now_ms()
        await state.database.write(lambda connection: append_audit(connection, event, at_ms=now_ms))
        progress = provider.give(body.share)
    except KeyFormError as error:
        raise RequestError(str(error), param="share", code="invalid_share") from None
    return JSONResponse({"given": progress.given, "needed": progress.needed, "is_open": progress.is_open})
