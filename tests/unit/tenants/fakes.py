"""Sources of randomness and a clock that tests steer."""

from __future__ import annotations

import hashlib


class CountingRandom:
    """Deterministic bytes that never repeat: SHA-256 of a seed and a counter."""

    def __init__(self, seed: str = "seed") -> None:
        self._seed = seed
        self._drawn = 0

    def token_bytes(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            self._drawn += 1
            found += hashlib.sha256(f"{self._seed}/{self._drawn}".encode()).digest()
        return found[:count]


class ScriptedRandom:
    """Gives the same bytes at every call, whatever was asked for."""

    def __init__(self, given: bytes) -> None:
        self._given = given

    def token_bytes(self, count: int) -> bytes:
        return self._given


class CyclingRandom:
    """Walks through all 256 bytes, over and over, so that every byte comes up equally often."""

    def __init__(self) -> None:
        self._next = 0

    def token_bytes(self, count: int) -> bytes:
        drawn = bytes((self._next + step) % 256 for step in range(count))
        self._next = (self._next + count) % 256
        return drawn


class FailingRandom:
    """The operating system has no entropy to give."""

    def token_bytes(self, count: int) -> bytes:
        raise OSError(5, "Input/output error")


class ManualClock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s
