"""The approximate FAISS index for large partitions: it looks into the nearest lists only, with exact scores."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from server.index.errors import RowsRefused
from server.index.faiss_setup import load_faiss
from server.index.rows import CHUNK_ROWS, checked_vectors
from server.index.tombstoned import Float32Vector, TombstonedIndex
from server.ports import Float32Matrix, Int8Matrix, Int64Matrix, Int64Vector

POINTS_PER_LIST: Final = 64
_ITERATIONS: Final = 8
_LIST_BYTES: Final = 256
_SIGN = np.uint8(0x80)


class IvfRows:
    """A `RowStore` on `IndexIVFScalarQuantizer(QT_8bit_direct_signed)` without residuals, so codes stay exact."""

    __slots__ = ("_dimension", "_index", "_lists", "_quantizer")

    def __init__(self, sample: Int8Matrix, *, lists: int, probes: int) -> None:
        self._dimension: int = sample.shape[1]
        self._lists = lists
        faiss = load_faiss(self._dimension)
        self._quantizer: Any = faiss.IndexFlatIP(self._dimension)  # kept: the index refers to it
        self._index: Any = faiss.IndexIVFScalarQuantizer(
            self._quantizer,
            self._dimension,
            lists,
            faiss.ScalarQuantizer.QT_8bit_direct_signed,
            faiss.METRIC_INNER_PRODUCT,
            False,
        )
        self._index.cp.niter = _ITERATIONS
        self._index.cp.min_points_per_centroid = 1  # no warning on standard output; recall is measured instead
        self._index.train(sample.astype(np.float32))
        self._index.nprobe = probes

    @property
    def renumbers(self) -> bool:
        """Lists keep the labels they were given."""
        return False

    @property
    def size_bytes(self) -> int:
        """Codes and labels, doubled for what growing lists may have reserved, centroids and list headers."""
        rows = 2 * int(self._index.ntotal) * (self._dimension + 8)
        return rows + self._lists * (4 * self._dimension + _LIST_BYTES)

    def append(self, labels: Int64Vector, vectors: Int8Matrix) -> None:
        """Store rows in their nearest lists."""
        load_faiss(self._dimension)
        for start in range(0, len(labels), CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            self._index.add_with_ids(vectors[chunk].astype(np.float32), labels[chunk])

    def scan(self, queries: Float32Matrix, k: int) -> tuple[Float32Matrix, Int64Matrix]:
        """Return exact scores and labels of the k best rows in the probed lists."""
        load_faiss(self._dimension)
        scores, labels = self._index.search(queries, k)
        return scores, labels

    def scan_above(self, query: Float32Matrix, score: float) -> tuple[Float32Vector, Int64Vector]:
        """Return every row of the probed lists that scores above *score*."""
        load_faiss(self._dimension)
        _, scores, labels = self._index.range_search(query, score)
        return scores, labels

    def compact(self, dead: Int64Vector) -> None:
        """Take *dead* rows out of their lists."""
        self._index.remove_ids(dead)

    def get_rows(self) -> tuple[Int64Vector, Int8Matrix]:
        """Return labels, ascending, and a copy of the vectors."""
        faiss = load_faiss(self._dimension)
        inverted = self._index.invlists
        labels = np.empty(int(self._index.ntotal), dtype=np.int64)
        codes = np.empty((len(labels), self._dimension), dtype=np.uint8)
        end = 0
        for number in range(self._lists):
            size = int(inverted.list_size(number))
            if not size:
                continue
            start, end = end, end + size
            labels[start:end] = faiss.rev_swig_ptr(inverted.get_ids(number), size)
            flat = faiss.rev_swig_ptr(inverted.get_codes(number), size * self._dimension)
            codes[start:end] = flat.reshape(size, self._dimension)
        order = np.argsort(labels)
        return labels[order], (codes[order] ^ _SIGN).view(np.int8)


class FaissIVFIndex(TombstonedIndex):
    """Searches the lists whose centroids are nearest; what it finds has exact scores, what it misses is a miss."""

    __slots__ = ()

    def __init__(self, sample: Int8Matrix, *, lists: int, probes: int) -> None:
        """Train on *sample*, shape (at least *lists*, dimension), and start empty. Raises `RowsRefused`."""
        checked_vectors(sample, sample.shape[1])
        if not 1 <= probes <= lists <= len(sample):
            raise RowsRefused(f"{len(sample)} sampled rows cannot train {lists} lists of which {probes} are probed")
        super().__init__(sample.shape[1], IvfRows(sample, lists=lists, probes=probes))


def train_for(vectors: Int8Matrix, *, seed: int) -> FaissIVFIndex:
    """Return an empty index trained for the rows *vectors*: lists about 1.6 sqrt(n), probes about 0.7 sqrt(lists)."""
    lists = 2 ** round(math.log2(1.6 * math.sqrt(len(vectors))))
    wanted = min(len(vectors), POINTS_PER_LIST * lists)
    chosen = np.random.default_rng(seed).choice(len(vectors), wanted, replace=False, shuffle=False)
    return FaissIVFIndex(vectors[np.sort(chosen)], lists=lists, probes=max(8, round(0.7 * math.sqrt(lists))))
