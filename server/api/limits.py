"""Rates and places per key and tenant: what one caller may ask of the others' machine."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from server.errors import RateLimited
from tenants.identifiers import KeyId, TenantId
from tenants.quotas import Quota


class RequestLimits:
    """Counts requests per minute and requests in progress; one process, so several workers allow as many times as much."""

    def __init__(self) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._in_progress: Counter[str] = Counter()

    def count(self, tenant: TenantId, quota: Quota) -> None:
        """Count one request of *tenant*; raises `RateLimited`."""
        item = RateLimitItemPerMinute(quota.requests_per_minute)
        if not self._limiter.hit(item, tenant):
            reset_s = self._limiter.get_window_stats(item, tenant).reset_time
            raise RateLimited(
                f"more than {quota.requests_per_minute} requests in a minute; wait or ask for a higher quota",
                retry_after_s=max(1, int(reset_s - time.time()) + 1),
            )

    @contextlib.contextmanager
    def place(self, tenant: TenantId, key: KeyId, quota: Quota) -> Iterator[None]:
        """Hold one of the tenant's places for the time of a request; raises `RateLimited`."""
        if self._in_progress[tenant] >= quota.concurrent_requests_max:
            raise RateLimited(
                f"more than {quota.concurrent_requests_max} requests at once; wait for one to finish",
                retry_after_s=1,
                code="concurrency_limit_exceeded",
            )
        self._in_progress[tenant] += 1
        try:
            yield
        finally:
            self._in_progress[tenant] -= 1
            if self._in_progress[tenant] <= 0:
                del self._in_progress[tenant]
