"""Server-sent events of a chat stream, read strictly: what is not whole and well formed is an error, never an end.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, narrowed: only the fields of the standard, only
UTF-8, only the event names a chat stream has, and exactly one `[DONE]` with nothing behind it.
"""

from __future__ import annotations

from typing import Final

from crypto.canonical import parse_json
from crypto.errors import EncodingError
from server.ports import JsonObject
from server.upstream.errors import UpstreamMalformed, UpstreamUnavailable
from server.upstream.limits import UpstreamLimits

NODES_MAX: Final = 200_000
_FIELDS: Final = frozenset({"data", "event", "id", "retry"})


class EventReader:
    """Turns the bytes of one stream into its JSON events; `is_done` after `[DONE]`."""

    def __init__(self, limits: UpstreamLimits) -> None:
        self._limits = limits
        self._pending = bytearray()
        self._after_return = False
        self._data: list[str] = []
        self._event = ""
        self._event_bytes = 0
        self._bytes = 0
        self._events = 0
        self.is_done = False

    def feed(self, part: bytes) -> list[JsonObject]:
        """Return the events that *part* completes.

        Raises `UpstreamMalformed` for everything out of form and `UpstreamUnavailable` for a reported error.
        """
        self._bytes += len(part)
        if self._bytes > self._limits.response_bytes_max:
            raise UpstreamMalformed(f"the stream is longer than {self._limits.response_bytes_max} bytes")
        found = []
        for line in self._lines(part):
            event = self._take_line(line)
            if event is not None:
                found.append(event)
        if len(self._pending) > self._limits.event_bytes_max:
            raise UpstreamMalformed(f"an event is longer than {self._limits.event_bytes_max} bytes")
        return found

    def finish(self) -> None:
        """Say that the connection ended; raises `UpstreamMalformed` where the stream had not."""
        if not self.is_done:
            raise UpstreamMalformed("the stream ended without [DONE]")
        if self._data or self._pending.strip():
            raise UpstreamMalformed("there is data behind [DONE]")

    def _lines(self, part: bytes) -> list[bytes]:
        if not part:
            return []
        # CRLF is one line end, also where the network cut between the two.
        if self._after_return and part.startswith(b"\n"):
            part = part[1:]
        self._after_return = part.endswith(b"\r")
        self._pending += part
        # Only a line end is worth a look at what was kept, so that many small parts cost no more than one large.
        if b"\n" not in part and b"\r" not in part:
            return []
        lines = bytes(self._pending).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._pending = bytearray(lines.pop())
        return lines

    def _take_line(self, line: bytes) -> JsonObject | None:
        if not line:
            return self._dispatch()
        if line.startswith(b":"):
            return None
        self._event_bytes += len(line)
        if self._event_bytes > self._limits.event_bytes_max:
            raise UpstreamMalformed(f"an event is longer than {self._limits.event_bytes_max} bytes")
        try:
            name, _, value = line.decode("utf-8").partition(":")
        except UnicodeDecodeError:
            raise UpstreamMalformed("the stream is not UTF-8") from None
        if name not in _FIELDS:
            raise UpstreamMalformed("the stream is not made of server-sent events")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        return None

    def _dispatch(self) -> JsonObject | None:
        data, event = "\n".join(self._data), self._event
        had_data = bool(self._data)
        self._data, self._event, self._event_bytes = [], "", 0
        if event == "error":
            raise UpstreamUnavailable("the upstream reported an error in mid-stream")
        if not had_data:
            return None
        if self.is_done:
            raise UpstreamMalformed("there is data behind [DONE]")
        if event not in ("", "message"):
            raise UpstreamMalformed("the stream has an event that chat streams do not have")
        if data == "[DONE]":
            self.is_done = True
            return None
        self._events += 1
        if self._events > self._limits.events_max:
            raise UpstreamMalformed(f"the stream has more than {self._limits.events_max} events")
        return _parse(data)


def _parse(data: str) -> JsonObject:
    try:
        value = parse_json(data.encode(), nodes_max=NODES_MAX)
    except EncodingError:
        raise UpstreamMalformed("an event of the stream is not JSON") from None
    if not isinstance(value, dict):
        raise UpstreamMalformed("an event of the stream is not an object")
    if value.get("error") is not None:
        raise UpstreamUnavailable("the upstream reported an error in mid-stream")
    return value
