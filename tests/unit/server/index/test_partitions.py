from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from server.index.errors import NotReadyReason, RowsRefused
from server.index.growing import GrowingIndex, Growth
from server.index.observer import SilentObserver
from server.index.partitions import Candidate, PartitionKey, PartitionLimits, PartitionNotReady, Partitions
from tenants.identifiers import TenantId

DIMENSION = 32
KEY = PartitionKey(TenantId("t1"), b"scope")
OTHER = PartitionKey(TenantId("t2"), b"scope")

Rows = tuple[np.ndarray, np.ndarray]


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-40, 41, (count, DIMENSION)).astype(np.int8)


class StillClock:
    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return 0.0


@dataclass
class FakeStore:
    """Rows per partition, as the database would have them; loads can be held up or made to fail."""

    partitions: dict[PartitionKey, dict[int, np.ndarray]] = field(default_factory=dict)
    loads: list[PartitionKey] = field(default_factory=list)
    fetched: list[int] = field(default_factory=list)
    fail: bool = False
    hold: asyncio.Event | None = None
    read: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, key: PartitionKey, number: int, vector: np.ndarray) -> None:
        self.partitions.setdefault(key, {})[number] = vector

    async def load(self, key: PartitionKey) -> Rows:
        self.loads.append(key)
        if self.fail:
            raise OSError("the disk is gone")
        found = self._rows(key, None)  # what a transaction saw at its start
        self.read.set()
        if self.hold is not None:
            await self.hold.wait()
        return found

    async def load_rows(self, key: PartitionKey, ids: Sequence[int]) -> Rows:
        self.fetched += ids
        found = self._rows(key, ids)
        if self.hold is not None:
            await self.hold.wait()
        return found

    def _rows(self, key: PartitionKey, ids: Sequence[int] | None) -> Rows:
        held = self.partitions.get(key, {})
        chosen = sorted(held if ids is None else held.keys() & set(ids))
        vectors = [held[number] for number in chosen]
        return np.array(chosen, dtype=np.int64), np.array(vectors, dtype=np.int8).reshape(-1, DIMENSION)


@dataclass
class Recorder(SilentObserver):
    events: list[tuple[str, object]] = field(default_factory=list)

    def searched(self, *, queries: int, rows: int, seconds: float) -> None:
        self.events.append(("searched", queries))

    def loaded(self, *, rows: int, seconds: float) -> None:
        self.events.append(("loaded", rows))

    def load_failed(self, error: BaseException) -> None:
        self.events.append(("load_failed", type(error)))

    def not_ready(self, reason: NotReadyReason) -> None:
        self.events.append(("not_ready", reason))

    def evicted(self, *, size_bytes: int) -> None:
        self.events.append(("evicted", size_bytes))

    def write_failed(self, error: BaseException) -> None:
        self.events.append(("write_failed", type(error)))

    def build_failed(self, error: BaseException) -> None:
        self.events.append(("build_failed", type(error)))

    def of(self, name: str) -> list[object]:
        return [value for event, value in self.events if event == name]


@dataclass
class House:
    store: FakeStore
    observer: Recorder
    partitions: Partitions


def run(
    scenario: Callable[[House], Awaitable[None]], *, limits: PartitionLimits | None = None, row_loader: bool = True
) -> None:
    async def main() -> None:
        store, observer = FakeStore(), Recorder()
        partitions = Partitions(
            store.load,
            dimension=DIMENSION,
            clock=StillClock(),
            limits=limits,
            observer=observer,
            row_loader=store.load_rows if row_loader else None,
        )
        try:
            await asyncio.wait_for(scenario(House(store, observer, partitions)), 30)
        finally:
            await partitions.close()

    asyncio.run(main())


@dataclass(frozen=True)
class Change:
    tenant_id: TenantId
    fingerprint: bytes | None
    operation: str
    entry_id: int | None


def change(operation: str, entry: int | None, key: PartitionKey = KEY) -> Change:
    return Change(key.tenant, key.scope, operation, entry)


def ids(found: list[Candidate]) -> list[int]:
    return [candidate.id for candidate in found]


def dot(left: np.ndarray, right: np.ndarray) -> int:
    return int(left.astype(int) @ right.astype(int))


