"""The outermost layer, in plain ASGI: request id, size and time limits, places, headers, and the last catch.

No `BaseHTTPMiddleware`: it costs three times as much and gets cancellation wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crypto.errors import Error
from server.errors import Overloaded, RequestError, Shown, error_response, show
from server.ports import RandomSource
from server.protocol import HEADER_BYTES_MAX, HEADERS_MAX, HEADERS_TOO_LARGE, URL_BYTES_MAX, URL_TOO_LONG
from server.settings import Settings
from server.telemetry import Telemetry

log = structlog.get_logger()

CACHEABLE: Final = "/log/"
WITHOUT_PLACE: Final = frozenset({"/healthz", "/readyz", "/metrics"})


#: Headers that mean one thing only: two of them are two requests to two readers.
ONLY_ONCE: Final = frozenset({b"host", b"content-type", b"content-length", b"content-encoding", b"idempotency-key"})


class BodyTooLarge(RequestError):
    """The body passed its limit."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than {limit_bytes} bytes", code="body_too_large", status=413)


class BodyTooSlow(RequestError):
    """The body did not arrive in time."""

    def __init__(self) -> None:
        super().__init__("the body did not arrive in time", code="body_too_slow", status=408)


DirectEndpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class Edge:
    """Wraps the whole application; calls the endpoints in *direct*, by method and path, past the framework's layers.

    They are the framework's own routes too, for the document and every other method; the way round saves a sixth of an
    exact hit (docs/explanation/serving.md).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        telemetry: Telemetry,
        random: RandomSource,
        direct: Mapping[tuple[str, str], DirectEndpoint],
        with_parameters: tuple[bytes, ...] = (),
    ) -> None:
        self._app = app
        self._direct = direct
        self._with_parameters = with_parameters
        self._settings = settings
        self._telemetry = telemetry
        self._random = random
        self._places = asyncio.Semaphore(settings.concurrency_max)
        self.is_draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http":
            await self._refuse_other(scope, receive, send)
            return
        request_id = self._new_request_id()
        scope["request_id"] = request_id
        exchange = _Exchange(scope, receive, send, self._settings, request_id)
        shown = _doubt_head(scope, self._settings) or self._doubt_path(scope.get("raw_path") or b"")
        if shown is not None:
            await exchange.refuse(shown)
            return
        if scope["path"] in WITHOUT_PLACE:
            await self._serve(scope, exchange)
            return
        if self.is_draining:
            await exchange.answer(show(Overloaded("shutting down; try another instance")))
            return
        if self._places.locked():
            try:
                async with asyncio.timeout(self._settings.queue_wait_s):
                    await self._places.acquire()
            except TimeoutError:
                await exchange.answer(show(Overloaded("every place is taken; try again in a moment")))
                return
        else:
            await self._places.acquire()
        self._telemetry.in_progress.inc()
        try:
            await self._serve(scope, exchange)
        finally:
            self._telemetry.in_progress.dec()
            self._places.release()

    def _new_request_id(self) -> str:
        """Name the request; a failing source of randomness costs it its name, and whatever needs chance refuses itself."""
        try:
            return self._random.token_bytes(8).hex()
        except OSError:
            return "0" * 16

    def _doubt_path(self, raw_path: bytes) -> Shown | None:
        """Refuse a path that spells its fixed part in escapes: a proxy that guards paths would not know it."""
        if b"%" not in raw_path or raw_path.startswith(self._with_parameters):
            return None
        return Shown(404, "invalid_request_error", "not_found", "there is nothing at this path")

    async def _serve(self, scope: Scope, exchange: _Exchange) -> None:
        try:
            endpoint = self._direct.get((scope["method"], scope["path"]))
            if endpoint is None:
                await self._app(scope, exchange.receive, exchange.send)
            else:
                scope["app"] = self._app
                response = await endpoint(Request(scope, exchange.receive, exchange.send))
                await response(scope, exchange.receive, exchange.send)
        except Error as error:
            await exchange.answer(show(error))
        except ClientDisconnect:
            return
        except Exception as error:  # the request's edge: one request fails, the process goes on
            log.error("request_failed", request_id=exchange.request_id, error=type(error).__name__, exc_info=error)
            await exchange.answer(show(Error()))

    async def _refuse_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1003})


class _Exchange:
    """One request and its answer, with limits on what comes in and the common headers on what goes out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: Settings, request_id: str) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._settings = settings
        self.request_id = request_id
        self._received_bytes = 0
        self._complete = False
        self._deadline_s = asyncio.get_running_loop().time() + settings.body_timeout_s
        self._started = False
        self._must_close = False

    async def receive(self) -> Message:
        """Pass a message on, counting the body and its time."""
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline_s):
                message = await self._receive()
        except TimeoutError:
            self._must_close = True
            raise BodyTooSlow from None
        if message["type"] == "http.request":
            self._received_bytes += len(message.get("body", b""))
            if self._received_bytes > self._settings.body_bytes_max:
                self._must_close = True
                raise BodyTooLarge(self._settings.body_bytes_max)
            self._complete = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on; the head gets the headers that every answer has."""
        if message["type"] == "http.response.start":
            self._started = True
            headers: list[tuple[bytes, bytes]] = list(message.get("headers", []))
            headers += [
                (b"x-request-id", self.request_id.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
            # The public log says itself how long its parts may be kept; nothing else may be.
            if not self._scope["path"].startswith(CACHEABLE) or message["status"] != 200:
                headers.append((b"cache-control", b"no-store"))
            if self._must_close or not (self._complete or _has_bounded_body(self._scope)):
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)

    async def refuse(self, shown: Shown) -> None:
        """Answer with an error and close: a request with such a head gets no second chance on its connection."""
        self._must_close = True
        await self.answer(shown)

    async def answer(self, shown: Shown) -> None:
        """Answer with an error, unless an answer has begun."""
        if self._started:
            return
        response = error_response(self._scope["path"], shown, request_id=self.request_id)
        with contextlib.suppress(OSError):
            await response(self._scope, self._receive, self.send)


def _has_bounded_body(scope: Scope) -> bool:
    """Whether what is left of an unread body ends by itself, so that the connection can go on behind it."""
    names = {name for name, _ in scope["headers"]}
    return b"transfer-encoding" not in names and b"expect" not in names


def _doubt_head(scope: MutableMapping[str, Any], settings: Settings) -> Shown | None:
    """Return what is wrong with a request before its body is read, or None."""
    headers = scope["headers"]
    if len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"") > URL_BYTES_MAX:
        return URL_TOO_LONG
    if len(headers) > HEADERS_MAX or sum(len(name) + len(value) for name, value in headers) > HEADER_BYTES_MAX:
        return HEADERS_TOO_LARGE
    if "\0" in scope["path"] or b"%00" in (scope.get("query_string") or b""):
        return show(RequestError("a URL holds no NUL", code="nul_in_url"))
    seen: set[bytes] = set()
    for name, value in headers:
        if name in ONLY_ONCE:
            if name in seen:
                return show(
                    RequestError(f"the header {name.decode()} stands twice; send it once", code="duplicate_header")
                )
            seen.add(name)
        if name == b"content-length" and (not value.isdigit() or int(value[:20]) > settings.body_bytes_max):
            if not value.isdigit():
                return show(RequestError("the Content-Length is no number"))
            return show(BodyTooLarge(settings.body_bytes_max))
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            return Shown(415, "invalid_request_error", "content_encoding", "send the body uncompressed")
    if b"host" not in seen and scope.get("http_version") == "1.1":
        return show(RequestError("HTTP/1.1 needs a Host header", code="missing_host"))
    return None
