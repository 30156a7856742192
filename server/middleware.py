"""The outermost layer, in plain ASGI: request id, size and time limits, places, headers, and the last catch.

No `BaseHTTPMiddleware`: it costs three times as much and gets cancellation wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crypto.errors import Error
from server.errors import Overloaded, RequestError, Shown, error_response, show
from server.ports import RandomSource
from server.settings import Settings
from server.telemetry import Telemetry

log = structlog.get_logger()

HEADER_BYTES_MAX: Final = 16_384
HEADERS_MAX: Final = 64
URL_BYTES_MAX: Final = 4_096
WITHOUT_PLACE: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class _TooLarge(Exception):
    """The body passed its limit while it was read."""


class _TooSlow(Exception):
    """The body did not arrive in time."""


class Edge:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp, *, settings: Settings, telemetry: Telemetry, random: RandomSource) -> None:
        self._app = app
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
        shown = _doubt_head(scope, self._settings)
        if shown is not None:
            await exchange.answer(shown)
            return
        if scope["path"] in WITHOUT_PLACE:
            await self._serve(scope, exchange)
            return
        if self.is_draining:
            await exchange.answer(show(Overloaded("shutting down; try another instance")))
            return
        try:
            async with asyncio.timeout(self._settings.queue_wait_s):
                await self._places.acquire()
        except TimeoutError:
            await exchange.answer(show(Overloaded("every place is taken; try again in a moment")))
            return
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

    async def _serve(self, scope: Scope, exchange: _Exchange) -> None:
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Error as error:
            await exchange.answer(show(error))
        except _TooLarge:
            limit = self._settings.body_bytes_max
            await exchange.answer(
                Shown(413, "invalid_request_error", "body_too_large", f"the body is larger than {limit} bytes")
            )
        except _TooSlow:
            await exchange.answer(
                Shown(408, "invalid_request_error", "body_too_slow", "the body did not arrive in time")
            )
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

    async def receive(self) -> Message:
        """Pass a message on, counting the body and its time."""
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline_s):
                message = await self._receive()
        except TimeoutError:
            raise _TooSlow from None
        if message["type"] == "http.request":
            self._received_bytes += len(message.get("body", b""))
            if self._received_bytes > self._settings.body_bytes_max:
                raise _TooLarge
            self._complete = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on; the head gets the headers that every answer has."""
        if message["type"] == "http.response.start":
            self._started = True
            headers: list[tuple[bytes, bytes]] = list(message.get("headers", []))
            headers += [
                (b"x-request-id", self.request_id.encode()),
                (b"cache-control", b"no-store"),
                (b"x-content-type-options", b"nosniff"),
            ]
            message = {**message, "headers": headers}
        await self._send(message)

    async def answer(self, shown: Shown) -> None:
        """Answer with an error, unless an answer has begun; a body that was not read to its end closes the connection."""
        if self._started:
            return
        response = error_response(self._scope["path"], shown, request_id=self.request_id)
        if not self._complete and self._scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            response.headers["Connection"] = "close"
        with contextlib.suppress(OSError):
            await response(self._scope, self._receive, self.send)


def _doubt_head(scope: MutableMapping[str, Any], settings: Settings) -> Shown | None:
    headers = scope["headers"]
    if len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"") > URL_BYTES_MAX:
        return Shown(414, "invalid_request_error", "url_too_long", f"the URL is longer than {URL_BYTES_MAX} bytes")
    if len(headers) > HEADERS_MAX or sum(len(name) + len(value) for name, value in headers) > HEADER_BYTES_MAX:
        return Shown(431, "invalid_request_error", "headers_too_large", f"more than {HEADERS_MAX} headers or "
                     f"{HEADER_BYTES_MAX} bytes of them")  # fmt: skip
    for name, value in headers:
        if name == b"content-length" and (not value.isdigit() or int(value) > settings.body_bytes_max):
            if not value.isdigit():
                return show(RequestError("the Content-Length is no number"))
            return Shown(
                413, "invalid_request_error", "body_too_large",
                f"the body is larger than {settings.body_bytes_max} bytes",
            )  # fmt: skip
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            return Shown(415, "invalid_request_error", "content_encoding", "send the body uncompressed")
    return None
