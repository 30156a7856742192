"""Rates and places per tenant and key: what one caller may take of the machine that all share."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from server.errors import RateLimited
from tenants.identifiers import KeyId, TenantId
from tenants.quotas import Quota


@dataclass(slots=True)
class _Places:
    """The places of one tenant or key; it is dropped when nobody is in or waits."""

    taken: int = 0
    waiting: list[asyncio.Future[None]] = field(default_factory=list)


class RequestLimits:
    """Counts requests per minute and in progress; of one process, so several workers allow as many times as much."""

    def __init__(self, *, wait_s: float) -> None:
        self._wait_s = wait_s
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._places: dict[str, _Places] = {}

    async def count(self, tenant: TenantId, quota: Quota) -> None:
        """Count one request of *tenant*; raises `RateLimited`."""
        item = RateLimitItemPerMinute(quota.requests_per_minute)
        if not await self._limiter.hit(item, tenant):
            reset_s = (await self._limiter.get_window_stats(item, tenant)).reset_time
            raise RateLimited(
                f"more than {quota.requests_per_minute} requests in a minute; wait or ask for a higher quota",
                retry_after_s=max(1, int(reset_s - time.time()) + 1),
            )

    @contextlib.asynccontextmanager
    async def place(self, tenant: TenantId, key: KeyId, quota: Quota) -> AsyncIterator[None]:
        """Hold a place of the tenant and one of the key for the time of a request; waits a moment for them.

        Raises `RateLimited` when none came free in time.
        """
        held: list[str] = []
        wanted: tuple[tuple[str, int], ...] = (
            (tenant, quota.concurrent_requests_max),
            (key, quota.concurrent_requests_per_key_max),
        )
        try:
            for owner, places_max in wanted:
                await self._take(owner, places_max)
                held.append(owner)
            yield
        finally:
            for owner in held:
                self._give_back(owner)

    async def _take(self, owner: str, places_max: int) -> None:
        places = self._places.setdefault(owner, _Places())
        if places.taken < places_max:
            places.taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        places.waiting.append(turn)
        try:
            # A place that is given back passes to the first who waits, so `taken` stays as it is.
            await asyncio.wait_for(turn, self._wait_s)
        except TimeoutError:
            raise RateLimited(
                f"more than {places_max} requests at once; wait for one to finish or ask for a higher quota",
                retry_after_s=1,
                code="concurrency_limit_exceeded",
            ) from None
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(owner)
            raise
        finally:
            with contextlib.suppress(ValueError):
                places.waiting.remove(turn)

    def _give_back(self, owner: str) -> None:
        places = self._places[owner]
        while places.waiting:
            turn = places.waiting.pop(0)
            if not turn.done():
                turn.set_result(None)
                return
        places.taken -= 1
        if places.taken == 0:
            del self._places[owner]
