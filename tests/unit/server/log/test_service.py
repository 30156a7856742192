"""The log beside requests: it is stepped, fails without harm, refuses once and for all, and ends with a last checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from server.log.errors import LogRefusal
from server.log.high_water import HighWater
from server.log.keys import load_signing_key
from server.log.metrics import LogTelemetry
from server.log.service import LogOptions, LogService
from server.log.storage import DirectoryStorage, LogStorage
from tests.log_worlds import QUIET, LogWorld, Recorder
from tests.reference_tree import tree_hash


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LogWorld]:
    found = LogWorld(tmp_path / "data")
    yield found
    found.close()


class House:
    """A service and its counters."""

    def __init__(
        self,
        world: LogWorld,
        *,
        storage: LogStorage | None = None,
        follows: bool = False,
        refusal: LogRefusal | None = None,
    ) -> None:
        self.registry = CollectorRegistry()
        self.high_water = HighWater(quorum=0)
        self.service = LogService(
            world.database,
            storage or world.storage,
            self.high_water,
            log_key=world.log_key,
            signer=None if follows else load_signing_key(world.key_file, world.random),
            clock=world.clock,
            random=world.random,
            options=LogOptions(interval_s=0.01, limits=QUIET),
            metrics=LogTelemetry(self.registry),
            refusal=refusal,
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def test_receipts_go_from_pending_to_included(world: LogWorld) -> None:
    async def work() -> list[str]:
        house = House(world)
        await house.service.start()
        world.add_leaves(1)
        states = [house.high_water.state_of(1)]
        await house.service.step()
        states.append(house.high_water.state_of(1))
        await house.service.stop()
        return states

    assert asyncio.run(work()) == ["pending", "included"]


def test_the_loop_steps_until_it_is_cancelled_and_the_end_signs_what_came_last(world: LogWorld) -> None:
    async def work() -> None:
        house = House(world)
        await house.service.start()
        task = asyncio.create_task(house.service.run())
        world.add_leaves(3)
        while house.high_water.size < 3:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        world.add_leaves(2)
        await house.service.stop()

    asyncio.run(asyncio.wait_for(work(), 30))
    assert world.newest.size == 5
    assert world.new_sequencer(holder="two").step().leads, "the lease was given back"


def test_a_disk_that_fails_costs_a_step_and_no_more(world: LogWorld) -> None:
    async def work() -> None:
        house = House(world, storage=Recorder(world.storage, fail_at=0))
        await house.service.start()
        world.add_leaves(1)
        await house.service.step()
        assert house.value("hitproof_log_failures_total", reason="OSError") == 1
        assert house.service.refusal is None
        assert house.high_water.state_of(1) == "pending"
        await house.service.stop()

    asyncio.run(work())


def test_a_refusal_is_told_once_and_ends_the_writing_but_not_the_reading(world: LogWorld) -> None:
    world.add_leaves(1)
    world.catch_up()
    (world.folder / "log" / "state").write_text("nonsense")

    async def work() -> None:
        house = House(world)
        await house.service.start()
        world.add_leaves(1)
        for _ in range(3):
            await house.service.step()
        assert house.service.refusal is not None
        assert house.service.refusal.reason == "state_damaged"
        assert house.value("hitproof_log_refused") == 1
        assert house.value("hitproof_log_failures_total", reason="state_damaged") == 1
        assert house.value("hitproof_log_pending_leaves") == 1
        assert (house.high_water.state_of(1), house.high_water.state_of(2)) == ("included", "pending")
        await house.service.stop()

    asyncio.run(work())
    assert world.newest.size == 1


def test_a_process_that_may_not_write_says_why_and_reads(world: LogWorld) -> None:
    async def work() -> None:
        house = House(world, refusal=LogRefusal("another key", reason="key_changed"))
        await house.service.start()
        world.add_leaves(1)
        await house.service.step()
        assert house.value("hitproof_log_failures_total", reason="key_changed") == 1
        await house.service.stop()

    asyncio.run(work())
    assert world.head == 0


def test_a_follower_copies_the_tiles_and_the_checkpoint_of_a_log_that_another_writes(
    world: LogWorld, tmp_path: Path
) -> None:
    storage = DirectoryStorage(tmp_path / "copy")
    (tmp_path / "copy").mkdir()

    async def work() -> None:
        house = House(world, storage=storage, follows=True)
        await house.service.start()
        for count in (3, 300):
            world.add_leaves(count)
            await asyncio.to_thread(world.catch_up)
            world.add_leaves(1)  # not signed yet, and so not copied
            await house.service.step()
            assert world.published(storage) == world.published()
            assert house.high_water.size == world.newest.size
        await house.service.stop()

    asyncio.run(work())
    published = world.published(storage)
    assert published is not None
    assert published.root == tree_hash(world.leaves[: published.size])


def test_metrics_tell_size_backlog_and_inclusion(world: LogWorld) -> None:
    async def work() -> None:
        house = House(world)
        await house.service.start()
        world.add_leaves(2)
        world.clock.advance(3)
        await house.service.step()
        assert house.value("hitproof_log_size") == 2
        assert house.value("hitproof_log_leads") == 1
        assert house.value("hitproof_log_pending_leaves") == 0
        assert house.value("hitproof_log_inclusion_seconds_sum") == 3
        world.add_leaves(5)
        world.clock.advance(4)
        house.service._refused = LogRefusal("held still", reason="test")
        await house.service.step()
        assert house.value("hitproof_log_pending_leaves") == 5
        assert house.value("hitproof_log_pending_age_seconds") == 4
        await house.service.stop()

    asyncio.run(work())
