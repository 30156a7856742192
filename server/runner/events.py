"""Server-sent events to a client that may leave at any moment."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

import anyio
import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from crypto.errors import Error
from server.ports import JsonObject


class EventStream(Response):
    """Sends *first* and *rest* as `data:` events and `[DONE]`; ends without it, after an error event, on an error.

    The source is closed however the response ends, so that a client that leaves stops the work behind it.
    """

    def __init__(
        self, first: JsonObject, rest: AsyncIterator[JsonObject], *, error_object: Callable[[Error], JsonObject]
    ) -> None:
        super().__init__(None, 200, {"cache-control": "no-store", "x-accel-buffering": "no"}, "text/event-stream")
        del self.headers["content-length"]
        self._first = first
        self._rest = rest
        self._error_object = error_object

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until the source ends, fails, or the client leaves."""
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(watch)
            await self._send_events(send)
            group.cancel_scope.cancel()

    async def _send_events(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(_events(self._first, self._rest, self._error_object)) as events:
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _events(
    first: JsonObject, rest: AsyncIterator[JsonObject], error_object: Callable[[Error], JsonObject]
) -> AsyncGenerator[bytes, None]:
    try:
        yield _event(first)
        async for value in rest:
            yield _event(value)
        yield b"data: [DONE]\n\n"
    except Error as error:
        yield _event({"error": error_object(error)})
    finally:
        close = getattr(rest, "aclose", None)
        if close is not None:
            await close()


def _event(value: JsonObject) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
