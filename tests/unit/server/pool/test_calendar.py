from __future__ import annotations

from pathlib import Path

import pytest

from server.pool.calendar import Calendar, fix_calendar
from server.pool.errors import CalendarChanged
from server.store.database import Database
from server.store.migrate import upgrade

DAY_S = 86_400
CALENDAR = Calendar(30 * DAY_S, 3)


def test_an_epoch_ends_where_the_next_begins() -> None:
    assert CALENDAR.closes_at_ms(7) == CALENDAR.opens_at_ms(8)
    assert CALENDAR.epoch_of(CALENDAR.closes_at_ms(7) - 1) == 7
    assert CALENDAR.epoch_of(CALENDAR.closes_at_ms(7)) == 8


def test_a_period_is_a_whole_number_of_epochs() -> None:
    period = CALENDAR.period_of(7)
    assert period.number == 2
    assert (period.from_ms, period.until_ms) == (CALENDAR.opens_at_ms(6), CALENDAR.opens_at_ms(9))
    assert {CALENDAR.period_number(epoch) for epoch in (6, 7, 8)} == {2}


def test_periods_follow_each_other_without_a_gap() -> None:
    assert CALENDAR.period_of(8).until_ms == CALENDAR.period_of(9).from_ms


def test_a_calendar_that_was_fixed_is_not_changed(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'pool.db'}")
    upgrade(database.engine)
    database.write_now(lambda connection: fix_calendar(connection, CALENDAR))
    database.write_now(lambda connection: fix_calendar(connection, CALENDAR))
    with pytest.raises(CalendarChanged, match="pool_epoch_s = 2592000 and pool_period_epochs = 3"):
        database.write_now(lambda connection: fix_calendar(connection, Calendar(DAY_S, 3)))
    database.close()
