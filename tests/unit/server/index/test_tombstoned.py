from __future__ import annotations

import numpy as np
import pytest

from server.index.errors import IndexBroken
from server.index.flat import FaissFlatIndex, Int8Rows
from server.index.tombstoned import TombstonedIndex


def rows(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(-20, 21, (count, 32)).astype(np.int8)


def numbers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


class FailingRows(Int8Rows):
    """Stores half of a batch and then runs out of memory, once told to."""

    __slots__ = ("fail",)

    def __init__(self) -> None:
        super().__init__(32)
        self.fail = False

    def append(self, labels: np.ndarray, vectors: np.ndarray) -> None:
        if self.fail:
            super().append(labels[:1], vectors[:1])
            raise MemoryError
        super().append(labels, vectors)


def test_after_a_write_that_failed_half_way_nothing_is_answered() -> None:
    store = FailingRows()
    index = TombstonedIndex(32, store)
    index.add(numbers(1), rows(1))
    store.fail = True
    with pytest.raises(MemoryError):
        index.add(numbers(2, 3), rows(2))
    store.fail = False
    with pytest.raises(IndexBroken):
        index.search(rows(1), 1)
    with pytest.raises(IndexBroken):
        index.add(numbers(4), rows(1))
    with pytest.raises(IndexBroken):
        index.remove(numbers(1))


@pytest.mark.parametrize(("removed", "kept"), [(31, 200), (33, 167)], ids=["few", "more than a tenth"])
def test_rows_are_reclaimed_in_batches(removed: int, kept: int) -> None:
    index = FaissFlatIndex(32)
    index.add(np.arange(200, dtype=np.int64), rows(200))
    index.remove(np.arange(removed, dtype=np.int64))
    assert index._labels.row_count == kept and len(index) == 200 - removed


def test_a_thousand_tombstones_are_reclaimed_even_if_they_are_few_of_many() -> None:
    index = FaissFlatIndex(32)
    index.add(np.arange(20_000, dtype=np.int64), rows(20_000))
    index.remove(np.arange(1000, dtype=np.int64))
    assert index._labels.dead_count == 1000
    index.remove(numbers(1000))
    assert index._labels.dead_count == 0 and len(index) == 18_999


def test_the_size_covers_what_growth_reserved() -> None:
    index = FaissFlatIndex(32)
    index.add(np.arange(1000, dtype=np.int64), rows(1000))
    exact = index.size_bytes
    index.add(numbers(1000), rows(1))
    assert exact < 1000 * (32 + 17) + 2048 and index.size_bytes >= 2000 * 32
