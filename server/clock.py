"""The two times and the chance of a real process."""

from __future__ import annotations

import os
import time


class SystemClock:
    """`server.ports.Clock` over the operating system."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()


class SystemRandom:
    """`server.ports.RandomSource` over the operating system's generator; its failure is an error, never a weak value."""

    def token_bytes(self, count: int) -> bytes:
        """Return *count* unpredictable bytes."""
        return os.urandom(count)
