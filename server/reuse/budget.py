"""The token budget of a tenant: what may be computed upstream in a minute. Hits cost nothing of it."""

from __future__ import annotations

import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from crypto.errors import Error
from tenants.identifiers import TenantId
from tenants.quotas import Quota


class BudgetSpent(Error):
    """The tenant's tokens of this minute are used up; stored answers still come. Try again after *retry_after_s*."""

    def __init__(self, tokens_per_minute: int, retry_after_s: int) -> None:
        super().__init__(
            f"more than {tokens_per_minute} tokens were computed in a minute; wait, or ask for a higher quota"
        )
        self.retry_after_s = retry_after_s


class TokenBudget:
    """Counts tokens after they were computed: a tenant may overdraw by what is in the air, and then waits."""

    def __init__(self) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def check(self, tenant: TenantId, quota: Quota) -> None:
        """Raise `BudgetSpent` when nothing is left of this minute."""
        item = RateLimitItemPerMinute(quota.tokens_per_minute)
        if not await self._limiter.test(item, tenant):
            reset_s = (await self._limiter.get_window_stats(item, tenant)).reset_time
            raise BudgetSpent(quota.tokens_per_minute, max(1, int(reset_s - time.time()) + 1))

    async def spend(self, tenant: TenantId, quota: Quota, tokens: int) -> None:
        """Count *tokens* that were computed."""
        if tokens > 0:
            await self._limiter.hit(RateLimitItemPerMinute(quota.tokens_per_minute), tenant, cost=tokens)
