"""A runner beside a server it did not start: it forwards, and declares what it cannot attest.

The model version it gives is the declared one, the manifest null, the token ids unknown.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol

from crypto.manifest import declared_model_version
from server.ports import Chunk, Completion, JsonObject, Upstream, UpstreamModel
from server.runner.errors import RequestInvalid
from server.runner.protocol import PROVENANCE_FIELD, provenance_object
from server.runner.statement_requests import StatementRequest, take_statement_request
from server.runner.statements import Answered, StatementMaker

#: The fields that shape an answer; what the other server made of them, it alone knows.
_PARAMETERS: Final = ("temperature", "top_p", "seed", "n", "max_tokens", "max_completion_tokens", "stop")


class BesideUpstream(Upstream, Protocol):
    """An upstream that knows its own address, which declared versions are made of."""

    @property
    def base_url(self) -> str:
        """The address in the form that is digested."""
        ...


@dataclass(frozen=True, slots=True)
class _Job:
    """One request on its way: the body to forward, what is declared of its model, and what of it is to be signed."""

    body: JsonObject
    model: UpstreamModel
    parameters: JsonObject
    asked: StatementRequest | None


class BesideAnswerer:
    """Answers with what *upstream* says, adding a provenance of grade `declared`, signed where *statements* is given."""

    def __init__(self, upstream: BesideUpstream, *, statements: StatementMaker | None = None) -> None:
        self._upstream = upstream
        self._statements = statements

    @property
    def signing_key(self) -> str | None:
        """The public key of the statements in hexadecimal, None where nothing is signed."""
        return None if self._statements is None else self._statements.signing_key

    async def list_models(self) -> tuple[UpstreamModel, ...]:
        """Return what the other server lists, without manifests."""
        return await self._upstream.list_models()

    async def complete(self, body: JsonObject) -> JsonObject:
        """Forward *body*; raises `server.upstream.errors.UpstreamError` for what the other server does."""
        job = self._read(body)
        completion = await self._upstream.complete(job.body, tenant_salt=_salt(job.body))
        return completion.response | {PROVENANCE_FIELD: self._provenance(job, completion.response)}

    async def stream(self, body: JsonObject) -> AsyncGenerator[JsonObject, None]:
        """Forward *body* as a stream; the last chunk is held until the whole is known to be whole."""
        job = self._read(body)
        held: Chunk | None = None
        whole: Completion | None = None
        async with aclosing(_closing(self._upstream, job.body)) as items:
            async for item in items:
                if isinstance(item, Completion):
                    whole = item
                    continue
                if held is not None:
                    yield held.event
                held = item
        if held is not None and whole is not None:
            yield held.event | {PROVENANCE_FIELD: self._provenance(job, whole.response)}

    async def close(self) -> None:
        """Release the connections to the other server."""
        await self._upstream.close()

    def _read(self, body: JsonObject) -> _Job:
        asked, body = take_statement_request(body)
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise RequestInvalid("model is missing; GET /v1/models lists the names", param="model")
        parameters = {name: _exact(body[name]) for name in _PARAMETERS if body.get(name) is not None}
        version = declared_model_version(self._upstream.name, self._upstream.base_url, model)
        return _Job(body, UpstreamModel(model, version, None), parameters, asked)

    def _provenance(self, job: _Job, response: JsonObject) -> JsonObject:
        signed = None
        if job.asked is not None and self._statements is not None:
            answered = Answered(
                model=job.model,
                messages=job.body.get("messages"),
                choices=response["choices"],
                parameters=job.parameters,
                prompt_token_ids=None,
                output_token_ids=None,
            )
            signed = self._statements.sign(job.asked, answered)
        return provenance_object(
            job.model.model_version,
            prompt_token_ids=None,
            output_token_ids=None,
            parameters=job.parameters,
            statement=None if signed is None else signed.statement,
            openings=None if signed is None else signed.openings,
        )


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
