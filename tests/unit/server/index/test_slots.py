from __future__ import annotations

import numpy as np

from server.index.slots import Slots


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-20, 21, (count, 4)).astype(np.int8)


def labels(end: int, start: int = 0) -> np.ndarray:
    return np.arange(start, end, dtype=np.int64)


def test_rows_come_back_by_ascending_label_whatever_slots_they_took() -> None:
    slots = Slots(4)
    slots.put(labels(10), rows(10))
    slots.free(np.array([2, 5], dtype=np.int64))
    slots.put(labels(13, 10), rows(3, 1))
    found, vectors = slots.get_rows()
    assert found.tolist() == [0, 1, 3, 4, 6, 7, 8, 9, 10, 11, 12]
    assert np.array_equal(vectors, np.concatenate((rows(10)[[0, 1, 3, 4, 6, 7, 8, 9]], rows(3, 1))))


def test_freed_slots_are_used_before_new_ones() -> None:
    slots = Slots(4)
    slots.put(labels(10), rows(10))
    freed = slots.free(np.array([2, 5], dtype=np.int64))
    assert set(slots.put(labels(12, 10), rows(2)).tolist()) == set(freed.tolist())


def test_freeing_moves_no_other_row() -> None:
    slots = Slots(4)
    before = slots.put(labels(10), rows(10))
    slots.free(np.array([0], dtype=np.int64))
    assert np.array_equal(slots.vectors_of(before[1:]), rows(10)[1:])
    assert slots.labels_of(before[1:]).tolist() == list(range(1, 10)) and len(slots) == 9