# Loading


def test_a_partition_is_loaded_when_it_is_first_asked_for() -> None:
    async def scenario(house: House) -> None:
        vectors = rows(3)
        for number, vector in enumerate(vectors):
            house.store.put(KEY, number, vector)
        found = await house.partitions.search(KEY, vectors[2], 1)
        assert found == [Candidate(2, dot(vectors[2], vectors[2]))]
        await house.partitions.search(KEY, vectors[2], 1)
        assert house.store.loads == [KEY] and house.observer.of("loaded") == [3]

    run(scenario)


def test_many_searches_at_once_load_once() -> None:
    async def scenario(house: House) -> None:
        house.store.put(KEY, 1, rows(1)[0])
        found = await asyncio.gather(*(house.partitions.search(KEY, rows(1), 1) for _ in range(50)))
        assert [ids(one) for one in found] == [[1]] * 50 and len(house.store.loads) == 1

    run(scenario)


def test_a_search_that_waits_too_long_for_its_partition_is_told_so_and_a_later_one_is_served() -> None:
    async def scenario(house: House) -> None:
        house.store.put(KEY, 1, rows(1)[0])
        house.store.hold = asyncio.Event()
        with pytest.raises(PartitionNotReady, match="loading"):
            await house.partitions.search(KEY, rows(1), 1)
        house.store.hold.set()
        assert ids(await house.partitions.search(KEY, rows(1), 1)) == [1]
        assert len(house.store.loads) == 1

    run(scenario, limits=PartitionLimits(load_wait_s=0.01))


def test_a_search_that_goes_away_does_not_stop_the_load() -> None:
    async def scenario(house: House) -> None:
        house.store.put(KEY, 1, rows(1)[0])
        house.store.hold = asyncio.Event()
        impatient = asyncio.create_task(house.partitions.search(KEY, rows(1), 1))
        await house.store.read.wait()
        impatient.cancel()
        house.store.hold.set()
        assert ids(await house.partitions.search(KEY, rows(1), 1)) == [1]
        assert len(house.store.loads) == 1

    run(scenario)


def test_a_failed_load_is_reported_and_tried_again() -> None:
    async def scenario(house: House) -> None:
        house.store.put(KEY, 1, rows(1)[0])
        house.store.fail = True
        with pytest.raises(PartitionNotReady, match="load_failed"):
            await house.partitions.search(KEY, rows(1), 1)
        house.store.fail = False
        assert ids(await house.partitions.search(KEY, rows(1), 1)) == [1]
        assert house.observer.of("load_failed") == [OSError]

    run(scenario)


def test_a_load_that_never_ends_is_given_up() -> None:
    async def scenario(house: House) -> None:
        house.store.hold = asyncio.Event()
        with pytest.raises(PartitionNotReady, match="load_failed"):
            await house.partitions.search(KEY, rows(1), 1)
        assert house.observer.of("load_failed") == [TimeoutError]

    run(scenario, limits=PartitionLimits(load_wait_s=5, load_timeout_s=0.02))


def test_more_loads_than_the_limit_are_refused() -> None:
    async def scenario(house: House) -> None:
        house.store.hold = asyncio.Event()
        waiting = [
            asyncio.create_task(house.partitions.search(PartitionKey(KEY.tenant, bytes([n])), rows(1), 1))
            for n in range(3)
        ]
        await house.store.read.wait()
        with pytest.raises(PartitionNotReady, match="overloaded"):
            await house.partitions.search(KEY, rows(1), 1)
        house.store.hold.set()
        await asyncio.gather(*waiting)

    run(scenario, limits=PartitionLimits(loads_waiting_max=3))


def test_tenants_do_not_meet() -> None:
    async def scenario(house: House) -> None:
        house.store.put(KEY, 1, rows(1)[0])
        await house.partitions.search(KEY, rows(1), 5)
        assert await house.partitions.search(OTHER, rows(1), 5) == []

    run(scenario)


# Writes


