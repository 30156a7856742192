"""How often proofs are made on demand: per tenant and minute in this process, per entry and hour over all of them.

Each proof tells that one more chosen query lies within τ of one stored vector. Nobody needs that often, and who asks often
about one entry is looking for it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from sqlalchemy import Connection

from server.errors import RateLimited
from server.ports import Clock
from server.store.applicability import ApplicabilityRepository
from tenants.identifiers import TenantId

WINDOW_S: Final = 60.0
ENTRY_WINDOW_MS: Final = 3_600_000
#: What is told to whoever reached an entry's limit: when its window moves on is known to the store alone.
ENTRY_RETRY_S: Final = 300
TENANTS_MAX: Final = 10_000


class ProbingLimits:
    """Counts proofs that are about to be made."""

    def __init__(self, clock: Clock, *, per_minute: int, per_entry_hour: int) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._per_entry_hour = per_entry_hour
        self._made: OrderedDict[TenantId, deque[float]] = OrderedDict()

    def count(self, tenant: TenantId) -> None:
        """Count one proof of *tenant*; raises `RateLimited`."""
        now_s = self._clock.monotonic_s()
        made = self._made.setdefault(tenant, deque())
        self._made.move_to_end(tenant)
        while made and made[0] <= now_s - WINDOW_S:
            made.popleft()
        while len(self._made) > TENANTS_MAX:
            self._made.popitem(last=False)
        if len(made) >= self._per_minute:
            wait_s = WINDOW_S if not made else made[0] + WINDOW_S - now_s
            raise RateLimited(
                f"more than {self._per_minute} applicability proofs in a minute; wait, or have an export make them",
                retry_after_s=max(1, int(wait_s) + 1),
            )
        made.append(now_s)

    def is_entry_due(self, connection: Connection, tenant: TenantId, evidence: str) -> bool:
        """Say whether another hit of the entry that *evidence* states may be proved in this hour."""
        since_ms = self._clock.now_ms() - ENTRY_WINDOW_MS
        return ApplicabilityRepository(connection, tenant).count_since(evidence, since_ms) < self._per_entry_hour

    def refuse_entry(self) -> RateLimited:
        """Return what is raised where it may not."""
        return RateLimited(
            f"more than {self._per_entry_hour} hits of one entry proved in an hour; wait, or have an export make them",
            retry_after_s=ENTRY_RETRY_S,
        )
