"""When to stop calling an upstream, as a pure state machine: every method takes the time, none reads it.

Closed, it counts calls and failures in one-second buckets over a sliding window and opens when enough calls failed.
Open, it admits one probe per interval; a probe that succeeds closes it, everything else leaves it open. Calls that
began before it opened change nothing any more.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass

from server.upstream.errors import CircuitOpen
from server.upstream.limits import UpstreamLimits


class Outcome(enum.Enum):
    """How an admitted call ended; a call that was abandoned says nothing about the upstream."""

    SUCCESS = "success"
    FAILURE = "failure"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to make one call; *period* counts openings and closings, so that late results are recognised."""

    period: int
    is_probe: bool


@dataclass(slots=True)
class _Bucket:
    second: int
    calls: int = 0
    failures: int = 0


class CircuitBreaker:
    """Opens at *breaker_failure_share* of at least *breaker_calls_min* calls within *breaker_window_s*."""

    def __init__(self, name: str, limits: UpstreamLimits) -> None:
        self._name = name
        self._limits = limits
        self._buckets: deque[_Bucket] = deque(maxlen=limits.breaker_window_s + 1)
        self._period = 0
        self._next_probe_s: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are held back now."""
        return self._next_probe_s is not None

    def admit(self, now_s: float) -> Ticket:
        """Admit a call at *now_s* (monotonic seconds); raises `CircuitOpen` while calls are held back."""
        if self._next_probe_s is None:
            return Ticket(self._period, is_probe=False)
        if now_s < self._next_probe_s:
            raise CircuitOpen(
                f"the upstream {self._name!r} failed repeatedly and is being left alone",
                retry_after_s=self._next_probe_s - now_s,
            )
        self._next_probe_s = now_s + self._limits.breaker_probe_interval_s
        return Ticket(self._period, is_probe=True)

    def record(self, ticket: Ticket, outcome: Outcome, now_s: float) -> None:
        """Take note of how the call of *ticket* ended."""
        if ticket.period != self._period or outcome is Outcome.ABANDONED:
            return
        if ticket.is_probe:
            if outcome is Outcome.SUCCESS:
                self._change(None)
            return
        bucket = self._bucket(int(now_s))
        bucket.calls += 1
        bucket.failures += outcome is Outcome.FAILURE
        calls = sum(bucket.calls for bucket in self._buckets)
        failures = sum(bucket.failures for bucket in self._buckets)
        enough = calls >= self._limits.breaker_calls_min
        if enough and failures >= self._limits.breaker_failure_share * calls:
            self._change(now_s + self._limits.breaker_probe_interval_s)

    def _change(self, next_probe_s: float | None) -> None:
        self._next_probe_s = next_probe_s
        self._period += 1
        self._buckets.clear()

    def _bucket(self, second: int) -> _Bucket:
        while self._buckets and self._buckets[0].second <= second - self._limits.breaker_window_s:
            self._buckets.popleft()
        if not self._buckets or self._buckets[-1].second < second:
            self._buckets.append(_Bucket(second))
        return self._buckets[-1]
