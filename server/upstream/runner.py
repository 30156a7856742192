"""A hitproof runner as an upstream: every answer comes with the model version and token ids behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

import httpx2

from server.ports import Chunk, Clock, Completion, JsonObject, Provenance, RandomSource, UpstreamModel
from server.runner.protocol import (
    COMPLETIONS_PATH,
    EMBEDDING_STATEMENTS_PATH,
    MANIFESTS_PATH,
    PROVENANCE_FIELD,
    RESTATEMENTS_PATH,
)
from server.upstream.assembly import Assembler
from server.upstream.client import UpstreamClient
from server.upstream.errors import UpstreamMalformed
from server.upstream.limits import UpstreamLimits
from server.upstream.requests import outgoing
from server.upstream.responses import check_completion
from server.upstream.runner_answers import (
    EmbeddingStatementAnswer,
    RestatementAnswer,
    read_embedding_statement,
    read_models,
    read_provenance,
    read_restatement,
)


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
        return read_models(answer, self.name, models_max=self._limits.models_max)

    async def complete(self, request: JsonObject, *, tenant_salt: str) -> Completion:
        """Send *request* and return the whole answer with its provenance. Raises `UpstreamError`."""
        body = outgoing(request, cache_salt=tenant_salt, stream=False, to_runner=True)
        response = await self._client.fetch("POST", COMPLETIONS_PATH, body)
        provenance = read_provenance(response.pop(PROVENANCE_FIELD, None), self.name)
        check_completion(response, self._limits)
        return Completion(response, provenance)

    async def stream(self, request: JsonObject, *, tenant_salt: str) -> AsyncGenerator[Chunk | Completion, None]:
        """Send *request*, yield its chunks and last the whole answer with its provenance. Raises `UpstreamError`."""
        body = outgoing(request, cache_salt=tenant_salt, stream=True, to_runner=True)
        assembler = Assembler(self._limits)
        provenance: Provenance | None = None
        async with aclosing(self._client.stream(COMPLETIONS_PATH, body)) as events:
            async for event in events:
                if provenance is not None:
                    raise UpstreamMalformed(f"{self.name!r} goes on after the provenance of its answer")
                if PROVENANCE_FIELD in event:
                    provenance = read_provenance(event.pop(PROVENANCE_FIELD), self.name)
                assembler.add(event)
                yield Chunk(event)
        if provenance is None:
            raise UpstreamMalformed(f"{self.name!r} ended its answer without {PROVENANCE_FIELD}")
        yield Completion(assembler.finish(), provenance)

    async def embedding_statement(
        self, *, embedder: str, statement: str, tenant: str, text: str, vector: Sequence[int]
    ) -> EmbeddingStatementAnswer:
        """Have the runner recompute *vector* from *text* and sign that it did. Raises `UpstreamError`.

        *embedder* and *statement* are digests, *tenant* a pseudonym; *vector* is the quantised one. A runner whose own
        vector or embedder differs refuses with 409, as `UpstreamRejected`.
        """
        body = {
            "embedder": embedder,
            "statement": statement,
            "tenant": tenant,
            "text": text,
            "vector": [int(part) for part in vector],
        }
        answer = await self._client.fetch("POST", EMBEDDING_STATEMENTS_PATH, body)
        return read_embedding_statement(answer, self.name)

    async def restate(self, asked: JsonObject) -> RestatementAnswer:
        """Have the runner say a statement of its own again, as *asked* by docs/formats.md. Raises `UpstreamError`.

        It refuses with 409, as `UpstreamRejected`, what it did not sign or what is about something else.
        """
        return read_restatement(await self._client.fetch("POST", RESTATEMENTS_PATH, asked), self.name)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()
