"""The runner's HTTP: who may ask, what a body may be, and how answers and errors travel.

No rule about models lives here; `server.runner.answers` and `server.runner.beside` answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final, TypeAlias, TypeVar

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from crypto.canonical import parse_json
from crypto.ed25519 import Signer
from crypto.errors import EncodingError, Error
from server.embedding.errors import TextError
from server.ports import Clock, JsonObject, RandomSource
from server.runner.answers import Answerer, EngineAnswerer
from server.runner.commitments import Commits
from server.runner.embeddings import EmbedderLoader, EmbeddingStatementMaker
from server.runner.engine import Engine
from server.runner.errors import (
    EmbeddingNotSigned,
    GenerationFailed,
    ModelUnknown,
    NotRestated,
    RequestInvalid,
    RunnerBusy,
    RunnerConfigurationError,
)
from server.runner.events import EventStream
from server.runner.limits import RunnerLimits
from server.runner.protocol import (
    COMPLETIONS_PATH,
    EMBEDDING_STATEMENTS_PATH,
    HEALTH_PATH,
    MANIFESTS_PATH,
    MODELS_PATH,
    RESTATEMENTS_PATH,
    manifests_object,
    models_object,
)
from server.runner.restatements import RestatementMaker
from server.runner.signing import make_restatement_maker, make_statement_makers
from server.upstream.errors import CircuitOpen, UpstreamError, UpstreamRejected, UpstreamTimeout

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
Result = TypeVar("Result")

TOKEN_LENGTH_MIN: Final = 32
#: First match wins: error class, HTTP status, OpenAI error type.
_STATUSES: Final[tuple[tuple[type[Error], int, str], ...]] = (
    (EncodingError, 400, "invalid_request_error"),
    (RequestInvalid, 400, "invalid_request_error"),
    (ModelUnknown, 404, "invalid_request_error"),
    (EmbeddingNotSigned, 409, "invalid_request_error"),
    (NotRestated, 409, "invalid_request_error"),
    (TextError, 400, "invalid_request_error"),
    (RunnerBusy, 503, "overloaded_error"),
    (CircuitOpen, 503, "overloaded_error"),
    (UpstreamTimeout, 504, "upstream_error"),
    (UpstreamError, 502, "upstream_error"),
    (GenerationFailed, 500, "server_error"),
    (Error, 500, "server_error"),
)
_NO_STORE: Final = {"cache-control": "no-store"}


def create_runner_app(
    engines: Sequence[Engine],
    *,
    token: str,
    clock: Clock,
    random_source: RandomSource,
    limits: RunnerLimits | None = None,
    signer: Signer | None = None,
    embedder_loaders: Sequence[EmbedderLoader] = (),
    commit: Commits | None = None,
) -> Starlette:
    """Return the app that answers from *engines*, which it does not load or unload.

    It signs with *signer*, if there is one, recomputes vectors with what *embedder_loaders* give when first asked, and
    commits to them with *commit*, else under the ceremony's file that came along.
    Raises `RunnerConfigurationError` for a short *token*, no engine or two of one name, and `EncodingError` for an
    engine whose manifest is not one.
    """
    limits = limits or RunnerLimits()
    statements, embeddings = make_statement_makers(
        signer, embedder_loaders, clock=clock, random_source=random_source, limits=limits, commit=commit
    )
    answerer = EngineAnswerer(engines, limits=limits, clock=clock, random_source=random_source, statements=statements)
    restatements = make_restatement_maker(signer, clock=clock, random_source=random_source)
    return create_app(answerer, token=token, limits=limits, embeddings=embeddings, restatements=restatements)


def create_app(
    answerer: Answerer,
    *,
    token: str,
    limits: RunnerLimits,
    embeddings: EmbeddingStatementMaker | None = None,
    restatements: RestatementMaker | None = None,
) -> Starlette:
    """Return the app in front of *answerer*; every path but the health check needs `Authorization: Bearer token`."""
    if len(token) < TOKEN_LENGTH_MIN:
        raise RunnerConfigurationError(f"the runner's token is shorter than {TOKEN_LENGTH_MIN} characters")
    guard = _Guard(token)
    endpoints = _Endpoints(answerer, limits, embeddings, restatements)
    routes = [
        Route(HEALTH_PATH, _health, methods=["GET"]),
        Route(MODELS_PATH, guard(endpoints.models), methods=["GET"]),
        Route(MANIFESTS_PATH, guard(endpoints.manifests), methods=["GET"]),
        Route(COMPLETIONS_PATH, guard(endpoints.complete), methods=["POST"]),
        Route(EMBEDDING_STATEMENTS_PATH, guard(endpoints.sign_embedding), methods=["POST"]),
        Route(RESTATEMENTS_PATH, guard(endpoints.restate), methods=["POST"]),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await answerer.close()
            if embeddings is not None:
                await embeddings.close()

    return Starlette(routes=routes, lifespan=lifespan)


class _Guard:
    """Wraps endpoints: the bearer token first, and every error of ours as an OpenAI error object."""

    def __init__(self, token: str) -> None:
        self._expected = hashlib.sha256(token.encode()).digest()

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            if not self._admits(request.headers.get("authorization", "")):
                message = "the runner's bearer token is missing or wrong"
                return _error_response(401, {"message": message, "type": "authentication_error"})
            try:
                return await endpoint(request)
            except Error as error:
                return _error_response_of(error)

        return guarded

    def _admits(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        # Digests are compared, so neither the place of the first wrong character nor the length shows in the time.
        given = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(given, self._expected) and scheme.lower() == "bearer"


class _Endpoints:
    def __init__(
        self,
        answerer: Answerer,
        limits: RunnerLimits,
        embeddings: EmbeddingStatementMaker | None,
        restatements: RestatementMaker | None,
    ) -> None:
        self._answerer = answerer
        self._limits = limits
        self._embeddings = embeddings
        self._restatements = restatements

    async def models(self, _: Request) -> Response:
        return _json(models_object(await self._answerer.list_models()))

    async def manifests(self, _: Request) -> Response:
        models = await self._answerer.list_models()
        return _json(manifests_object(models, signing_key=self._answerer.signing_key))

    async def complete(self, request: Request) -> Response:
        body = await _read_body(request, self._limits)
        if body.get("stream") is True:
            return await self._stream(body)
        answer = await _unless_disconnected(request, self._answerer.complete(body))
        return Response(status_code=499) if answer is None else _json(answer)

    async def sign_embedding(self, request: Request) -> Response:
        body = await _read_body(request, self._limits)
        if self._embeddings is None:
            raise EmbeddingNotSigned("this runner has no signing key or no embedder; see --signing-key and --embedder")
        answer = await _unless_disconnected(request, self._embeddings.sign(body))
        return Response(status_code=499) if answer is None else _json(answer)

    async def restate(self, request: Request) -> Response:
        body = await _read_body(request, self._limits)
        if self._restatements is None:
            raise NotRestated("this runner has no signing key; see --signing-key")
        return _json(self._restatements.restate(body))

    async def _stream(self, body: JsonObject) -> Response:
        chunks = self._answerer.stream(body)
        # The first chunk is waited for here, so that whatever is wrong with the request still gets its HTTP status.
        try:
            first = await anext(chunks)
        except StopAsyncIteration:
            raise GenerationFailed("the engine ended before it began") from None
        return EventStream(first, chunks, error_object=error_object)


def error_object(error: Error) -> JsonObject:
    """Return the OpenAI error object of *error*."""
    if isinstance(error, UpstreamRejected):
        return error.error
    kind = next(kind for cls, _, kind in _STATUSES if isinstance(error, cls))
    param = error.param if isinstance(error, RequestInvalid) else None
    return {"message": str(error), "type": kind, "param": param, "code": None}


def _error_response_of(error: Error) -> Response:
    status = next(status for cls, status, _ in _STATUSES if isinstance(error, cls))
    if isinstance(error, UpstreamRejected):
        status = error.status
    response = _error_response(status, error_object(error))
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        response.headers["retry-after"] = str(max(1, round(retry_after_s)))
    return response


def _error_response(status: int, error: JsonObject) -> Response:
    return _json({"error": {"param": None, "code": None} | error}, status)


def _json(value: JsonObject, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, _NO_STORE, "application/json")


async def _health(_: Request) -> Response:
    return _json({"status": "ok"})


async def _read_body(request: Request, limits: RunnerLimits) -> JsonObject:
    data = bytearray()
    try:
        async with asyncio.timeout(limits.body_timeout_s), aclosing(request.stream()) as parts:
            async for part in parts:
                data += part
                if len(data) > limits.body_bytes_max:
                    raise RequestInvalid(f"the body is longer than {limits.body_bytes_max} bytes")
    except TimeoutError:
        raise RequestInvalid(f"the body did not arrive within {limits.body_timeout_s:g} s") from None
    except ClientDisconnect:
        raise RequestInvalid("the client left before its body was complete") from None
    value = parse_json(bytes(data))
    if not isinstance(value, dict):
        raise RequestInvalid("the body is not a JSON object")
    return value


async def _unless_disconnected(request: Request, answer: Awaitable[Result]) -> Result | None:
    """Await *answer*, or cancel it and return None as soon as the client has gone."""
    working = asyncio.ensure_future(answer)
    watching = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
