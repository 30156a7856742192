"""A `VectorIndex` over any store of rows that can append, scan and compact: locks, tombstones, ties."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from server.index.errors import IndexBroken
from server.index.labels import Labels
from server.index.locks import ReadWriteLock
from server.index.rows import best_first, checked_ids, checked_k, checked_rows, checked_vectors, empty_results
from server.ports import Float32Matrix, Int8Matrix, Int32Matrix, Int64Matrix, Int64Vector

Float32Vector = npt.NDArray[np.float32]

#: Asked for beyond k, so that a few tombstones or a tie at the end seldom cost a second scan.
MARGIN: Final = 8
DEAD_SHARE_MAX: Final = 0.10
DEAD_MAX: Final = 1000
#: Below this many tombstones compaction costs more than it saves.
DEAD_MIN: Final = 32


class RowStore(Protocol):
    """Rows under ascending labels; called under the lock of `TombstonedIndex`, searches concurrently."""

    @property
    def renumbers(self) -> bool:
        """Whether `compact` closes gaps, so that labels start from 0 again."""
        ...

    @property
    def size_bytes(self) -> int:
        """Resident memory, measured or bounded from above."""
        ...

    def append(self, labels: Int64Vector, vectors: Int8Matrix) -> None:
        """Store rows under labels higher than all before."""
        ...

    def scan(self, queries: Float32Matrix, k: int) -> tuple[Float32Matrix, Int64Matrix]:
        """Return exact scores and labels of the k best rows, best first, label -1 where there are no more."""
        ...

    def scan_above(self, query: Float32Matrix, score: float) -> tuple[Float32Vector, Int64Vector]:
        """Return every row that scores above *score* against the one query."""
        ...

    def compact(self, dead: Int64Vector) -> None:
        """Reclaim the rows of *dead* labels."""
        ...

    def get_rows(self) -> tuple[Int64Vector, Int8Matrix]:
        """Return labels, ascending, and vectors."""
        ...


class TombstonedIndex:
    """Readers share, a writer excludes; a removed or replaced row is unfindable at once and reclaimed in batches."""

    __slots__ = ("_broken", "_dimension", "_labels", "_lock", "_store")

    def __init__(self, dimension: int, store: RowStore) -> None:
        self._dimension = dimension
        self._store = store
        self._labels = Labels()
        self._lock = ReadWriteLock()
        self._broken = False

    def add(self, ids: Int64Vector, vectors: Int8Matrix) -> None:
        """Add rows; an id that is already there is replaced.

        Raises `RowsRefused` (nothing changed) or `IndexBroken` (the index answers no more).
        """
        ids, vectors = checked_rows(ids, vectors, self._dimension)
        if not len(ids):
            return
        with self._lock.writing():
            self._refuse_if_broken()
            self._broken = True  # until both books agree again
            self._store.append(self._labels.append(ids), vectors)
            self._broken = False
            self._compact_if_due()

    def remove(self, ids: Int64Vector) -> None:
        """Make rows unfindable at once; ids that are not there are ignored."""
        checked_ids(ids)
        with self._lock.writing():
            self._refuse_if_broken()
            if self._labels.bury(ids):
                self._compact_if_due()

    def search(self, queries: Int8Matrix, k: int) -> tuple[Int64Matrix, Int32Matrix]:
        """Return the *k* best ids per query and their exact inner products, best first; -1 pads missing ids."""
        checked_vectors(queries, self._dimension)
        found_ids, found_scores = empty_results(len(queries), checked_k(k))
        floats = queries.astype(np.float32)
        with self._lock.reading():
            self._refuse_if_broken()
            rows = self._labels.row_count
            if not len(self._labels) or not len(queries):
                return found_ids, found_scores
            asked = min(rows, k + 1 + min(self._labels.dead_count, MARGIN))
            scores, labels = self._store.scan(floats, asked)
            for row in range(len(queries)):
                ids, best = self._pick(floats[row : row + 1], k, scores[row], labels[row])
                found_ids[row, : len(ids)] = ids
                found_scores[row, : len(ids)] = best
        return found_ids, found_scores

    def contains(self, ids: Int64Vector) -> bool:
        """Say whether every one of *ids* is findable."""
        with self._lock.reading():
            return self._labels.contains(ids)

    def get_rows(self) -> tuple[Int64Vector, Int8Matrix]:
        """Return a copy of all live rows."""
        with self._lock.reading():
            self._refuse_if_broken()
            labels, vectors = self._store.get_rows()
            ids, live = self._labels.resolve(labels)
            return ids[live], vectors[live]

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def size_bytes(self) -> int:
        """Resident memory, bounded from above."""
        return self._store.size_bytes + self._labels.size_bytes

    def _pick(
        self, query: Float32Matrix, k: int, scores: Float32Vector, labels: Int64Vector
    ) -> tuple[Int64Vector, Float32Vector]:
        """Choose the k best live rows out of one scan, and scan again where it does not settle them."""
        live_scores, live_ids, settled = self._settle(k, scores, labels)
        if not settled and len(live_ids) < k:
            asked = min(self._labels.row_count, k + 1 + self._labels.dead_count)
            more_scores, more_labels = self._store.scan(query, asked)
            live_scores, live_ids, settled = self._settle(k, more_scores[0], more_labels[0])
        if not settled:
            # Equal scores run past the end of what was fetched: take all of them, so that the lowest ids win.
            all_scores, all_labels = self._store.scan_above(query, float(live_scores[k - 1]) - 0.5)
            ids, live = self._labels.resolve(all_labels)
            live_scores, live_ids = all_scores[live], ids[live]
        order = best_first(live_scores, live_ids)[:k]
        return live_ids[order], live_scores[order]

    def _settle(self, k: int, scores: Float32Vector, labels: Int64Vector) -> tuple[Float32Vector, Int64Vector, bool]:
        """Return live scores and ids of a scan, and whether no row outside it can be among the k best."""
        fetched = labels >= 0
        exhausted = not fetched.all() or len(labels) >= self._labels.row_count
        scores, labels = scores[fetched], labels[fetched]
        ids, live = self._labels.resolve(labels)
        live_scores, live_ids = scores[live], ids[live]
        settled = exhausted or (len(live_ids) >= k and live_scores[k - 1] > scores[-1])
        return live_scores, live_ids, bool(settled)

    def _compact_if_due(self) -> None:
        dead = self._labels.dead_count
        if dead < DEAD_MIN or (dead <= DEAD_MAX and dead <= DEAD_SHARE_MAX * self._labels.row_count):
            return
        self._broken = True
        self._store.compact(self._labels.get_dead())
        self._labels.forget_dead(renumbered=self._store.renumbers)
        self._broken = False

    def _refuse_if_broken(self) -> None:
        if self._broken:
            raise IndexBroken("a write failed half-way; load this index again from the store")
