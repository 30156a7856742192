"""From token ids to text that is safe to send: no half characters, no part of a stop text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_REPLACEMENT = "\ufffd"


class IncrementalDecoder:
    """Gives the text each token adds, holding back bytes of an unfinished character.

    A tokenizer's text for a token depends on its neighbours, so a short run is decoded with and without the new token
    and the difference is what it added.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._start = 0
        self._read = 0

    def add(self, token_id: int) -> str:
        """Return the text that became complete with *token_id*, empty inside a character."""
        self._ids.append(token_id)
        text = self._new_text()
        if not text or text.endswith(_REPLACEMENT):
            return ""
        self._start, self._read = self._read, len(self._ids)
        return text

    def flush(self) -> str:
        """Return what was held back; an unfinished character comes as U+FFFD."""
        text = self._new_text()
        self._start = self._read = len(self._ids)
        return text

    def _new_text(self) -> str:
        known = self._decode(self._ids[self._start : self._read])
        return self._decode(self._ids[self._start :])[len(known) :]


class StopScanner:
    """Passes text on until one of the stop texts appears; what may be the beginning of one waits."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.is_stopped = False

    def feed(self, text: str) -> str:
        """Return what may be sent after *text*; after a stop text, `is_stopped` and nothing more."""
        if self.is_stopped:
            return ""
        self._held += text
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            self.is_stopped = True
            safe, self._held = self._held[: min(places)], ""
            return safe
        kept = max((self._overlap(stop) for stop in self._stops), default=0)
        cut = len(self._held) - kept
        safe, self._held = self._held[:cut], self._held[cut:]
        return safe

    def flush(self) -> str:
        """Return what waited, at the end of the answer."""
        safe, self._held = self._held, ""
        return safe

    def _overlap(self, stop: str) -> int:
        longest = min(len(stop) - 1, len(self._held))
        return next((length for length in range(longest, 0, -1) if self._held.endswith(stop[:length])), 0)
