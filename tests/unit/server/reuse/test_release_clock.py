"""When answers of the pool leave: a clock, a pause and chance that the test sets."""

from __future__ import annotations

import asyncio
import random as chance
from collections.abc import Sequence
from statistics import fmean

import pytest

from server.reuse.policy import PoolClock
from server.reuse.release_clock import BUCKETS_MAX, SAMPLES_MIN, ReleaseClock, quantised_s
from tenants.identifiers import TenantId
from tests.fakes import FakeClock, SeededRandom

OWN, OTHER = TenantId("ten_a"), TenantId("ten_b")


class Stand:
    """A release clock whose pauses pass on the fake clock and are remembered."""

    def __init__(self, *, step_ms: int = 50, floor_ms: int = 50, tenants_max: int = 10) -> None:
        self.clock = FakeClock()
        self.pauses: list[float] = []
        self.release = ReleaseClock(
            self.clock,
            SeededRandom(),
            step_ms=step_ms,
            floor_ms=floor_ms,
            tenants_max=tenants_max,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds)

    def released_after(self, work_s: float, mode: PoolClock, *, tenant: TenantId = OWN, tokens: int = 30) -> float:
        """Return when an answer leaves whose work took *work_s*, in seconds since its request began."""
        started_s = self.clock.monotonic_s()
        self.clock.advance(work_s)
        asyncio.run(self.release.hold(mode, tenant, "model", tokens, started_s=started_s))
        return round(self.clock.monotonic_s() - started_s, 9)

    def learn(self, latencies_s: Sequence[float], *, tenant: TenantId = OWN, tokens: int = 30) -> None:
        for latency_s in latencies_s:
            self.release.note_miss(tenant, "model", tokens, latency_s)


def area_under_curve(first: Sequence[float], second: Sequence[float]) -> float:
    """Return how often a time of *second* is later than one of *first*: .5 where they cannot be told apart."""
    return fmean(1.0 if b > a else 0.5 if b == a else 0.0 for a in first for b in second)


@pytest.mark.parametrize(
    ("work_ms", "leaves_ms"), [(0, 50), (1, 50), (49, 50), (50, 50), (51, 100), (100, 100), (149, 150), (1001, 1050)]
)
def test_a_quantised_answer_leaves_at_the_next_step_and_none_before_the_floor(work_ms: int, leaves_ms: int) -> None:
    assert quantised_s(work_ms / 1000, step_ms=50, floor_ms=50) == leaves_ms / 1000


def test_a_floor_between_two_steps_counts_as_the_later_one() -> None:
    assert quantised_s(0.001, step_ms=50, floor_ms=120) == 0.15


def test_a_fast_answer_waits_for_nothing() -> None:
    stand = Stand()
    assert stand.released_after(0.003, "fast") == 0.003
    assert stand.pauses == []


def test_two_entries_cannot_be_told_apart_by_when_their_hits_leave_within_a_step() -> None:
    stand, source = Stand(), chance.Random(1)
    quick = [source.uniform(0.002, 0.012) for _ in range(200)]
    slow = [source.uniform(0.02, 0.045) for _ in range(200)]
    assert area_under_curve(quick, slow) == 1.0
    released = [[stand.released_after(work_s, "quantised") for work_s in work] for work in (quick, slow)]
    assert area_under_curve(released[0], released[1]) == 0.5
    assert set(released[0] + released[1]) == {0.05}


def test_a_sampled_answer_takes_a_time_that_the_tenants_own_misses_took() -> None:
    stand = Stand()
    latencies = [0.4 + number / 100 for number in range(SAMPLES_MIN)]
    stand.learn(latencies)
    released = {stand.released_after(0.01, "sampled_miss") for _ in range(200)}
    assert released <= {round(latency, 9) for latency in latencies}
    assert len(released) > SAMPLES_MIN // 2


def test_hits_that_take_sampled_times_cannot_be_told_from_misses() -> None:
    stand, source = Stand(), chance.Random(2)
    misses = [source.uniform(0.4, 0.9) for _ in range(64)]
    stand.learn(misses)
    hits = [stand.released_after(source.uniform(0.002, 0.02), "sampled_miss") for _ in range(400)]
    assert abs(area_under_curve(misses, hits) - 0.5) < 0.05


def test_too_few_misses_of_the_same_tenant_and_length_are_no_sample() -> None:
    stand = Stand()
    stand.learn([0.7] * (SAMPLES_MIN - 1))
    stand.learn([0.7] * SAMPLES_MIN, tokens=900)
    stand.learn([0.7] * SAMPLES_MIN, tenant=OTHER)
    assert stand.released_after(0.01, "sampled_miss") == 0.05


def test_one_more_miss_makes_them_enough() -> None:
    stand = Stand()
    stand.learn([0.7] * SAMPLES_MIN)
    assert stand.released_after(0.01, "sampled_miss") == 0.7


def test_work_that_took_longer_than_the_time_drawn_waits_for_the_next_step() -> None:
    stand = Stand()
    stand.learn([0.1] * SAMPLES_MIN)
    assert stand.released_after(0.123, "sampled_miss") == 0.15


def test_what_is_remembered_has_limits() -> None:
    stand = Stand(tenants_max=1)
    stand.learn([0.7] * SAMPLES_MIN)
    for number in range(BUCKETS_MAX):
        stand.release.note_miss(OWN, f"model {number}", 30, 0.7)
    assert stand.released_after(0.01, "sampled_miss") == 0.05
    stand.learn([0.7] * SAMPLES_MIN)
    stand.learn([0.7], tenant=OTHER)
    assert stand.released_after(0.01, "sampled_miss") == 0.05


def test_a_request_that_goes_away_while_its_answer_is_held_leaves_nothing_behind() -> None:
    async def play() -> None:
        release = ReleaseClock(FakeClock(), SeededRandom(), step_ms=10_000, floor_ms=10_000, tenants_max=1)
        held = asyncio.create_task(release.hold("quantised", OWN, "model", 30, started_s=1000.0))
        await asyncio.sleep(0)
        held.cancel()
        with pytest.raises(asyncio.CancelledError):
            await held
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(play())
