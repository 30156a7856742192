"""Store the lines of an export as a tenant's own entries, through the same door as `POST /v1/cache/entries`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import IO, Any

from crypto.canonical import parse_json
from crypto.errors import EncodingError
from server.cli.context import ACTOR, Opened
from server.cli.exporting import EXPORT_SCHEMA, LINE_BYTES_MAX, CacheCommandError
from server.gateway import Gateway
from server.reuse.request import ChatRequest, Steering
from server.serving import build_outside, load_configured_embedder
from server.telemetry import Telemetry
from tenants.identifiers import KeyId, TenantId


def import_lines(store: Opened, tenant: TenantId, handle: IO[bytes]) -> int:
    """Store every line of *handle*; raises `CacheCommandError` at the first that is none of ours, keeping those before."""
    return asyncio.run(_import(store, tenant, _lines(handle)))


async def _import(store: Opened, tenant: TenantId, lines: Iterable[dict[str, Any]]) -> int:
    embedder = load_configured_embedder(store.settings)
    gateway = Gateway(store.settings, build_outside(store.settings, embedder, store.provider), Telemetry())
    await gateway.start()
    count = 0
    try:
        for line in lines:
            left_s = (line["expires_at_ms"] - store.clock.now_ms()) // 1000
            if left_s <= 0:
                continue
            body = {**line["parameters"], "model": line["model"], "messages": line["messages"]}
            request = ChatRequest(body, Steering(tags=tuple(line["tags"]), ttl_s=left_s))
            await gateway.state.engine.put(tenant, KeyId(ACTOR), request, line["response"])
            count += 1
    finally:
        await gateway.stop()
    return count


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
