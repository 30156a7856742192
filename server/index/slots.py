"""Exact int8 rows in main memory, each in a slot that stays its own until it is freed: nothing is ever moved."""

from __future__ import annotations

from typing import Final

import numpy as np

from server.ports import Int8Matrix, Int64Vector

_GROWTH: Final = 1.25
_FREE: Final = -1


class Slots:
    """Rows by slot number, with the label each stands for.

    Freed slots are used again, so taking a thousand rows out of a million copies none of the others.
    """

    __slots__ = ("_free", "_labels", "_rows", "_used")

    def __init__(self, dimension: int) -> None:
        self._rows: Int8Matrix = np.empty((0, dimension), dtype=np.int8)
        self._labels: Int64Vector = np.empty(0, dtype=np.int64)
        self._free: list[int] = []
        self._used = 0

    def put(self, labels: Int64Vector, vectors: Int8Matrix) -> Int64Vector:
        """Store rows and return their slots."""
        reused = [self._free.pop() for _ in range(min(len(labels), len(self._free)))]
        fresh = len(labels) - len(reused)
        self._reserve(self._used + fresh)
        slots = np.concatenate(
            (np.array(reused, dtype=np.int64), np.arange(self._used, self._used + fresh, dtype=np.int64))
        )
        self._used += fresh
        self._rows[slots] = vectors
        self._labels[slots] = labels
        return slots

    def free(self, labels: Int64Vector) -> Int64Vector:
        """Give up the rows of *labels* and return the slots they had."""
        slots = np.flatnonzero(np.isin(self._labels[: self._used], labels))
        self._labels[slots] = _FREE
        self._free.extend(slots.tolist())
        return slots

    def used(self) -> Int64Vector:
        """Return all slots that hold a row."""
        return np.flatnonzero(self._labels[: self._used] != _FREE)

    def labels_of(self, slots: Int64Vector) -> Int64Vector:
        """Return the labels of *slots*."""
        return self._labels[slots]

    def vectors_of(self, slots: Int64Vector) -> Int8Matrix:
        """Return the vectors of *slots*."""
        return self._rows[slots]

    def get_rows(self) -> tuple[Int64Vector, Int8Matrix]:
        """Return labels, ascending, and a copy of the vectors."""
        slots = self.used()
        slots = slots[np.argsort(self._labels[slots])]
        return self._labels[slots], self._rows[slots]

    def __len__(self) -> int:
        return self._used - len(self._free)

    @property
    def size_bytes(self) -> int:
        """Resident memory: what is reserved counts in full."""
        return self._rows.nbytes + self._labels.nbytes + 40 * len(self._free)

    def _reserve(self, end: int) -> None:
        if end <= len(self._labels):
            return
        capacity = end if not self._used else max(end, int(self._used * _GROWTH) + 16)
        rows = np.empty((capacity, self._rows.shape[1]), dtype=np.int8)
        rows[: self._used] = self._rows[: self._used]
        labels = np.full(capacity, _FREE, dtype=np.int64)
        labels[: self._used] = self._labels[: self._used]
        self._rows, self._labels = rows, labels
