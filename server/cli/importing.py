"""Store the lines of an export as a tenant's own entries, through the same door as `POST /v1/cache/entries`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import IO, Any

from pydantic import BaseModel, Field, StrictInt

from crypto.canonical import parse_json
from crypto.errors import EncodingError
from server.api.body import check
from server.api.chat import check_conversation
from server.api.schemas import ChatBody, Name, Tag
from server.cli.context import ACTOR, Opened
from server.cli.exporting import EXPORT_SCHEMA, LINE_BYTES_MAX, CacheCommandError
from server.errors import RequestError
from server.gateway import Gateway
from server.ports import JsonObject
from server.reuse.completeness import reason_not_to_store
from server.reuse.request import ChatRequest, Steering
from server.serving import build_outside, load_configured_embedder
from server.settings import Settings
from server.telemetry import Telemetry, configure_logging
from tenants.identifiers import KeyId, TenantId


class _Line(BaseModel):
    """The fields of a line that an entry is made of; the others only say where it came from."""

    model: Name
    messages: list[JsonObject] = Field(min_length=1)
    parameters: JsonObject
    response: JsonObject
    tags: list[Tag] = Field(max_length=16)
    expires_at_ms: StrictInt


def import_lines(store: Opened, tenant: TenantId, handle: IO[bytes]) -> int:
    """Store every line of *handle*; raises `CacheCommandError` at the first that is none of ours, keeping those before."""
    configure_logging(store.settings.log_format)
    return asyncio.run(_import(store, tenant, _lines(handle)))


async def _import(store: Opened, tenant: TenantId, lines: Iterable[dict[str, Any]]) -> int:
    embedder = load_configured_embedder(store.settings)
    gateway = Gateway(store.settings, build_outside(store.settings, embedder, store.provider), Telemetry())
    await gateway.start()
    count = 0
    try:
        for number, line in enumerate(lines, start=1):
            checked, body = _check(line, number, store.settings)
            left_s = (checked.expires_at_ms - store.clock.now_ms()) // 1000
            if left_s <= 0:
                continue
            request = ChatRequest(body, Steering(tags=tuple(checked.tags), ttl_s=left_s))
            await gateway.state.engine.put(tenant, KeyId(ACTOR), request, checked.response)
            count += 1
    finally:
        await gateway.stop()
    return count


def _check(line: JsonObject, number: int, settings: Settings) -> tuple[_Line, JsonObject]:
    """Hold *line* to what a request and a stored answer must be; return it and the request's body."""
    try:
        checked = check(_Line, line)
        body = {**checked.parameters, "model": checked.model, "messages": checked.messages}
        check(ChatBody, body)
        check_conversation(body, settings)
    except RequestError as error:
        raise CacheCommandError(f"line {number} holds no entry: {error}") from None
    why_not = reason_not_to_store(checked.response)
    if why_not is not None:
        raise CacheCommandError(f"line {number} holds an answer that is never stored: {why_not}")
    return checked, body


def _lines(handle: IO[bytes]) -> Iterable[dict[str, Any]]:
    number = 0
    while line := handle.readline(LINE_BYTES_MAX + 1):
        number += 1
        try:
            found = parse_json(line.strip(), nodes_max=1_000_000)
        except EncodingError as error:
            raise CacheCommandError(f"line {number} is no JSON object: {error}") from None
        if not isinstance(found, dict) or found.get("schema") != EXPORT_SCHEMA or not set(found) >= _FIELDS:
            raise CacheCommandError(f"line {number} is not of a {EXPORT_SCHEMA} file")
        yield found


_FIELDS = {"schema", "id", "model", "model_version", "messages", "parameters", "response", "tags", "expires_at_ms"}
