"""The index of a small partition: two numpy arrays, replaced and never changed, so readers need no lock."""

from __future__ import annotations

import threading
from typing import Final

import numpy as np

from server.index.rows import checked_ids, checked_k, checked_rows, checked_vectors, empty_results
from server.ports import Int8Matrix, Int32Matrix, Int64Matrix, Int64Vector

#: Two array headers, their tuple, the lock and the object itself, measured by tests/bench/index.py and rounded up.
FIXED_BYTES: Final = 416


class ArrayIndex:
    """A `VectorIndex` for up to about a thousand rows: a write copies all rows (10 us at 256), a search converts them.

    Rows stand in ascending id order, so a stable sort by score leaves the lower id first among equals.
    """

    __slots__ = ("_dimension", "_rows", "_writing")

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._rows: tuple[Int64Vector, Int8Matrix] = (
            np.empty(0, dtype=np.int64),
            np.empty((0, dimension), dtype=np.int8),
        )
        self._writing = threading.Lock()

    def add(self, ids: Int64Vector, vectors: Int8Matrix) -> None:
        """Add rows; an id that is already there is replaced."""
        ids, vectors = checked_rows(ids, vectors, self._dimension)
        with self._writing:
            old_ids, old_vectors = self._rows
            if len(old_ids) and len(ids) and ids[0] <= old_ids[-1]:
                kept = np.isin(old_ids, ids, assume_unique=True, invert=True)
                all_ids = np.concatenate((old_ids[kept], ids))
                order = np.argsort(all_ids)
                self._rows = (all_ids[order], np.concatenate((old_vectors[kept], vectors))[order])
            else:
                self._rows = (np.concatenate((old_ids, ids)), np.concatenate((old_vectors, vectors)))

    def remove(self, ids: Int64Vector) -> None:
        """Forget rows; ids that are not there are ignored."""
        checked_ids(ids)
        with self._writing:
            old_ids, old_vectors = self._rows
            kept = np.isin(old_ids, ids, invert=True)
            if not kept.all():
                self._rows = (old_ids[kept], old_vectors[kept])

    def search(self, queries: Int8Matrix, k: int) -> tuple[Int64Matrix, Int32Matrix]:
        """Return the *k* best ids per query and their exact inner products, best first; -1 pads missing ids."""
        checked_vectors(queries, self._dimension)
        ids, vectors = self._rows
        found_ids, found_scores = empty_results(len(queries), checked_k(k))
        if not len(ids):
            return found_ids, found_scores
        scores = queries.astype(np.float32) @ vectors.astype(np.float32).T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        width = best.shape[1]
        found_ids[:, :width] = ids[best]
        found_scores[:, :width] = scores[np.arange(len(scores))[:, np.newaxis], best]
        return found_ids, found_scores

    def contains(self, ids: Int64Vector) -> bool:
        """Say whether every one of *ids* is findable."""
        return bool(np.isin(ids, self._rows[0]).all())

    def get_rows(self) -> tuple[Int64Vector, Int8Matrix]:
        """Return all rows as they are now; not to be changed."""
        return self._rows

    def __len__(self) -> int:
        return len(self._rows[0])

    @property
    def size_bytes(self) -> int:
        """Resident memory of the rows and what surrounds them."""
        ids, vectors = self._rows
        return FIXED_BYTES + ids.nbytes + vectors.nbytes
