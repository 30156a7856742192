"""`POST /v1/chat/completions`: the endpoint that applications point their OpenAI client at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
import structlog
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from crypto.errors import Error
from server.api.body import check, json_body_schema, read_json_object
from server.api.schemas import ChatBody
from server.api.state import Admitted, AppState, admit, state_of
from server.api.steering import read_steering, refuse_wish
from server.errors import RequestError, error_object, show
from server.ports import JsonObject
from server.reuse.answers import Answer, LastChunk, StreamedAnswer
from server.reuse.outcomes import Tier
from server.reuse.request import ChatRequest
from server.settings import Settings
from tenants.identifiers import TenantId
from tenants.scopes import Scope

log = structlog.get_logger()

router = APIRouter()


class ForeignAnswer(Error):
    """An answer of another tenant was about to leave: a fault of ours, stopped at the last moment."""


async def read_chat_request(request: Request, settings: Settings) -> ChatRequest:
    """Read, check and bound one chat request; raises `RequestError` naming the field."""
    body = await read_json_object(request, settings)
    checked = check(ChatBody, body)
    check_conversation(body, settings)
    return ChatRequest(body, read_steering(request.headers.getlist("cache-control"), checked.hitproof))


@router.post("/v1/chat/completions", openapi_extra=json_body_schema(ChatBody), tags=["completions"])
async def create_chat_completion(request: Request) -> Response:
    """Answer a conversation, from work already done where that is safe."""
    state = state_of(request)
    who = await admit(request, Scope.INFER)
    chat = await read_chat_request(request, state.settings)
    if chat.steering.share is not None:
        refuse_wish(chat.steering.share, (await state.tenants.get(who.tenant)).policy)
    async with state.limits.place(who.tenant, who.caller.key_id, who.quota):
        answer = await state.engine.answer(who.tenant, who.caller.key_id, chat)
        if isinstance(answer, Answer):
            _check_egress(state, who, answer.tenant, answer.account.tier)
            return _whole(answer)
        _check_egress(state, who, answer.tenant, answer.tier)
        # Until the first chunk is there, a failure is an HTTP status that clients know how to handle.
        first = await anext(answer.chunks)
    return StreamingResponse(
        _events(state, who, answer, first),
        headers=answer.early,
        media_type="text/event-stream",
    )


def _whole(answer: Answer) -> Response:
    account = answer.account.to_json()
    headers = answer.account.headers()
    if answer.response is None:
        shown = error_object(
            show(RequestError("there is no stored answer, and only-if-cached asks for nothing else",
                              code="not_cached", status=504))
        )  # fmt: skip
        return Response(orjson.dumps({**shown, "hitproof": account}), 504, headers, "application/json")
    return Response(orjson.dumps({**answer.response, "hitproof": account}), 200, headers, "application/json")


async def _events(
    state: AppState, who: Admitted, answer: StreamedAnswer, first: JsonObject | LastChunk
) -> AsyncIterator[bytes]:
    """Write server-sent events; the `hitproof` object rides on the last chunk, behind the text and the usage."""
    frame: JsonObject | None = None
    try:
        context = await state.tenants.get(who.tenant)
        async with state.limits.place(who.tenant, who.caller.key_id, context.quota):
            async for item in _from(first, answer.chunks):
                tier = item.account.tier if isinstance(item, LastChunk) else answer.tier
                _check_egress(state, who, answer.tenant, tier)
                if isinstance(item, LastChunk):
                    last = {**_empty(frame), "choices": [], "hitproof": item.account.to_json()}
                    yield b"data: " + orjson.dumps(last) + b"\n\ndata: [DONE]\n\n"
                    return
                frame = item
                yield b"data: " + orjson.dumps(item) + b"\n\n"
    except asyncio.CancelledError:
        raise
    except Error as error:
        yield b"data: " + orjson.dumps(error_object(show(error))) + b"\n\n"
    except Exception as error:  # the stream's edge: the head is out, so the error goes into the stream
        log.error("stream_failed", error=type(error).__name__, exc_info=error)
        yield b"data: " + orjson.dumps(error_object(show(Error()))) + b"\n\n"


async def _from(
    first: JsonObject | LastChunk, rest: AsyncIterator[JsonObject | LastChunk]
) -> AsyncIterator[JsonObject | LastChunk]:
    yield first
    async for item in rest:
        yield item


def _empty(frame: JsonObject | None) -> JsonObject:
    frame = frame or {"id": "", "object": "chat.completion.chunk", "created": 0, "model": ""}
    return {name: value for name, value in frame.items() if name not in ("choices", "usage")}


def _check_egress(state: AppState, who: Admitted, owner: TenantId, tier: Tier | None) -> None:
    """The last wall: an answer leaves only towards its own tenant, and the pool's only as a hit of the pool."""
    if not may_leave(owner, to=who.tenant, tier=tier, pool=state.engine.pool_id):
        state.telemetry.egress_refused.inc()
        log.error("egress_refused", key=who.caller.key_id)
        raise ForeignAnswer("an answer was stopped because it was not the caller's")


def may_leave(owner: TenantId, *, to: TenantId, tier: Tier | None, pool: TenantId | None) -> bool:
    """Tell whether an answer of *owner* may go to the tenant *to*; every answer of the tier `pool` is the pool's."""
    if tier == "pool":
        return pool is not None and owner == pool
    return owner == to


def check_conversation(body: JsonObject, settings: Settings) -> None:
    """Hold the messages of *body*, whose types were checked, to the limits; raises `RequestError` naming the field."""
    messages = body["messages"]
    if len(messages) > settings.messages_max:
        raise RequestError(
            f"{len(messages)} messages are more than {settings.messages_max}; shorten the conversation",
            param="messages",
        )
    total_bytes = 0
    for position, message in enumerate(messages):
        total_bytes += _check_message(message, f"messages.{position}")
    if total_bytes > settings.text_bytes_max:
        raise RequestError(
            f"the conversation holds more than {settings.text_bytes_max} bytes of text", param="messages"
        )
    last = messages[-1]
    if last["role"] == "user" and not _has_content(last.get("content")):
        raise RequestError(
            "the last message is empty; write the question into its content",
            param=f"messages.{len(messages) - 1}.content",
        )
    if body.get("stream_options") is not None and not body.get("stream"):
        raise RequestError("stream_options goes with stream: true", param="stream_options")


def _check_message(message: JsonObject, where: str) -> int:
    content = message.get("content")
    if content is None:
        if message["role"] in ("assistant", "function", "tool"):
            return 0
        raise RequestError("a message needs content", param=f"{where}.content", code="missing_required_parameter")
    if isinstance(content, str):
        return len(content.encode())
    total_bytes = 0
    for position, part in enumerate(content):
        kind = part.get("type")
        if not isinstance(kind, str):
            raise RequestError("a content part needs a type", param=f"{where}.content.{position}.type")
        if kind == "text":
            if not isinstance(part.get("text"), str):
                raise RequestError("a text part needs text", param=f"{where}.content.{position}.text")
            total_bytes += len(part["text"].encode())
    return total_bytes


def _has_content(content: object) -> bool:
    if isinstance(content, str):
        return bool(content.strip(_BLANK))
    if isinstance(content, list):
        return any(part.get("type") != "text" or str(part.get("text", "")).strip(_BLANK) for part in content)
    return False


#: White space and the characters that show nothing: a message of these alone asks nothing.
_BLANK = (
    " \t\r\n\f\v\u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u202f\u205f"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\u3000\u3164\ufeff\uffa0"
)
