"""Whether and when to ask once more: never a storm, never sooner than the upstream asked for."""

from __future__ import annotations

import math
import re
from typing import Final

from server.ports import RandomSource
from server.upstream.limits import UpstreamLimits

_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_TOKENS_MAX: Final = 10.0


class RetryBudget:
    """Allows retries up to a share of all calls: each call earns a part of a retry, each retry spends a whole one.

    It begins empty, so that at no time more than *share* of the calls so far were retries, and saves up at most ten.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._tokens = 0.0

    def earn(self) -> None:
        """Count one call."""
        self._tokens = min(_TOKENS_MAX, self._tokens + self._share)

    def spend(self) -> bool:
        """Take one retry out of the budget; False where there is none."""
        # Sums of 0.1 fall short of 1 by rounding; the slack is far below one call's share.
        if self._tokens < 1.0 - 1e-9:
            return False
        self._tokens -= 1.0
        return True


def retry_delay_s(
    attempt: int, retry_after_s: float | None, random_source: RandomSource, limits: UpstreamLimits
) -> float | None:
    """Return how long to wait before retry number *attempt* (from 0), or None where waiting would be too long.

    Full jitter: uniform between nothing and the exponential bound, on top of what `Retry-After` asked for.
    """
    bound_s = min(limits.retry_wait_max_s, limits.retry_wait_base_s * 2**attempt)
    delay_s = bound_s * int.from_bytes(random_source.token_bytes(6), "big") / 2**48 + (retry_after_s or 0.0)
    return delay_s if delay_s <= limits.retry_wait_max_s else None


def parse_retry_after(value: str | None) -> float | None:
    """Read a `Retry-After` header in seconds; the date form is not honoured, because it needs their clock to be ours.

    A date reads as infinite, so that it stops retries instead of hurrying them.
    """
    if value is None:
        return None
    text = value.strip()
    return float(text) if _SECONDS.fullmatch(text) else math.inf
