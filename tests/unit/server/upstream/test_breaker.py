from __future__ import annotations

import pytest

from server.upstream.breaker import CircuitBreaker, Outcome
from server.upstream.errors import CircuitOpen
from server.upstream.limits import UpstreamLimits


def record(breaker: CircuitBreaker, outcomes: list[Outcome], now_s: float) -> None:
    for outcome in outcomes:
        breaker.record(breaker.admit(now_s), outcome, now_s)


def opened(now_s: float = 100.0) -> CircuitBreaker:
    breaker = CircuitBreaker("x", UpstreamLimits())
    record(breaker, [Outcome.FAILURE] * 20, now_s)
    assert breaker.is_open
    return breaker


def test_nineteen_failures_are_too_few_to_open() -> None:
    breaker = CircuitBreaker("x", UpstreamLimits())
    record(breaker, [Outcome.FAILURE] * 19, 100.0)
    assert not breaker.is_open


def test_half_of_twenty_calls_failing_opens() -> None:
    breaker = CircuitBreaker("x", UpstreamLimits())
    record(breaker, [Outcome.SUCCESS] * 10 + [Outcome.FAILURE] * 10, 100.0)
    assert breaker.is_open


def test_less_than_half_failing_stays_closed() -> None:
    breaker = CircuitBreaker("x", UpstreamLimits())
    record(breaker, [Outcome.SUCCESS] * 101 + [Outcome.FAILURE] * 100, 100.0)
    assert not breaker.is_open


def test_failures_older_than_the_window_are_forgotten() -> None:
    breaker = CircuitBreaker("x", UpstreamLimits())
    record(breaker, [Outcome.FAILURE] * 19, 100.0)
    record(breaker, [Outcome.FAILURE], 130.0)
    assert not breaker.is_open
    record(breaker, [Outcome.FAILURE] * 19, 131.0)
    assert breaker.is_open


def test_abandoned_calls_count_for_nothing() -> None:
    breaker = CircuitBreaker("x", UpstreamLimits())
    record(breaker, [Outcome.ABANDONED] * 100, 100.0)
    record(breaker, [Outcome.FAILURE] * 19, 100.0)
    assert not breaker.is_open


def test_an_open_breaker_says_when_to_come_back() -> None:
    with pytest.raises(CircuitOpen) as caught:
        opened(100.0).admit(102.0)
    assert caught.value.retry_after_s == 3.0


def test_one_probe_is_admitted_per_interval() -> None:
    breaker = opened(100.0)
    assert breaker.admit(105.0).is_probe
    with pytest.raises(CircuitOpen):
        breaker.admit(105.0)
    with pytest.raises(CircuitOpen):
        breaker.admit(109.9)
    assert breaker.admit(110.0).is_probe


def test_a_probe_that_succeeds_closes() -> None:
    breaker = opened(100.0)
    breaker.record(breaker.admit(105.0), Outcome.SUCCESS, 106.0)
    assert not breaker.is_open
    record(breaker, [Outcome.FAILURE] * 19, 106.0)
    assert not breaker.is_open


@pytest.mark.parametrize("outcome", [Outcome.FAILURE, Outcome.ABANDONED])
def test_a_probe_that_does_not_succeed_leaves_it_open(outcome: Outcome) -> None:
    breaker = opened(100.0)
    breaker.record(breaker.admit(105.0), outcome, 106.0)
    assert breaker.is_open
    with pytest.raises(CircuitOpen):
        breaker.admit(109.0)
    assert breaker.admit(110.0).is_probe


def test_a_call_from_before_the_opening_does_not_close_it() -> None:
    breaker = CircuitBreaker("x", UpstreamLimits())
    early = breaker.admit(99.0)
    record(breaker, [Outcome.FAILURE] * 20, 100.0)
    breaker.record(early, Outcome.SUCCESS, 101.0)
    assert breaker.is_open


def test_a_late_probe_does_not_disturb_the_closed_breaker() -> None:
    breaker = opened(100.0)
    first, second = breaker.admit(105.0), breaker.admit(110.0)
    breaker.record(second, Outcome.SUCCESS, 111.0)
    breaker.record(first, Outcome.FAILURE, 112.0)
    assert not breaker.is_open