def test_an_added_entry_is_found_and_a_removed_one_is_not() -> None:
    async def scenario(house: House) -> None:
        vectors = rows(2)
        await house.partitions.search(KEY, vectors[0], 1)
        await house.partitions.add(KEY, [7], vectors[:1])
        await house.partitions.add(KEY, [8], vectors[1])
        assert ids(await house.partitions.search(KEY, vectors[0], 2)) == [7, 8]
        await house.partitions.remove(KEY, [7])
        assert ids(await house.partitions.search(KEY, vectors[0], 2)) == [8]

    run(scenario)


def test_an_add_to_a_partition_that_is_not_in_memory_loads_nothing() -> None:
    async def scenario(house: House) -> None:
        await house.partitions.add(KEY, [7], rows(1))
        assert house.store.loads == [] and len(house.partitions) == 0

    run(scenario)


def test_an_add_that_races_with_a_load_is_not_lost() -> None:
    async def scenario(house: House) -> None:
        vectors = rows(2)
        house.store.put(KEY, 1, vectors[0])
        house.store.hold = asyncio.Event()
        searching = asyncio.create_task(house.partitions.search(KEY, vectors[1], 1))
        await house.store.read.wait()
        house.store.put(KEY, 2, vectors[1])
        await house.partitions.add(KEY, [2], vectors[1:])
        house.store.hold.set()
        assert ids(await searching) == [2]

    run(scenario)


def test_a_removal_that_races_with_a_load_is_not_undone_by_it() -> None:
    async def scenario(house: House) -> None:
        vectors = rows(2)
        house.store.put(KEY, 1, vectors[0])
        house.store.hold = asyncio.Event()
        searching = asyncio.create_task(house.partitions.search(KEY, vectors[0], 1))
        await house.store.read.wait()
        await house.partitions.add(KEY, [2], vectors[1:])
        await house.partitions.remove(KEY, [1, 2])
        house.store.hold.set()
        assert await searching == []

    run(scenario)


def test_a_load_with_too_many_writes_beside_it_is_given_up() -> None:
    async def scenario(house: House) -> None:
        house.store.hold = asyncio.Event()
        searching = asyncio.create_task(house.partitions.search(KEY, rows(1), 1))
        await house.store.read.wait()
        await house.partitions.add(KEY, range(5), rows(5))
        house.store.hold.set()
        with pytest.raises(PartitionNotReady, match="dropped"):
            await searching

    run(scenario, limits=PartitionLimits(journal_rows_max=4))


def test_an_add_that_comes_after_its_removal_is_ignored() -> None:
    async def scenario(house: House) -> None:
        await house.partitions.search(KEY, rows(1), 1)
        await house.partitions.remove(KEY, [7])
        await house.partitions.add(KEY, [7], rows(1))
        assert await house.partitions.search(KEY, rows(1), 1) == []

    run(scenario)


def test_rows_of_the_wrong_kind_are_the_callers_error() -> None:
    async def scenario(house: House) -> None:
        with pytest.raises(RowsRefused):
            await house.partitions.add(KEY, [7], rows(1)[:, :3])
        with pytest.raises(RowsRefused):
            await house.partitions.search(KEY, rows(1)[:, :3], 1)

    run(scenario)


def test_a_failed_write_unloads_the_partition_and_the_next_search_reads_the_truth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(self: GrowingIndex, ids: np.ndarray, vectors: np.ndarray) -> None:
        raise MemoryError

    async def scenario(house: House) -> None:
        vectors = rows(2)
        house.store.put(KEY, 1, vectors[0])
        await house.partitions.search(KEY, vectors[0], 1)
        house.store.put(KEY, 2, vectors[1])
        with monkeypatch.context() as patch:
            patch.setattr(GrowingIndex, "add", fail)
            await house.partitions.add(KEY, [2], vectors[1:])
        assert house.observer.of("write_failed") == [MemoryError] and house.partitions.size_bytes == 0
        assert ids(await house.partitions.search(KEY, vectors[1], 1)) == [2]

    run(scenario)


