"""A clock that runs as real ones do and is moved on when nothing happens: a month passes in a moment."""

from __future__ import annotations

import time


class MovedClock:
    """Starts at *start_ms*, runs, and jumps ahead when told to; never goes back."""

    def __init__(self, start_ms: int) -> None:
        self._ahead_ms = start_ms - _real_ms()
        self._ahead_s = 0.0

    def now_ms(self) -> int:
        return _real_ms() + self._ahead_ms

    def monotonic_s(self) -> float:
        return time.monotonic() + self._ahead_s

    def move_to(self, at_ms: int) -> None:
        """Let time pass until *at_ms*."""
        step_ms = max(0, at_ms - self.now_ms())
        self._ahead_ms += step_ms
        self._ahead_s += step_ms / 1000


def _real_ms() -> int:
    return time.time_ns() // 1_000_000
