"""HTTP/1.1 as it comes from the network: limits on heads, time and pipelines, below the application.

uvicorn's httptools protocol waits for a request's head without limit of time or size; what stands here bounds both, and
refuses whatever two parsers could read differently. What is refused is answered in the form that its path promises, and
its connection is closed: behind bytes that cannot be understood nothing can be trusted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from server.errors import Shown, error_response

HEADER_BYTES_MAX: Final = 16_384
HEADERS_MAX: Final = 64
URL_BYTES_MAX: Final = 4_096
#: A head whose bytes arrive piece by piece may have no more of them: fields and URL at their limits, and their ends.
HEAD_BYTES_MAX: Final = 32_768
#: Requests that wait behind one in progress on the same connection.
PIPELINED_MAX: Final = 64

URL_TOO_LONG: Final = Shown(
    414, "invalid_request_error", "url_too_long", f"the URL is longer than {URL_BYTES_MAX} bytes; shorten it"
)
HEADERS_TOO_LARGE: Final = Shown(
    431,
    "invalid_request_error",
    "headers_too_large",
    f"more than {HEADERS_MAX} headers or {HEADER_BYTES_MAX} bytes of them; send fewer",
)
HEAD_TOO_SLOW: Final = Shown(
    408, "invalid_request_error", "head_too_slow", "the request's head did not arrive in time; send it at once"
)
MALFORMED: Final = Shown(
    400, "invalid_request_error", "malformed_http", "this is not a well-formed HTTP/1.1 request; nothing was done"
)
NO_OTHER_PROTOCOL: Final = Shown(
    400, "invalid_request_error", "no_other_protocol", "there is no tunnel and no WebSocket here; send plain HTTP/1.1"
)
TOO_MANY_PIPELINED: Final = Shown(
    400,
    "invalid_request_error",
    "too_many_pipelined",
    f"more than {PIPELINED_MAX} requests wait behind one another on this connection; wait for answers",
)


class HeadRefused(Exception):
    """A request's head passed a limit; carries what the client is told."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown.code)
        self.shown = shown


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one process accepts of connections before any request is understood."""

    head_timeout_s: float
    connections_max: int


class GuardedProtocol(HttpToolsProtocol):
    """One connection; a subclass made by `guarded_protocol` carries the limits."""

    limits: ConnectionLimits

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._head_bytes = 0
        self._field_bytes = 0
        self._refusal: Shown | None = None
        self._is_refused = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_without_offer = b""
        self._running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, in the place of the longest idle one when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections_max and not _shed_idle(self.connections, self):
            self.transport.close()
            return
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless the connection was refused already."""
        if self._is_refused:
            return
        if not self._is_answering:
            self._start_head_timer()
        self._unset_keepalive_if_required()
        was_in_head = self._in_head
        self._feed(data)
        if was_in_head and self._in_head and not self._is_refused:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(HEADERS_TOO_LARGE)

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # The parser takes what follows for another protocol. RFC 9110 7.8 lets a server ignore the offer, and Java's
            # client makes it with every first request: so the head is read again, without the offer.
            head, self._head_without_offer = self._head_without_offer, b""
            self.parser = httptools.HttpRequestParser(self)
            if head:
                self._feed(head + data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("")

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser gave up on; *msg* is uvicorn's and is not shown."""
        self._refuse(self._refusal or MALFORMED)

    def on_message_begin(self) -> None:
        """Begin to count a head."""
        super().on_message_begin()
        self._in_head, self._head_bytes, self._field_bytes = True, 0, 0
        if len(self.pipeline) >= PIPELINED_MAX:
            self._give_up(TOO_MANY_PIPELINED)

    def on_url(self, url: bytes) -> None:
        """Take a piece of the URL."""
        super().on_url(url)
        if len(self.url) > URL_BYTES_MAX:
            self._give_up(URL_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; a line folded as RFC 7230 once allowed is refused."""
        self._field_bytes += len(name) + len(value)
        if len(self.headers) >= HEADERS_MAX or self._field_bytes > HEADER_BYTES_MAX:
            self._give_up(HEADERS_TOO_LARGE)
        if b"\r" in value or b"\n" in value or b"\0" in value:
            self._give_up(MALFORMED)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request, if it is HTTP/1.0 or 1.1."""
        self._in_head = False
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            self._give_up(MALFORMED)
        if self.parser.should_upgrade():
            self._head_without_offer = self._write_head_without_offer()
            return
        self._stop_head_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the request, unless it is about to be read again."""
        if not self._head_without_offer:
            super().on_message_complete()

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress and none has begun to arrive."""
        return not self._is_answering and not self._in_head

    @property
    def _is_answering(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _write_head_without_offer(self) -> bytes:
        """Write the head again as it would be had the client not offered to change the protocol."""
        method = self.parser.get_method()
        if method == b"CONNECT" or any(
            (name, value.lower()) == (b"upgrade", b"websocket") for name, value in self.headers
        ):
            self._give_up(NO_OTHER_PROTOCOL)
        lines = [method + b" " + self.url + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers if name not in (b"upgrade", b"connection")]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _give_up(self, shown: Shown) -> None:
        """Stop the parser from within one of its callbacks."""
        self._refusal = shown
        raise HeadRefused(shown)

    def _refuse(self, shown: Shown) -> None:
        """Answer *shown* where that cannot fall into another answer, and end the connection."""
        if self._is_refused:
            return
        self._is_refused = True
        self._stop_head_timer()
        running = self._running
        if running is None or running.response_complete:
            self._write_refusal(shown)
        elif running is self.cycle and running.more_body and not self._in_head:
            # Its own body is what cannot be understood: the application hears that its client went away.
            if not running.response_started:
                self._write_refusal(shown)
            running.disconnected = True
            running.message_event.set()
        else:
            # A whole request came before the bad bytes: it gets its answer, and nothing behind it does.
            self.pipeline.clear()
            running.keep_alive = False
            return
        self.transport.close()

    def _write_refusal(self, shown: Shown) -> None:
        path = self.url.decode("ascii", "replace") if getattr(self, "url", b"") else "/v1/"
        response = error_response(path.partition("?")[0], shown)
        head = [STATUS_LINE[shown.status], b"connection: close\r\ncache-control: no-store\r\n"]
        head += [name + b": " + value + b"\r\n" for name, value in response.raw_headers]
        self.transport.write(b"".join(head) + b"\r\n" + bytes(response.body))

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.limits.head_timeout_s, self._head_timed_out)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_timed_out(self) -> None:
        self._head_timer = None
        if self._in_head:
            self._refuse(HEAD_TOO_SLOW)
        elif not self._is_answering:
            self.transport.close()


def guarded_protocol(limits: ConnectionLimits) -> type[GuardedProtocol]:
    """Return the protocol class for uvicorn that holds every connection to *limits*."""
    return type("LimitedProtocol", (GuardedProtocol,), {"limits": limits})


def _shed_idle(connections: Iterable[Any], newcomer: GuardedProtocol) -> bool:
    """Close one connection that does nothing; tell whether there was one."""
    for connection in connections:
        if connection is newcomer or not getattr(connection, "is_idle", False) or connection.transport.is_closing():
            continue
        connection.transport.close()
        return True
    return False
