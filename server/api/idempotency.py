"""`Idempotency-Key`: a POST that is sent twice takes effect once, and its second answer is the first one's.

    same key, same request      the stored answer, with `Idempotent-Replayed: true`
    same key, other request     422
    still in progress           409; so it stays if the process died meanwhile, because nobody knows what it did
    refused (any error)         the key is free again, since nothing happened
    after 24 hours              a new request

A secret is shown once and is not stored, not even sealed: a replayed answer has null in its place (`SECRET_FIELDS`).
Who lost the first answer revokes that key by its id, which the replay does show, and makes another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any, Final

import orjson
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from crypto.canonical import digest_fields
from crypto.errors import Error
from server.api.state import AppState, state_of
from server.errors import RequestError
from server.store.idempotency import Answered, Claim, IdempotencyRepository, InFlight, OtherRequest
from tenants.identifiers import KeyId
from tenants.scopes import Scope

HEADER: Final = "Idempotency-Key"
DOMAIN: Final = "hitproof/idempotent-request/v1"
NAME_CHARACTERS_MAX: Final = 255
#: Top-level fields of an answer that are never written down.
SECRET_FIELDS: Final = frozenset({"api_key"})

_NAME: Final = re.compile(rf"[\x21-\x7e]{{1,{NAME_CHARACTERS_MAX}}}")

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class IdempotentRoute(APIRoute):
    """A route whose POST honours `Idempotency-Key`; give it to a router as its `route_class`."""

    def get_route_handler(self) -> Handler:
        """Wrap the endpoint's handler."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            name = request.headers.get(HEADER)
            if name is None or request.method != "POST":
                return await handler(request)
            return await _handle_once(request, name, handler)

        return handle


async def _handle_once(request: Request, name: str, handler: Handler) -> Response:
    state = state_of(request)
    caller = await state.authenticator.caller(request.headers.getlist("authorization"))
    if caller.scopes.isdisjoint((Scope.TENANT_ADMIN, Scope.PLATFORM_ADMIN)):
        return await handler(request)
    if _NAME.fullmatch(name) is None:
        raise RequestError(
            f"an Idempotency-Key has 1 to {NAME_CHARACTERS_MAX} visible ASCII characters",
            param=HEADER,
            code="invalid_idempotency_key",
        )
    digest = digest_fields(DOMAIN, str(request.url.path).encode(), request.url.query.encode(), await request.body())
    now_ms = state.clock.now_ms()
    claim = await state.database.write(
        lambda connection: IdempotencyRepository(connection, caller.key_id).claim(name, digest, now_ms=now_ms)
    )
    replayed = _replay(claim)
    if replayed is not None:
        return replayed
    return await _do(state, caller.key_id, name, request, handler)


def _replay(claim: Claim) -> Response | None:
    """Return the stored answer, None if there is none to give; raises when the key cannot be used for this request."""
    if isinstance(claim, Answered):
        headers = {"Idempotent-Replayed": "true"}
        return Response(claim.response, claim.status, headers, "application/json")
    if isinstance(claim, OtherRequest):
        raise RequestError(
            "this Idempotency-Key was used for another request; take a new one",
            param=HEADER,
            code="idempotency_key_reused",
            status=422,
        )
    if isinstance(claim, InFlight):
        raise RequestError(
            "the request with this Idempotency-Key has no answer yet; if it stays so, look whether it took effect",
            param=HEADER,
            code="idempotency_key_in_use",
            status=409,
        )
    return None


async def _do(state: AppState, key: KeyId, name: str, request: Request, handler: Handler) -> Response:
    try:
        response = await handler(request)
    except Error:
        await state.database.write(lambda connection: IdempotencyRepository(connection, key).release(name))
        raise
    kept = _without_secrets(bytes(response.body))
    await state.database.write(
        lambda connection: IdempotencyRepository(connection, key).finish(
            name, status=response.status_code, response=kept
        )
    )
    return response


def _without_secrets(body: bytes) -> bytes:
    answer = orjson.loads(body)
    return orjson.dumps({field: None if field in SECRET_FIELDS else value for field, value in answer.items()})
