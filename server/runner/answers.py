"""Answers in OpenAI's shapes from engines that speak in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from server.ports import Clock, JsonObject, RandomSource, UpstreamModel
from server.runner.engine import Engine, Generated, Piece
from server.runner.errors import GenerationFailed, ModelUnknown, RunnerConfigurationError
from server.runner.limits import RunnerLimits
from server.runner.protocol import PROVENANCE_FIELD, provenance_object
from server.runner.requests import ChatRequest, read_chat_request
from server.runner.worker import EngineWorker


class Answerer(Protocol):
    """What stands behind the runner's HTTP: loaded engines, or another server."""

    async def list_models(self) -> tuple[UpstreamModel, ...]:
        """Return the models that can be asked for now."""
        ...

    async def complete(self, body: JsonObject) -> JsonObject:
        """Return a whole `chat.completion` with its provenance."""
        ...

    def stream(self, body: JsonObject) -> AsyncIterator[JsonObject]:
        """Yield `chat.completion.chunk` objects; the last one carries the provenance."""
        ...

    async def close(self) -> None:
        """Release threads or connections."""
        ...


class EngineAnswerer:
    """Answers from engines loaded in this process, by name."""

    def __init__(
        self, engines: Sequence[Engine], *, limits: RunnerLimits, clock: Clock, random_source: RandomSource
    ) -> None:
        workers = {engine.name: EngineWorker(engine, limits) for engine in engines}
        if not workers or len(workers) != len(engines):
            raise RunnerConfigurationError("a runner needs at least one model, and every model a name of its own")
        self._workers = workers
        self._limits = limits
        self._clock = clock
        self._random_source = random_source

    async def list_models(self) -> tuple[UpstreamModel, ...]:
        """Return the loaded models in the order they were given."""
        return tuple(worker.model for worker in self._workers.values())

    async def complete(self, body: JsonObject) -> JsonObject:
        """Generate a whole answer; raises the errors of `server.runner.errors`."""
        request, worker = self._read(body)
        texts: list[str] = []
        async with aclosing(worker.generate(request.generation)) as items:
            async for item in items:
                if isinstance(item, Generated):
                    _check_pieces(texts, item)
                    return self._completion(request, worker.model, item)
                texts.append(item.text)
        raise GenerationFailed("the engine ended without a finished answer")

    async def stream(self, body: JsonObject) -> AsyncIterator[JsonObject]:
        """Generate an answer chunk by chunk; raises before the first chunk for everything wrong with the request."""
        request, worker = self._read(body)
        head = self._head(request, worker.model, "chat.completion.chunk")
        if request.include_usage:
            head["usage"] = None
        texts: list[str] = []
        async with aclosing(worker.generate(request.generation)) as items:
            async for item in items:
                if not texts and isinstance(item, Piece):
                    yield head | {"choices": [_choice({"role": "assistant", "content": "", "refusal": None})]}
                if isinstance(item, Piece):
                    texts.append(item.text)
                    if item.text:
                        yield head | {"choices": [_choice({"content": item.text})]}
                    continue
                _check_pieces(texts, item)
                for chunk in _last_chunks(head, item, worker.model, request.include_usage, begun=bool(texts)):
                    yield chunk

    async def close(self) -> None:
        """End the engines' threads."""
        for worker in self._workers.values():
            await worker.close()

    def _read(self, body: JsonObject) -> tuple[ChatRequest, EngineWorker]:
        request = read_chat_request(body, self._limits)
        worker = self._workers.get(request.model)
        if worker is None:
            raise ModelUnknown(f"no model {request.model[:64]!r} is loaded here; GET /v1/models lists those that are")
        return request, worker

    def _head(self, request: ChatRequest, model: UpstreamModel, kind: str) -> JsonObject:
        return {
            "id": "chatcmpl-" + self._random_source.token_bytes(16).hex(),
            "object": kind,
            "created": self._clock.now_ms() // 1000,
            "model": request.model,
            "system_fingerprint": "fp_" + model.model_version.removeprefix("sha256:")[:16],
        }

    def _completion(self, request: ChatRequest, model: UpstreamModel, generated: Generated) -> JsonObject:
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": generated.text, "refusal": None},
            "logprobs": None,
            "finish_reason": generated.finish_reason,
        }
        head = self._head(request, model, "chat.completion")
        return head | {
            "choices": [choice],
            "usage": _usage(generated),
            PROVENANCE_FIELD: _provenance(model, generated),
        }


def _last_chunks(
    head: JsonObject, generated: Generated, model: UpstreamModel, include_usage: bool, *, begun: bool
) -> list[JsonObject]:
    delta: JsonObject = {} if begun else {"role": "assistant", "content": "", "refusal": None}
    chunks = [head | {"choices": [_choice(delta, generated.finish_reason)]}]
    if include_usage:
        chunks.append(head | {"choices": [], "usage": _usage(generated)})
    chunks[-1][PROVENANCE_FIELD] = _provenance(model, generated)
    return chunks


def _choice(delta: JsonObject, finish_reason: str | None = None) -> JsonObject:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _usage(generated: Generated) -> JsonObject:
    prompt, completion = len(generated.prompt_token_ids), len(generated.output_token_ids)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _provenance(model: UpstreamModel, generated: Generated) -> dict[str, Any]:
    return provenance_object(
        model.model_version,
        prompt_token_ids=generated.prompt_token_ids,
        output_token_ids=generated.output_token_ids,
        parameters=generated.parameters,
    )


def _check_pieces(texts: Sequence[str], generated: Generated) -> None:
    """Refuse an answer whose streamed form would differ from its whole form: both are signed as one."""
    if "".join(texts) != generated.text:
        raise GenerationFailed("the engine's pieces do not make up its answer")