def test_a_broken_index_is_a_miss_and_is_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: GrowingIndex, queries: np.ndarray, k: int) -> Rows:
        raise RuntimeError("faiss")

    async def scenario(house: House) -> None:
        house.store.put(KEY, 1, rows(1)[0])
        await house.partitions.search(KEY, rows(1), 1)
        with monkeypatch.context() as patch:
            patch.setattr(GrowingIndex, "search", fail)
            with pytest.raises(PartitionNotReady, match="broken"):
                await house.partitions.search(KEY, rows(1), 1)
        assert ids(await house.partitions.search(KEY, rows(1), 1)) == [1]
        assert len(house.store.loads) == 2

    run(scenario)


def test_writes_of_a_large_partition_take_effect_in_the_order_of_their_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    add = GrowingIndex.add

    def slow_add(self: GrowingIndex, ids: np.ndarray, vectors: np.ndarray) -> None:
        time.sleep(0.05)  # in its thread, long enough to be overtaken
        add(self, ids, vectors)

    monkeypatch.setattr(GrowingIndex, "add", slow_add)

    async def scenario(house: House) -> None:
        await house.partitions.search(KEY, rows(1), 1)
        many = rows(400, 5)
        first = house.partitions.add(KEY, range(400), many)
        await asyncio.gather(first, house.partitions.remove(KEY, range(399)))
        assert ids(await house.partitions.search(KEY, many[0], 5)) == [399]

    run(scenario, limits=PartitionLimits(inline_rows_max=16))


def test_a_writer_that_goes_away_does_not_stop_its_write() -> None:
    async def scenario(house: House) -> None:
        await house.partitions.search(KEY, rows(1), 1)
        many = rows(300, 5)
        writing = asyncio.create_task(house.partitions.add(KEY, range(300), many))
        await asyncio.sleep(0)
        writing.cancel()
        await house.partitions.remove(KEY, range(10, 300))
        assert sorted(ids(await house.partitions.search(KEY, many[0], 20))) == list(range(10))

    run(scenario, limits=PartitionLimits(inline_rows_max=16))


# Searches of large partitions


def test_queued_searches_are_answered_in_batches_each_with_its_own_result() -> None:
    async def scenario(house: House) -> None:
        many = rows(600, 6)
        for number, vector in enumerate(many):
            house.store.put(KEY, number, vector)
        await house.partitions.search(KEY, many[0], 1)
        house.observer.events.clear()
        found = await asyncio.gather(*(house.partitions.search(KEY, many[n], 1 + n % 3) for n in range(100)))
        assert [len(one) for one in found] == [1 + n % 3 for n in range(100)]
        best = [int(np.argmax(many.astype(int) @ many[n].astype(int))) for n in range(100)]
        assert [one[0].id for one in found] == best
        batches = house.observer.of("searched")
        assert sum(batches) == 100 and max(batches) > 1 and max(batches) <= 32

    run(scenario, limits=PartitionLimits(inline_rows_max=100, batch_max=32))


def test_a_full_queue_is_a_miss() -> None:
    async def scenario(house: House) -> None:
        for number, vector in enumerate(rows(200, 6)):
            house.store.put(KEY, number, vector)
        await house.partitions.search(KEY, rows(1), 1)
        searches = (house.partitions.search(KEY, rows(1), 1) for _ in range(40))
        found = await asyncio.gather(*searches, return_exceptions=True)
        refused = [one for one in found if isinstance(one, PartitionNotReady)]
        assert {one.reason for one in refused} == {"overloaded"} and len(refused) == 32

    run(scenario, limits=PartitionLimits(inline_rows_max=10, queue_max=8))


def test_searches_that_went_away_cost_no_search() -> None:
    async def scenario(house: House) -> None:
        for number, vector in enumerate(rows(200, 6)):
            house.store.put(KEY, number, vector)
        await house.partitions.search(KEY, rows(1), 1)
        house.observer.events.clear()
        searches = [asyncio.create_task(house.partitions.search(KEY, rows(1), 1)) for _ in range(20)]
        await asyncio.sleep(0)
        for search in searches:
            search.cancel()
        await asyncio.gather(*searches, return_exceptions=True)
        assert sum(house.observer.of("searched")) < 20  # type: ignore[arg-type]

    run(scenario, limits=PartitionLimits(inline_rows_max=10))


# Memory


