"""Stop strings in a stream: what may be shown now, and what could still turn out to be the start of one."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import SettingRefused


class StopFilter:
    """Holds text back only while it could begin a stop string; the stop string itself is never shown."""

    def __init__(self, stops: Sequence[str]) -> None:
        """Raises `SettingRefused` for an empty stop string, which would end every answer before it began."""
        if not all(stops):
            raise SettingRefused("a stop string is empty; leave it out or name some text", param="stop")
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """Add *text* and return what may be shown; after a stop string was found, `stopped` is true."""
        self._held += text
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            shown, self._held = self._held[: min(found)], ""
            return shown
        keep = max((self._begun(stop) for stop in self._stops), default=0)
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def finish(self) -> str:
        """Return what was held back; the answer is over and no stop string came."""
        shown, self._held = self._held, ""
        return shown

    def _begun(self, stop: str) -> int:
        """Return the length of the longest end of the held text that begins *stop*."""
        longest = min(len(stop) - 1, len(self._held))
        return next((size for size in range(longest, 0, -1) if self._held.endswith(stop[:size])), 0)
