from __future__ import annotations

import threading

import numpy as np
import pytest

from server.index import growing
from server.index.fast_scan import FaissFastScanIndex
from server.index.growing import GrowingIndex, Growth
from server.index.ivf import FaissIVFIndex
from server.index.torch_rows import TorchIndex

SMALL = Growth(array_rows_max=8, flat_rows_max=400)


def clustered(count: int, seed: int = 0) -> np.ndarray:
    """Rows around a few centres, as questions are."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((20, 64))
    points = centres[generator.integers(0, 20, count)] + 0.3 * generator.standard_normal((count, 64))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return np.clip(np.rint(points * 508), -127, 127).astype(np.int8)


def scattered(count: int) -> np.ndarray:
    """Rows without structure, in which inverted lists find little."""
    points = np.random.default_rng(1).standard_normal((count, 64))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return np.clip(np.rint(points * 508), -127, 127).astype(np.int8)


def up_to(end: int, start: int = 0) -> np.ndarray:
    return np.arange(start, end, dtype=np.int64)


def test_an_array_becomes_flat_when_it_outgrows_its_limit() -> None:
    index = GrowingIndex(64, SMALL)
    index.add(up_to(8), clustered(8))
    assert index.stage == "array"
    index.add(up_to(9, 8), clustered(1))
    assert index.stage == "flat" and len(index) == 9


def test_a_flat_index_becomes_an_array_only_at_half_that_size() -> None:
    index = GrowingIndex(64, SMALL)
    index.add(up_to(9), clustered(9))
    index.remove(up_to(4))
    assert index.stage == "flat"
    index.remove(up_to(5))
    assert index.stage == "array" and len(index) == 4


def test_inverted_lists_come_with_maintenance_only() -> None:
    index = GrowingIndex(64, SMALL)
    index.add(up_to(1500), clustered(1500))
    assert (index.stage, index.maintenance_due) == ("flat", True)
    index.maintain()
    assert (index.stage, index.maintenance_due, len(index)) == ("ivf", False, 1500)


def test_lists_that_lose_neighbours_are_thrown_away_until_the_partition_doubles() -> None:
    index = GrowingIndex(64, SMALL)
    index.add(up_to(3000), scattered(3000))
    index.maintain()
    assert (index.stage, index.maintenance_due, len(index)) == ("flat", False, 3000)
    index.add(up_to(6000, 3000), clustered(3000))
    assert index.maintenance_due


def test_a_partition_that_shrinks_leaves_its_lists_at_half_the_limit() -> None:
    index = GrowingIndex(64, SMALL)
    index.add(up_to(1500), clustered(1500))
    index.maintain()
    index.remove(up_to(1250))
    assert not index.maintenance_due
    index.remove(up_to(1300))
    assert index.maintenance_due
    index.maintain()
    assert (index.stage, len(index)) == ("flat", 200)


def test_lists_are_trained_again_when_the_partition_has_quadrupled() -> None:
    index = GrowingIndex(64, SMALL)
    index.add(up_to(500), clustered(500))
    index.maintain()
    index.add(up_to(2000, 500), clustered(1500, 1))
    assert index.maintenance_due
    index.maintain()
    assert index.stage == "ivf" and not index.maintenance_due


def test_writes_during_maintenance_are_in_what_comes_out_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    index = GrowingIndex(64, SMALL)
    rows = clustered(1500)
    index.add(up_to(1500), rows)
    training, go_on = threading.Event(), threading.Event()
    train = growing.train_for

    def slow_train(vectors: np.ndarray, *, seed: int) -> FaissIVFIndex:
        training.set()
        assert go_on.wait(10)
        return train(vectors, seed=seed)

    monkeypatch.setattr(growing, "train_for", slow_train)
    thread = threading.Thread(target=index.maintain)
    thread.start()
    assert training.wait(10)
    index.remove(up_to(1))
    index.add(np.array([9999], dtype=np.int64), rows[:1])
    assert index.search(rows[:1], 1)[0][0, 0] == 9999, "the old stage serves meanwhile"
    go_on.set()
    thread.join(10)
    assert index.stage == "ivf" and len(index) == 1500
    assert index.search(rows[:1], 1)[0][0, 0] == 9999


def test_maintenance_that_fails_leaves_the_index_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    index = GrowingIndex(64, SMALL)
    rows = clustered(1500)
    index.add(up_to(1500), rows)

    def failing_train(vectors: np.ndarray, *, seed: int) -> FaissIVFIndex:
        raise MemoryError

    monkeypatch.setattr(growing, "train_for", failing_train)
    with pytest.raises(MemoryError):
        index.maintain()
    monkeypatch.undo()
    assert index.search(rows[5:6], 1)[0][0, 0] == 5
    index.maintain()
    assert index.stage == "ivf"


def test_too_many_writes_during_maintenance_give_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    index = GrowingIndex(64, SMALL)
    index.add(up_to(1500), clustered(1500))
    train = growing.train_for

    def train_while_writing(vectors: np.ndarray, *, seed: int) -> FaissIVFIndex:
        index.add(up_to(1700, 1500), clustered(200, 3))
        return train(vectors, seed=seed)

    monkeypatch.setattr(growing, "_JOURNAL_ROWS_MAX", 100)
    monkeypatch.setattr(growing, "train_for", train_while_writing)
    index.maintain()
    assert (index.stage, len(index), index.maintenance_due) == ("flat", 1700, True)


LARGE = Growth(array_rows_max=8, flat_rows_max=400, lists_rows_max=2000)


def test_codes_come_above_the_limit_of_lists() -> None:
    index = GrowingIndex(64, LARGE)
    index.add(up_to(1500), clustered(1500))
    index.maintain()
    assert index.stage == "ivf" and not index.maintenance_due
    index.add(up_to(2001, 1500), clustered(501, 1))
    assert index.maintenance_due
    index.maintain()
    assert (index.stage, index.maintenance_due, len(index)) == ("fast_scan", False, 2001)


def test_a_partition_that_shrinks_leaves_its_codes_at_half_the_limit() -> None:
    index = GrowingIndex(64, LARGE)
    index.add(up_to(2100), clustered(2100))
    index.maintain()
    index.remove(up_to(1000))
    assert (index.stage, index.maintenance_due) == ("fast_scan", False)
    index.remove(up_to(1100))
    assert index.maintenance_due
    index.maintain()
    assert (index.stage, len(index)) == ("ivf", 1000)


def test_codes_are_given_more_candidates_before_they_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    widened: list[int] = []
    widen = FaissFastScanIndex.widen

    def counted(index: FaissFastScanIndex) -> bool:
        widened.append(index.candidates)
        return widen(index)

    monkeypatch.setattr(FaissFastScanIndex, "widen", counted)
    monkeypatch.setattr(growing, "train_fast_scan", lambda vectors, *, seed: narrow(vectors))
    index = GrowingIndex(64, LARGE)
    index.add(up_to(2100), clustered(2100))
    index.maintain()
    assert index.stage == "fast_scan" and widened


def narrow(vectors: np.ndarray) -> FaissFastScanIndex:
    return FaissFastScanIndex(vectors, lists=32, probes=16, candidates=8)


def test_codes_that_lose_neighbours_give_way_to_the_stages_below_until_the_partition_doubles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.index.fast_scan.CANDIDATES_MAX", 256)
    index = GrowingIndex(64, LARGE)
    index.add(up_to(3000), scattered(3000))
    index.maintain()
    assert (index.stage, index.maintenance_due, len(index)) == ("flat", False, 3000)


def test_a_device_serves_large_partitions_and_gives_small_ones_back() -> None:
    growth = Growth(array_rows_max=8, device=lambda: TorchIndex(64, "cpu"), device_rows_min=500)
    index = GrowingIndex(64, growth)
    rows = clustered(600)
    index.add(up_to(600), rows)
    assert (index.stage, index.maintenance_due) == ("flat", True)
    index.maintain()
    assert (index.stage, index.maintenance_due) == ("device", False)
    assert index.search(rows[7:8], 1)[0][0, 0] == 7
    index.remove(up_to(350))
    index.maintain()
    assert (index.stage, len(index)) == ("flat", 250)