def test_the_least_recently_used_partitions_are_unloaded_to_keep_the_budget() -> None:
    async def scenario(house: House) -> None:
        keys = [PartitionKey(KEY.tenant, bytes([n])) for n in range(3)]
        for key in keys:
            for number, vector in enumerate(rows(100)):
                house.store.put(key, number, vector)
        await house.partitions.search(keys[0], rows(1), 1)
        one = house.partitions.size_bytes
        assert 100 * DIMENSION < one <= 4000 + 100 * 8 + 100 * DIMENSION
        await house.partitions.search(keys[1], rows(1), 1)
        await house.partitions.search(keys[0], rows(1), 1)
        await house.partitions.search(keys[2], rows(1), 1)
        assert len(house.partitions) == 2 and house.partitions.size_bytes == 2 * one
        assert house.observer.of("evicted") == [one]
        await house.partitions.search(keys[0], rows(1), 1)
        assert len(house.store.loads) == 3, "the one used between was kept"
        await house.partitions.search(keys[1], rows(1), 1)
        assert len(house.store.loads) == 4

    run(scenario, limits=PartitionLimits(bytes_max=13_500))


def test_a_partition_larger_than_the_budget_stays_while_it_is_the_last_one_used() -> None:
    async def scenario(house: House) -> None:
        for number, vector in enumerate(rows(100)):
            house.store.put(KEY, number, vector)
        await house.partitions.search(KEY, rows(1), 1)
        await house.partitions.search(KEY, rows(1), 1)
        assert len(house.store.loads) == 1
        await house.partitions.search(OTHER, rows(1), 1)
        assert len(house.partitions) == 1

    run(scenario, limits=PartitionLimits(bytes_max=1))


def test_writes_count_towards_the_budget() -> None:
    async def scenario(house: House) -> None:
        await house.partitions.search(OTHER, rows(1), 1)
        await house.partitions.search(KEY, rows(1), 1)
        await house.partitions.add(KEY, range(200), rows(200))
        assert len(house.observer.of("evicted")) == 1 and len(house.partitions) == 1

    run(scenario, limits=PartitionLimits(bytes_max=10_000))


