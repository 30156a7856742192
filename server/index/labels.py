"""Which entry a stored row belongs to, and whether it may still be found."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from server.ports import Int64Vector

_GROWTH = 1.25


class Labels:
    """Maps an adapter's row labels to entry ids, with a tombstone per row.

    Labels are handed out in ascending order and stay ascending, so a label is found by bisection. There is no map from
    ids to rows: new ids are mostly higher than all before (row keys rise with time), which one comparison shows, and
    the rest is one pass over eight bytes per row. A hash map would cost a hundred bytes per row instead.
    """

    __slots__ = ("_count", "_dead", "_id_max", "_ids", "_labels", "_next", "dead_count")

    def __init__(self) -> None:
        self._ids: Int64Vector = np.empty(0, dtype=np.int64)
        self._labels: Int64Vector = np.empty(0, dtype=np.int64)
        self._dead: npt.NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
        self._count = 0
        self._next = 0
        self._id_max = -1
        self.dead_count = 0

    def append(self, ids: Int64Vector) -> Int64Vector:
        """Bury the rows that *ids* had, give them new ones, and return the new labels."""
        self.bury(ids)
        return self._append(ids)

    def bury(self, ids: Int64Vector) -> int:
        """Put a tombstone on the live rows of *ids*; return how many there were."""
        rows = self._live_rows(ids)
        self._dead[rows] = True
        self.dead_count += len(rows)
        return len(rows)

    def resolve(self, labels: Int64Vector) -> tuple[Int64Vector, npt.NDArray[np.bool_]]:
        """Return the ids of *labels* and which of them are live."""
        rows = np.searchsorted(self._labels[: self._count], labels)
        return self._ids[rows], ~self._dead[rows]

    def get_dead(self) -> Int64Vector:
        """Return the labels that have a tombstone, ascending."""
        return self._labels[: self._count][self._dead[: self._count]]

    def forget_dead(self, *, renumbered: bool) -> None:
        """Drop tombstoned rows; *renumbered* says that the adapter closed the gaps and counts from 0 again."""
        kept = ~self._dead[: self._count]
        self._ids = self._ids[: self._count][kept]
        self._labels = self._labels[: self._count][kept]
        self._count = len(self._ids)
        self._dead = np.zeros(self._count, dtype=np.bool_)
        self.dead_count = 0
        if renumbered:
            self._labels = np.arange(self._count, dtype=np.int64)
            self._next = self._count

    def contains(self, ids: Int64Vector) -> bool:
        """Say whether every one of *ids* has a live row."""
        return len(self._live_rows(ids)) == len(ids)

    def __len__(self) -> int:
        return self._count - self.dead_count

    @property
    def row_count(self) -> int:
        """Rows with or without a tombstone."""
        return self._count

    @property
    def size_bytes(self) -> int:
        """Resident memory."""
        return self._ids.nbytes + self._labels.nbytes + self._dead.nbytes

    def _live_rows(self, ids: Int64Vector) -> Int64Vector:
        if not len(ids) or int(ids.min()) > self._id_max:
            return np.empty(0, dtype=np.int64)
        known = self._ids[: self._count]
        same = known == ids[0] if len(ids) == 1 else np.isin(known, ids)
        return np.flatnonzero(same & ~self._dead[: self._count])

    def _append(self, ids: Int64Vector) -> Int64Vector:
        labels = np.arange(self._next, self._next + len(ids), dtype=np.int64)
        end = self._count + len(ids)
        if end > len(self._ids):
            capacity = end if not self._count else max(end, int(self._count * _GROWTH) + 16)
            self._ids = _grown(self._ids, capacity)
            self._labels = _grown(self._labels, capacity)
            self._dead = np.append(self._dead, np.zeros(capacity - len(self._dead), dtype=np.bool_))
        self._ids[self._count : end] = ids
        self._labels[self._count : end] = labels
        self._count, self._next = end, self._next + len(ids)
        if len(ids):
            self._id_max = max(self._id_max, int(ids.max()))
        return labels


def _grown(values: Int64Vector, capacity: int) -> Int64Vector:
    grown = np.zeros(capacity, dtype=np.int64)
    grown[: len(values)] = values
    return grown
