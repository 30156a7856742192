"""Limits of proofs that are made on demand."""

from __future__ import annotations

import pytest

from server.applicability.limits import TENANTS_MAX, ProbingLimits
from server.errors import RateLimited
from tenants.identifiers import TenantId
from tests.fakes import FakeClock

ONE, OTHER = TenantId("ten_1"), TenantId("ten_2")


def limits(clock: FakeClock, per_minute: int = 2) -> ProbingLimits:
    return ProbingLimits(clock, per_minute=per_minute, per_entry_hour=1)


def test_so_many_proofs_a_minute_are_made_and_then_no_more() -> None:
    found = limits(FakeClock())
    found.count(ONE)
    found.count(ONE)
    with pytest.raises(RateLimited):
        found.count(ONE)


def test_one_tenants_proofs_are_not_anothers() -> None:
    found = limits(FakeClock(), per_minute=1)
    found.count(ONE)
    found.count(OTHER)


def test_what_was_refused_does_not_count() -> None:
    clock = FakeClock()
    found = limits(clock, per_minute=1)
    found.count(ONE)
    clock.advance(59)
    with pytest.raises(RateLimited) as refused:
        found.count(ONE)
    assert refused.value.retry_after_s == 2
    clock.advance(1)
    found.count(ONE)


def test_the_window_moves_with_the_proofs_and_does_not_jump() -> None:
    clock = FakeClock()
    found = limits(clock)
    found.count(ONE)
    clock.advance(50)
    found.count(ONE)
    clock.advance(11)
    found.count(ONE)
    with pytest.raises(RateLimited):
        found.count(ONE)


def test_none_a_minute_is_none() -> None:
    with pytest.raises(RateLimited) as refused:
        limits(FakeClock(), per_minute=0).count(ONE)
    assert refused.value.retry_after_s >= 60


def test_a_clock_that_is_set_back_opens_nothing() -> None:
    clock = FakeClock()
    found = limits(clock, per_minute=1)
    found.count(ONE)
    clock.jump(-3_600)
    with pytest.raises(RateLimited):
        found.count(ONE)


def test_memory_of_many_tenants_is_bounded_and_keeps_the_newest() -> None:
    found = limits(FakeClock(), per_minute=1)
    for number in range(TENANTS_MAX + 10):
        found.count(TenantId(f"ten_{number:06}"))
    with pytest.raises(RateLimited):
        found.count(TenantId(f"ten_{TENANTS_MAX + 9:06}"))
    found.count(TenantId("ten_000000"))