def test_a_large_partition_gets_its_lists_in_the_background() -> None:
    async def scenario(house: House) -> None:
        centres = rows(10, 1)
        many = np.clip(centres[np.arange(2000) % 10] + rows(2000, 2) // 10, -127, 127).astype(np.int8)
        for number, vector in enumerate(many):
            house.store.put(KEY, number, vector)
        await house.partitions.search(KEY, many[0], 1)
        partition = house.partitions._residency.get(KEY)
        assert partition is not None
        while partition.maintaining:
            await asyncio.sleep(0.01)
        assert partition.index is not None and partition.index.stage == "ivf"
        assert house.partitions.size_bytes == partition.size_bytes
        expected = dot(many[0], many[0])
        assert (await house.partitions.search(KEY, many[0], 1))[0].score >= expected

    run(scenario, limits=PartitionLimits(growth=Growth(array_rows_max=10, flat_rows_max=1000, recall_min=0.5)))


# Dropping and the feed


def test_dropping_a_tenant_forgets_its_partitions_and_no_others() -> None:
    async def scenario(house: House) -> None:
        house.store.put(KEY, 1, rows(1)[0])
        house.store.put(OTHER, 2, rows(1)[0])
        for key in (KEY, OTHER):
            await house.partitions.search(key, rows(1), 1)
        house.store.partitions[KEY].clear()
        house.partitions.drop(KEY.tenant)
        assert len(house.partitions) == 1
        assert await house.partitions.search(KEY, rows(1), 1) == []
        assert ids(await house.partitions.search(OTHER, rows(1), 1)) == [2]
        assert house.store.loads == [KEY, OTHER, KEY]

    run(scenario)


def test_what_was_being_loaded_of_a_dropped_tenant_is_not_served() -> None:
    async def scenario(house: House) -> None:
        house.store.put(KEY, 1, rows(1)[0])
        house.store.hold = asyncio.Event()
        searching = asyncio.create_task(house.partitions.search(KEY, rows(1), 1))
        await house.store.read.wait()
        house.partitions.drop(KEY.tenant)
        house.store.hold.set()
        with pytest.raises(PartitionNotReady, match="dropped"):
            await searching
        assert house.partitions.size_bytes == 0

    run(scenario)


def test_the_feed_adds_what_another_process_stored() -> None:
    async def scenario(house: House) -> None:
        await house.partitions.search(KEY, rows(1), 1)
        house.store.put(KEY, 5, rows(1)[0])
        await house.partitions.apply([change("add", 5), change("add", 6)])
        assert ids(await house.partitions.search(KEY, rows(1), 2)) == [5]

    run(scenario)


def test_the_feed_reads_nothing_for_partitions_that_are_not_in_memory() -> None:
    async def scenario(house: House) -> None:
        house.store.put(KEY, 5, rows(1)[0])
        await house.partitions.apply([change("add", 5)])
        assert house.store.fetched == [] and house.store.loads == []

    run(scenario)


def test_our_own_changes_come_back_in_the_feed_and_read_nothing() -> None:
    async def scenario(house: House) -> None:
        await house.partitions.search(KEY, rows(1), 1)
        await house.partitions.add(KEY, [5, 6], rows(2))
        await house.partitions.remove(KEY, [6])
        await house.partitions.apply([change("add", 5), change("add", 6), change("remove", 6)])
        assert house.store.fetched == []
        assert ids(await house.partitions.search(KEY, rows(1), 2)) == [5]

    run(scenario)


def test_the_feed_removes_in_order() -> None:
    async def scenario(house: House) -> None:
        house.store.put(KEY, 5, rows(1)[0])
        await house.partitions.search(KEY, rows(1), 1)
        await house.partitions.apply([change("add", 7), change("remove", 5), change("remove", 7)])
        assert await house.partitions.search(KEY, rows(1), 2) == [] and house.store.fetched == []

    run(scenario)


def test_a_removal_while_the_feed_reads_the_row_wins() -> None:
    async def scenario(house: House) -> None:
        await house.partitions.search(KEY, rows(1), 1)
        house.store.put(KEY, 5, rows(1)[0])
        house.store.hold = asyncio.Event()
        following = asyncio.create_task(house.partitions.apply([change("add", 5)]))
        while not house.store.fetched:
            await asyncio.sleep(0)
        await house.partitions.remove(KEY, [5])
        house.store.hold.set()
        await following
        assert await house.partitions.search(KEY, rows(1), 1) == []

    run(scenario)


def test_the_feed_drops_a_tenant() -> None:
    async def scenario(house: House) -> None:
        await house.partitions.search(KEY, rows(1), 1)
        await house.partitions.apply([Change(KEY.tenant, None, "drop", None)])
        assert len(house.partitions) == 0

    run(scenario)


def test_without_a_row_loader_foreign_adds_unload_the_partition() -> None:
    async def scenario(house: House) -> None:
        await house.partitions.search(KEY, rows(1), 1)
        house.store.put(KEY, 5, rows(1)[0])
        await house.partitions.apply([change("add", 5)])
        assert ids(await house.partitions.search(KEY, rows(1), 1)) == [5] and len(house.store.loads) == 2

    run(scenario, row_loader=False)


# The end


def test_after_closing_every_search_is_a_miss() -> None:
    async def scenario(house: House) -> None:
        house.store.put(KEY, 1, rows(1)[0])
        await house.partitions.search(KEY, rows(1), 1)
        await house.partitions.close()
        with pytest.raises(PartitionNotReady, match="closed"):
            await house.partitions.search(KEY, rows(1), 1)
        await house.partitions.add(KEY, [2], rows(1))

    run(scenario)


def test_closing_answers_those_who_wait() -> None:
    async def scenario(house: House) -> None:
        for number, vector in enumerate(rows(200, 6)):
            house.store.put(KEY, number, vector)
        await house.partitions.search(KEY, rows(1), 1)
        searches = [asyncio.create_task(house.partitions.search(KEY, rows(1), 1)) for _ in range(20)]
        await asyncio.sleep(0)
        await house.partitions.close()
        found = await asyncio.gather(*searches, return_exceptions=True)
        assert all(isinstance(one, list | PartitionNotReady) for one in found)

    run(scenario, limits=PartitionLimits(inline_rows_max=10))
