"""Any OpenAI-compatible server as an upstream: vLLM, Ollama, a vendor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import httpx2

from crypto.manifest import declared_model_version
from server.ports import Chunk, Clock, Completion, JsonObject, RandomSource, UpstreamModel
from server.upstream.assembly import Assembler
from server.upstream.client import UpstreamClient
from server.upstream.errors import UpstreamMalformed
from server.upstream.limits import UpstreamLimits
from server.upstream.requests import outgoing
from server.upstream.responses import check_completion


class OpenAIUpstream:
    """Speaks to *base_url* (which ends in the API's version, as `https://host/v1`); nothing it says is attested.

    *passes_cache_salt* is for servers that keep prefix caches apart by `cache_salt`, such as vLLM.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        api_key: str | None,
        *,
        clock: Clock,
        random_source: RandomSource,
        limits: UpstreamLimits | None = None,
        allow_private: bool = False,
        passes_cache_salt: bool = False,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limits = limits or UpstreamLimits()
        self._passes_cache_salt = passes_cache_salt
        self._client = UpstreamClient(
            name,
            base_url,
            api_key,
            clock=clock,
            random_source=random_source,
            limits=self._limits,
            allow_private=allow_private,
            transport=transport,
            sleep=sleep,
        )

    @property
    def name(self) -> str:
        """The operator's name for it."""
        return self._client.name

    @property
    def base_url(self) -> str:
        """Its address in the form that declared model versions are made of."""
        return self._client.base_url

    def model_version_of(self, requested: str) -> str:
        """Return the declared version of a model of this name here, listed or not."""
        return declared_model_version(self.name, self.base_url, requested)

    async def list_models(self) -> tuple[UpstreamModel, ...]:
        """Ask `GET /models`. Raises `UpstreamError`."""
        listed = (await self._client.fetch("GET", "/models")).get("data")
        if not isinstance(listed, list) or len(listed) > self._limits.models_max:
            raise UpstreamMalformed(f"the upstream {self.name!r} does not list its models")
        names = [model.get("id") if isinstance(model, dict) else None for model in listed]
        if not all(isinstance(name, str) and 0 < len(name) <= 256 for name in names):
            raise UpstreamMalformed(f"the upstream {self.name!r} lists a model without a name")
        return tuple(UpstreamModel(name, self.model_version_of(name), None) for name in names if name is not None)

    async def complete(self, request: JsonObject, *, tenant_salt: str) -> Completion:
        """Send *request* and return the whole answer. Raises `UpstreamError`."""
        body = outgoing(request, cache_salt=self._salt(tenant_salt), stream=False)
        response = await self._client.fetch("POST", "/chat/completions", body)
        check_completion(response, self._limits)
        return Completion(response, None)

    async def stream(self, request: JsonObject, *, tenant_salt: str) -> AsyncGenerator[Chunk | Completion, None]:
        """Send *request*, yield its chunks and last the whole answer. Raises `UpstreamError`."""
        body = outgoing(request, cache_salt=self._salt(tenant_salt), stream=True)
        assembler = Assembler(self._limits)
        async with aclosing(self._client.stream("/chat/completions", body)) as events:
            async for event in events:
                assembler.add(event)
                yield Chunk(event)
        yield Completion(assembler.finish(), None)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    def _salt(self, tenant_salt: str) -> str | None:
        return tenant_salt if self._passes_cache_salt else None
