"""Answers in OpenAI's shapes from engines that speak in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from server.ports import Clock, JsonObject, RandomSource, UpstreamModel
from server.runner.engine import Engine, Generated, Piece
from server.runner.errors import GenerationFailed, ModelUnknown, RunnerConfigurationError
from server.runner.limits import RunnerLimits
from server.runner.protocol import PROVENANCE_FIELD, provenance_object
from server.runner.requests import ChatRequest, read_chat_request
from server.runner.statement_requests import StatementRequest, take_statement_request
from server.runner.statements import Answered, StatementMaker
from server.runner.worker import EngineWorker


class Answerer(Protocol):
    """What stands behind the runner's HTTP: loaded engines, or another server."""

    @property
    def signing_key(self) -> str | None:
        """The public key, in hexadecimal, that statements are signed under; None where nothing is signed."""
        ...

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


@dataclass(frozen=True, slots=True)
class _Job:
    """One request on its way: what was asked of whom, and what of it is to be signed."""

    request: ChatRequest
    worker: EngineWorker
    messages: Any
    asked: StatementRequest | None


class EngineAnswerer:
    """Answers from engines loaded in this process, by name; signs what it is asked to where *statements* is given."""

    def __init__(
        self,
        engines: Sequence[Engine],
        *,
        limits: RunnerLimits,
        clock: Clock,
        random_source: RandomSource,
        statements: StatementMaker | None = None,
    ) -> None:
        workers = {engine.name: EngineWorker(engine, limits) for engine in engines}
        if not workers or len(workers) != len(engines):
            raise RunnerConfigurationError("a runner needs at least one model, and every model a name of its own")
        self._workers = workers
        self._limits = limits
        self._clock = clock
        self._random_source = random_source
        self._statements = statements

    @property
    def signing_key(self) -> str | None:
        """The public key of the statements in hexadecimal, None where nothing is signed."""
        return None if self._statements is None else self._statements.signing_key

    async def list_models(self) -> tuple[UpstreamModel, ...]:
        """Return the loaded models in the order they were given."""
        return tuple(worker.model for worker in self._workers.values())

    async def complete(self, body: JsonObject) -> JsonObject:
        """Generate a whole answer; raises the errors of `server.runner.errors`."""
        job = self._read(body)
        texts: list[str] = []
        async with aclosing(job.worker.generate(job.request.generation)) as items:
            async for item in items:
                if isinstance(item, Generated):
                    _check_pieces(texts, item)
                    return self._completion(job, item)
                texts.append(item.text)
        raise GenerationFailed("the engine ended without a finished answer")

    async def stream(self, body: JsonObject) -> AsyncIterator[JsonObject]:
        """Generate an answer chunk by chunk; raises before the first chunk for everything wrong with the request."""
        job = self._read(body)
        head = self._head(job, "chat.completion.chunk")
        if job.request.include_usage:
            head["usage"] = None
        texts: list[str] = []
        async with aclosing(job.worker.generate(job.request.generation)) as items:
            async for item in items:
                if not texts and isinstance(item, Piece):
                    yield head | {"choices": [_delta_choice({"role": "assistant", "content": "", "refusal": None})]}
                if isinstance(item, Piece):
                    texts.append(item.text)
                    if item.text:
                        yield head | {"choices": [_delta_choice({"content": item.text})]}
                    continue
                _check_pieces(texts, item)
                chunks = _last_chunks(head, item, job.request.include_usage, begun=bool(texts))
                chunks[-1][PROVENANCE_FIELD] = self._provenance(job, item)
                for chunk in chunks:
                    yield chunk

    async def close(self) -> None:
        """End the engines' threads."""
        for worker in self._workers.values():
            await worker.close()

    def _read(self, body: JsonObject) -> _Job:
        asked, body = take_statement_request(body)
        request = read_chat_request(body, self._limits)
        worker = self._workers.get(request.model)
        if worker is None:
            raise ModelUnknown(f"no model {request.model[:64]!r} is loaded here; GET /v1/models lists those that are")
        return _Job(request, worker, body["messages"], asked)

    def _head(self, job: _Job, kind: str) -> JsonObject:
        return {
            "id": "chatcmpl-" + self._random_source.token_bytes(16).hex(),
            "object": kind,
            "created": self._clock.now_ms() // 1000,
            "model": job.request.model,
            "system_fingerprint": "fp_" + job.worker.model.model_version.removeprefix("sha256:")[:16],
        }

    def _completion(self, job: _Job, generated: Generated) -> JsonObject:
        return self._head(job, "chat.completion") | {
            "choices": [_whole_choice(generated)],
            "usage": _usage(generated),
            PROVENANCE_FIELD: self._provenance(job, generated),
        }

    def _provenance(self, job: _Job, generated: Generated) -> JsonObject:
        signed = None
        if job.asked is not None and self._statements is not None:
            answered = Answered(
                model=job.worker.model,
                messages=job.messages,
                choices=[_whole_choice(generated)],
                parameters=generated.parameters,
                prompt_token_ids=generated.prompt_token_ids,
                output_token_ids=generated.output_token_ids,
            )
            signed = self._statements.sign(job.asked, answered)
        return provenance_object(
            job.worker.model.model_version,
            prompt_token_ids=generated.prompt_token_ids,
            output_token_ids=generated.output_token_ids,
            parameters=generated.parameters,
            statement=None if signed is None else signed.statement,
            openings=None if signed is None else signed.openings,
        )


def _whole_choice(generated: Generated) -> JsonObject:
    """Return the choice of a whole answer; the chunks of a stream make up the same one."""
    return {
        "index": 0,
        "message": {"role": "assistant", "content": generated.text, "refusal": None},
        "logprobs": None,
        "finish_reason": generated.finish_reason,
    }


def _last_chunks(head: JsonObject, generated: Generated, include_usage: bool, *, begun: bool) -> list[JsonObject]:
    delta: JsonObject = {} if begun else {"role": "assistant", "content": "", "refusal": None}
    chunks = [head | {"choices": [_delta_choice(delta, generated.finish_reason)]}]
    if include_usage:
        chunks.append(head | {"choices": [], "usage": _usage(generated)})
    return chunks


def _delta_choice(delta: JsonObject, finish_reason: str | None = None) -> JsonObject:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _usage(generated: Generated) -> JsonObject:
    prompt, completion = len(generated.prompt_token_ids), len(generated.output_token_ids)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _check_pieces(texts: Sequence[str], generated: Generated) -> None:
    """Refuse an answer whose streamed form would differ from its whole form: both are signed as one."""
    if "".join(texts) != generated.text:
        raise GenerationFailed("the engine's pieces do not make up its answer")
