"""The exact FAISS index: one scan over int8 rows, a quarter of the memory of float32 ones and faster (docs)."""

from __future__ import annotations

from typing import Any

import numpy as np

from server.index.faiss_setup import load_faiss
from server.index.tombstoned import Float32Vector, TombstonedIndex
from server.ports import Float32Matrix, Int8Matrix, Int64Matrix, Int64Vector

_SIGN = np.uint8(0x80)


class Int8Rows:
    """A `RowStore` on `IndexScalarQuantizer(QT_8bit_direct_signed)`, whose code of a component x is the byte x + 128.

    FAISS decodes the byte to float32 and multiplies with the float32 query, so scores are exact (`server.index.rows`).
    """

    __slots__ = ("_allocated", "_dimension", "_index")

    def __init__(self, dimension: int) -> None:
        faiss = load_faiss(dimension)
        self._dimension = dimension
        self._index: Any = faiss.IndexScalarQuantizer(
            dimension, faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT
        )
        self._allocated = 0

    @property
    def renumbers(self) -> bool:
        """FAISS moves rows down to close gaps, in order."""
        return True

    @property
    def size_bytes(self) -> int:
        """The code buffer with what its growth reserved (a C++ vector at most doubles), and about 1 kB around it."""
        return self._allocated * self._dimension + 1024

    def append(self, labels: Int64Vector, vectors: Int8Matrix) -> None:
        """Store rows; FAISS's own position is the label."""
        rows = int(self._index.ntotal)
        if rows + len(vectors) > self._allocated:
            self._allocated = rows + max(rows, len(vectors))
        self._index.add_sa_codes(np.ascontiguousarray(vectors).view(np.uint8) ^ _SIGN)

    def scan(self, queries: Float32Matrix, k: int) -> tuple[Float32Matrix, Int64Matrix]:
        """Return exact scores and labels of the k best rows."""
        load_faiss(self._dimension)
        scores, labels = self._index.search(queries, k)
        return scores, labels

    def scan_above(self, query: Float32Matrix, score: float) -> tuple[Float32Vector, Int64Vector]:
        """Return every row that scores above *score*."""
        load_faiss(self._dimension)
        _, scores, labels = self._index.range_search(query, score)
        return scores, labels

    def compact(self, dead: Int64Vector) -> None:
        """Close the gaps of *dead* rows."""
        self._index.remove_ids(dead)

    def get_rows(self) -> tuple[Int64Vector, Int8Matrix]:
        """Return labels and a copy of the vectors."""
        rows = int(self._index.ntotal)
        codes = _bytes_of(self._index, rows * self._dimension, self._dimension)
        return np.arange(rows, dtype=np.int64), (codes ^ _SIGN).view(np.int8).reshape(rows, self._dimension)


class FaissFlatIndex(TombstonedIndex):
    """Exact search by a full scan: the same work for every query on a partition of given size."""

    __slots__ = ()

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension, Int8Rows(dimension))


def _bytes_of(index: Any, count: int, dimension: int) -> Any:
    if not count:
        return np.empty(0, dtype=np.uint8)
    return load_faiss(dimension).rev_swig_ptr(index.codes.data(), count)
