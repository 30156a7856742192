"""The pool's calendar: epochs, after each of which there is one release, and budget periods of whole epochs.

It is fixed at first use. An epoch of another length would give the same votes another number and the same spendings
another period, and an auditor could not tell that from a budget that was reset.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from crypto.canonical import canonical_json
from crypto.spending import Period
from server.pool.errors import CalendarChanged
from server.store.platform import PlatformRepository

CALENDAR_META: Final = "pool_calendar"


@dataclass(frozen=True, slots=True)
class Calendar:
    """Epoch *n* is the time from n · *epoch_s* to (n + 1) · *epoch_s*, since 1970; a period is *period_epochs* of them."""

    epoch_s: int
    period_epochs: int

    def epoch_of(self, at_ms: int) -> int:
        """Return the epoch that *at_ms* lies in."""
        return at_ms // (self.epoch_s * 1000)

    def period_number(self, epoch: int) -> int:
        """Return the number of the budget period that *epoch* belongs to."""
        return epoch // self.period_epochs

    def period_of(self, epoch: int) -> Period:
        """Return the budget period that *epoch* belongs to."""
        number = self.period_number(epoch)
        first = number * self.period_epochs
        return Period(number, self.opens_at_ms(first), self.opens_at_ms(first + self.period_epochs))

    def opens_at_ms(self, epoch: int) -> int:
        """Return when *epoch* begins."""
        return epoch * self.epoch_s * 1000

    def closes_at_ms(self, epoch: int) -> int:
        """Return when *epoch* ends: from then on it takes no votes."""
        return self.opens_at_ms(epoch + 1)


def fix_calendar(connection: Connection, calendar: Calendar) -> None:
    """Write *calendar* down at its first use; raises `CalendarChanged` where another one stands there."""
    platform = PlatformRepository(connection)
    found = platform.get_meta(CALENDAR_META)
    if found is None:
        value = {"epoch_s": calendar.epoch_s, "period_epochs": calendar.period_epochs}
        platform.set_meta(CALENDAR_META, canonical_json(value).decode())
        return
    before = Calendar(**json.loads(found))
    if before != calendar:
        raise CalendarChanged(
            f"the pool counts by epochs of {before.epoch_s} s and periods of {before.period_epochs} epochs, and the "
            f"settings say {calendar.epoch_s} s and {calendar.period_epochs}; set pool_epoch_s = {before.epoch_s} and "
            f"pool_period_epochs = {before.period_epochs}"
        )
