"""A hitproof runner as an upstream: every answer comes with the model version and token ids behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

import httpx2

from crypto.errors import EncodingError
from crypto.manifest import is_model_version, model_version
from server.ports import Chunk, Clock, Completion, JsonObject, Provenance, RandomSource, UpstreamModel
from server.runner.protocol import COMPLETIONS_PATH, MANIFESTS_PATH, PROTOCOL, PROVENANCE_FIELD
from server.upstream.assembly import Assembler
from server.upstream.client import UpstreamClient
from server.upstream.errors import UpstreamMalformed
from server.upstream.limits import UpstreamLimits
from server.upstream.requests import outgoing
from server.upstream.responses import check_completion

_TOKEN_IDS_MAX: Final = 2**20
_TOKEN_ID_MAX: Final = 2**31 - 1


class RunnerUpstream:
    """Speaks the runner protocol v1 to *base_url*, the runner's root; *token* is its bearer token."""

    def __init__(
        self,
        name: str,
        base_url: str,
        token: str,
        *,
        clock: Clock,
        random_source: RandomSource,
        limits: UpstreamLimits | None = None,
        allow_private: bool = False,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limits = limits or UpstreamLimits()
        self._client = UpstreamClient(
            name,
            base_url,
            token,
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

    async def list_models(self) -> tuple[UpstreamModel, ...]:
        """Ask for the manifests and recompute every version from them. Raises `UpstreamError`."""
        answer = await self._client.fetch("GET", MANIFESTS_PATH)
        listed = answer.get("models")
        if answer.get("protocol") != PROTOCOL or not isinstance(listed, list) or len(listed) > self._limits.models_max:
            raise UpstreamMalformed(f"{self.name!r} does not speak {PROTOCOL}")
        return tuple(_read_model(model, self.name) for model in listed)

    async def complete(self, request: JsonObject, *, tenant_salt: str) -> Completion:
        """Send *request* and return the whole answer with its provenance. Raises `UpstreamError`."""
        body = outgoing(request, cache_salt=tenant_salt, stream=False)
        response = await self._client.fetch("POST", COMPLETIONS_PATH, body)
        provenance = _read_provenance(response.pop(PROVENANCE_FIELD, None), self.name)
        check_completion(response, self._limits)
        return Completion(response, provenance)

    async def stream(self, request: JsonObject, *, tenant_salt: str) -> AsyncGenerator[Chunk | Completion, None]:
        """Send *request*, yield its chunks and last the whole answer with its provenance. Raises `UpstreamError`."""
        body = outgoing(request, cache_salt=tenant_salt, stream=True)
        assembler = Assembler(self._limits)
        provenance: Provenance | None = None
        async with aclosing(self._client.stream(COMPLETIONS_PATH, body)) as events:
            async for event in events:
                if provenance is not None:
                    raise UpstreamMalformed(f"{self.name!r} goes on after the provenance of its answer")
                if PROVENANCE_FIELD in event:
                    provenance = _read_provenance(event.pop(PROVENANCE_FIELD), self.name)
                assembler.add(event)
                yield Chunk(event)
        if provenance is None:
            raise UpstreamMalformed(f"{self.name!r} ended its answer without {PROVENANCE_FIELD}")
        yield Completion(assembler.finish(), provenance)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


def _read_model(value: object, upstream: str) -> UpstreamModel:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not 0 < len(value["name"]) <= 256:
        raise UpstreamMalformed(f"{upstream!r} lists a model without a name")
    name, manifest, version = value["name"], value.get("manifest"), value.get("model_version")
    if not is_model_version(version):
        raise UpstreamMalformed(f"{upstream!r} lists {name!r} without a model version")
    if manifest is None:
        return UpstreamModel(name, version, None)
    try:
        computed = model_version(manifest)
    except EncodingError as error:
        raise UpstreamMalformed(f"{upstream!r} lists {name!r} with a manifest that is none: {error}") from None
    if computed != version:
        raise UpstreamMalformed(f"{upstream!r} lists {name!r} under a version that its manifest does not have")
    return UpstreamModel(name, version, manifest)


def _read_provenance(value: object, upstream: str) -> Provenance:
    if not isinstance(value, dict) or value.get("protocol") != PROTOCOL:
        raise UpstreamMalformed(f"{upstream!r} answered without a {PROVENANCE_FIELD} object of {PROTOCOL}")
    parameters = value.get("parameters")
    if not is_model_version(value.get("model_version")) or not isinstance(parameters, dict):
        raise UpstreamMalformed(f"{upstream!r} answered without model version or parameters")
    return Provenance(
        model_version=value["model_version"],
        prompt_token_ids=_read_token_ids(value.get("prompt_token_ids"), upstream),
        output_token_ids=_read_token_ids(value.get("output_token_ids"), upstream),
        parameters=parameters,
    )


def _read_token_ids(value: object, upstream: str) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > _TOKEN_IDS_MAX:
        raise UpstreamMalformed(f"the token ids of {upstream!r} are not a list")
    if not all(type(token) is int and 0 <= token <= _TOKEN_ID_MAX for token in value):
        raise UpstreamMalformed(f"a token id of {upstream!r} is not one")
    return tuple(value)
