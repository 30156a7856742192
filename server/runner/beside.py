"""A runner beside a server it did not start: it forwards, and declares what it cannot attest.

The model version it gives is the declared one, the manifest null, the token ids unknown.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from decimal import Decimal
from typing import Any, Final, Protocol

from crypto.manifest import declared_model_version
from server.ports import Chunk, Completion, JsonObject, Upstream, UpstreamModel
from server.runner.errors import RequestInvalid
from server.runner.protocol import PROVENANCE_FIELD, provenance_object

#: The fields that shape an answer; what the other server made of them, it alone knows.
_PARAMETERS: Final = ("temperature", "top_p", "seed", "n", "max_tokens", "max_completion_tokens", "stop")


class BesideUpstream(Upstream, Protocol):
    """An upstream that knows its own address, which declared versions are made of."""

    @property
    def base_url(self) -> str:
        """The address in the form that is digested."""
        ...


class BesideAnswerer:
    """Answers with what *upstream* says, adding a provenance of grade `declared`."""

    def __init__(self, upstream: BesideUpstream) -> None:
        self._upstream = upstream

    async def list_models(self) -> tuple[UpstreamModel, ...]:
        """Return what the other server lists, without manifests."""
        return await self._upstream.list_models()

    async def complete(self, body: JsonObject) -> JsonObject:
        """Forward *body*; raises `server.upstream.errors.UpstreamError` for what the other server does."""
        provenance = self._provenance(body)
        completion = await self._upstream.complete(body, tenant_salt=_salt(body))
        return completion.response | {PROVENANCE_FIELD: provenance}

    async def stream(self, body: JsonObject) -> AsyncGenerator[JsonObject, None]:
        """Forward *body* as a stream; the last chunk is held until the whole is known to be whole."""
        provenance = self._provenance(body)
        held: Chunk | None = None
        async with aclosing(_closing(self._upstream, body)) as items:
            async for item in items:
                if isinstance(item, Completion):
                    continue
                if held is not None:
                    yield held.event
                held = item
        if held is not None:
            yield held.event | {PROVENANCE_FIELD: provenance}

    async def close(self) -> None:
        """Release the connections to the other server."""
        await self._upstream.close()

    def _provenance(self, body: JsonObject) -> JsonObject:
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise RequestInvalid("model is missing; GET /v1/models lists the names", param="model")
        parameters = {name: _exact(body[name]) for name in _PARAMETERS if body.get(name) is not None}
        version = declared_model_version(self._upstream.name, self._upstream.base_url, model)
        return provenance_object(version, prompt_token_ids=None, output_token_ids=None, parameters=parameters)


async def _closing(upstream: Upstream, body: JsonObject) -> AsyncGenerator[Chunk | Completion, None]:
    """Iterate the upstream's stream so that closing this generator closes that one."""
    items = upstream.stream(body, tenant_salt=_salt(body))
    try:
        async for item in items:
            yield item
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()


def _salt(body: JsonObject) -> str:
    # The runner's only client is the gateway, which put its own salt there after dropping the caller's.
    salt = body.get("cache_salt")
    return salt if isinstance(salt, str) else ""


def _exact(value: Any) -> Any:
    """Write a float as the shortest decimal that reads back as it, since parameters are stated without floats."""
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else value
