from __future__ import annotations

import math

import pytest

from server.upstream.limits import UpstreamLimits
from server.upstream.retries import RetryBudget, parse_retry_after, retry_delay_s
from tests.runner_fakes import FakeRandom


class Fixed:
    def __init__(self, byte: int) -> None:
        self._byte = byte

    def token_bytes(self, count: int) -> bytes:
        return bytes([self._byte]) * count


@pytest.mark.parametrize("calls", [1, 9, 10, 11, 100, 1_000, 5_000])
def test_a_storm_of_failures_makes_at_most_a_tenth_more_calls(calls: int) -> None:
    budget = RetryBudget(0.1)
    retries = 0
    for _ in range(calls):
        budget.earn()
        retries += budget.spend()
    assert retries == calls // 10


def test_a_quiet_day_saves_up_ten_retries_at_most() -> None:
    budget = RetryBudget(0.1)
    for _ in range(100_000):
        budget.earn()
    assert [budget.spend() for _ in range(12)] == [True] * 10 + [False] * 2


def test_the_delay_is_spread_from_nothing_to_the_bound() -> None:
    limits = UpstreamLimits(retry_wait_base_s=0.5)
    assert retry_delay_s(0, None, Fixed(0), limits) == 0.0
    highest = retry_delay_s(0, None, Fixed(255), limits)
    assert highest is not None
    assert 0.499 < highest < 0.5
    source = FakeRandom()
    delays = [retry_delay_s(0, None, source, limits) or 0.0 for _ in range(200)]
    assert 0.2 < sum(delays) / len(delays) < 0.3


def test_it_never_asks_again_sooner_than_retry_after() -> None:
    assert retry_delay_s(0, 2.0, Fixed(0), UpstreamLimits()) == 2.0


@pytest.mark.parametrize("retry_after_s", [5.1, 3600.0, math.inf])
def test_a_long_retry_after_means_no_retry(retry_after_s: float) -> None:
    assert retry_delay_s(0, retry_after_s, Fixed(0), UpstreamLimits()) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), ("0", 0.0), (" 7 ", 7.0), ("3600", 3600.0), ("Fri, 31 Dec 1999 23:59:59 GMT", math.inf),
     ("-1", math.inf), ("1e9", math.inf), ("", math.inf), ("9" * 400, math.inf), ("٣", math.inf)],
)  # fmt: skip
def test_retry_after_is_read_in_seconds_or_stops_retries(text: str | None, expected: float | None) -> None:
    assert parse_retry_after(text) == expected
