"""When an answer of the pool leaves, so that its moment says nothing of what was found or how long that took.

The work is done first; then the answer waits for a deadline. `quantised`: the deadlines are whole steps since the request
began, none before the floor, and work that ends behind one waits for the next. `sampled_miss`: the deadline is drawn from
how long the tenant's own misses took lately, of the same model and about the same length, so that a hit takes a miss's
time; it falls back to steps while there are too few. Nothing is ever added at random to a deadline: noise of that kind
is averaged away.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from math import ceil
from typing import Final, TypeAlias

from server.ports import Clock, RandomSource
from server.reuse.policy import PoolClock
from tenants.identifiers import TenantId

#: Fewer misses than these say little about the next one.
SAMPLES_MIN: Final = 16
SAMPLES_MAX: Final = 64
#: Models and lengths of one tenant that are told apart; the one used longest ago goes.
BUCKETS_MAX: Final = 64

Sleep: TypeAlias = Callable[[float], Awaitable[object]]
_Buckets: TypeAlias = OrderedDict[tuple[str, int], deque[float]]


class ReleaseClock:
    """Holds answers of the pool back, each by its caller's policy."""

    def __init__(
        self,
        clock: Clock,
        random: RandomSource,
        *,
        step_ms: int,
        floor_ms: int,
        tenants_max: int,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Remember the misses of at most *tenants_max* tenants."""
        self._clock = clock
        self._random = random
        self._step_ms = step_ms
        self._floor_ms = floor_ms
        self._tenants_max = tenants_max
        self._sleep = sleep
        self._misses: OrderedDict[TenantId, _Buckets] = OrderedDict()

    def note_miss(self, tenant: TenantId, model: str, output_tokens: int, latency_s: float) -> None:
        """Remember how long an answer of that many tokens took that *tenant* had computed."""
        buckets = self._misses.setdefault(tenant, OrderedDict())
        self._misses.move_to_end(tenant)
        while len(self._misses) > self._tenants_max:
            self._misses.popitem(last=False)
        key = (model, output_tokens.bit_length())
        buckets.setdefault(key, deque(maxlen=SAMPLES_MAX)).append(latency_s)
        buckets.move_to_end(key)
        while len(buckets) > BUCKETS_MAX:
            buckets.popitem(last=False)

    async def hold(
        self, mode: PoolClock, tenant: TenantId, model: str, output_tokens: int, *, started_s: float
    ) -> None:
        """Wait until an answer may leave to a request that began at *started_s*; being cancelled changes nothing."""
        if mode == "fast":
            return
        elapsed_s = self._clock.monotonic_s() - started_s
        wanted_s = self._draw(tenant, model, output_tokens) if mode == "sampled_miss" else None
        if wanted_s is None or wanted_s < elapsed_s:
            wanted_s = quantised_s(elapsed_s, step_ms=self._step_ms, floor_ms=self._floor_ms)
        await self._sleep(wanted_s - elapsed_s)

    def _draw(self, tenant: TenantId, model: str, output_tokens: int) -> float | None:
        samples = self._misses.get(tenant, OrderedDict()).get((model, output_tokens.bit_length()))
        if samples is None or len(samples) < SAMPLES_MIN:
            return None
        return samples[int.from_bytes(self._random.token_bytes(8), "big") % len(samples)]


def quantised_s(elapsed_s: float, *, step_ms: int, floor_ms: int) -> float:
    """Return the first whole multiple of the step that is neither before the floor nor before *elapsed_s*."""
    return max(ceil(floor_ms / step_ms), ceil(elapsed_s * 1000 / step_ms)) * step_ms / 1000
