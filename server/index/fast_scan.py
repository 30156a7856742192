"""The approximate FAISS index for very large partitions: four-bit codes choose candidates, exact int8 rows score them."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from server.index.errors import RowsRefused
from server.index.faiss_setup import load_faiss
from server.index.rows import CHUNK_ROWS, checked_vectors
from server.index.slots import Slots
from server.index.tombstoned import Float32Vector, TombstonedIndex
from server.ports import Float32Matrix, Int8Matrix, Int64Matrix, Int64Vector

#: Components that share one four-bit code: 96 codes, 48 bytes, at 384 components.
COMPONENTS_PER_CODE: Final = 4
CANDIDATES_MIN: Final = 256
CANDIDATES_MAX: Final = 4096
POINTS_PER_LIST: Final = 64
_ITERATIONS: Final = 8
_LIST_BYTES: Final = 512
#: A list's codes are kept in blocks of 32 rows, half filled on average.
_BLOCK_ROWS: Final = 32


class FastScanRows:
    """A `RowStore` on `IndexIVFPQFastScan`, whose codes are scanned in registers, in front of the rows themselves.

    The codes only propose: `candidates` rows per query (Andre, Kermarrec, Le Scouarnec: Quicker ADC, 2018). Each is then
    scored against its int8 row in float32, which is exact (`server.index.rows`), so scores do not depend on the codes.
    """

    __slots__ = ("_codes", "_dimension", "_index", "_lists", "_quantizer", "_slots", "candidates")

    def __init__(self, sample: Int8Matrix, *, lists: int, probes: int, candidates: int) -> None:
        self.candidates = candidates
        self._dimension: int = sample.shape[1]
        self._lists = lists
        self._codes = codes_for(self._dimension)
        self._slots = Slots(self._dimension)
        faiss = load_faiss(self._dimension)
        self._quantizer: Any = faiss.IndexFlatIP(self._dimension)  # kept: the index refers to it
        self._index: Any = faiss.IndexIVFPQFastScan(
            self._quantizer, self._dimension, lists, self._codes, 4, faiss.METRIC_INNER_PRODUCT
        )
        self._index.by_residual = False  # residuals cost a table per list and rank no better on questions (docs)
        for clustering in (self._index.cp, self._index.pq.cp):
            clustering.min_points_per_centroid = 1  # no warning on standard output; recall is measured instead
        self._index.cp.niter = _ITERATIONS
        self._index.train(sample.astype(np.float32))
        self._index.nprobe = probes

    @property
    def renumbers(self) -> bool:
        """Rows keep the labels they were given."""
        return False

    @property
    def size_bytes(self) -> int:
        """Exact rows, codes and slot numbers doubled for what growing lists may have reserved, centroids and tables."""
        packed = 2 * (len(self._slots) + self._lists * _BLOCK_ROWS // 2) * (self._codes // 2 + 1)
        numbers = 2 * 8 * len(self._slots)
        tables = self._lists * (4 * self._dimension + _LIST_BYTES) + 2 * 16 * 4 * self._dimension
        return self._slots.size_bytes + packed + numbers + tables

    def append(self, labels: Int64Vector, vectors: Int8Matrix) -> None:
        """Store rows, and their codes in the nearest lists under the rows' slots."""
        load_faiss(self._dimension)
        slots = self._slots.put(labels, vectors)
        for start in range(0, len(slots), CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            self._index.add_with_ids(vectors[chunk].astype(np.float32), slots[chunk])

    def scan(self, queries: Float32Matrix, k: int) -> tuple[Float32Matrix, Int64Matrix]:
        """Return exact scores and labels of the k best candidates."""
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        labels = np.full((len(queries), k), -1, dtype=np.int64)
        proposed = self._propose(queries, max(self.candidates, 2 * k))
        for row, slots in enumerate(proposed):
            slots = self._settled(slots, k)
            exact = self._score(queries[row], slots)
            best = np.argsort(-exact, kind="stable")[:k]
            scores[row, : len(best)] = exact[best]
            labels[row, : len(best)] = self._slots.labels_of(slots[best])
        return scores, labels

    def scan_above(self, query: Float32Matrix, score: float) -> tuple[Float32Vector, Int64Vector]:
        """Return every candidate that scores above *score*; asks for more candidates while all of them do."""
        wanted = self.candidates
        while True:
            slots = self._settled(self._propose(query, wanted)[0], 1)
            exact = self._score(query[0], slots)
            above = exact > score
            if len(slots) < wanted or not above.all():
                return exact[above], self._slots.labels_of(slots[above])
            wanted *= 4

    def compact(self, dead: Int64Vector) -> None:
        """Take *dead* rows out of their lists and free their slots."""
        load_faiss(self._dimension)
        self._index.remove_ids(self._slots.free(dead))

    def get_rows(self) -> tuple[Int64Vector, Int8Matrix]:
        """Return labels, ascending, and a copy of the vectors."""
        return self._slots.get_rows()

    def _propose(self, queries: Float32Matrix, count: int) -> Int64Matrix:
        load_faiss(self._dimension)
        proposed: Int64Matrix = self._index.search(queries, max(1, min(count, len(self._slots))))[1]
        return proposed

    def _settled(self, slots: Int64Vector, k: int) -> Int64Vector:
        """Return the slots that were proposed, or all of them where that is too little.

        FAISS leaves out rows whose code has the lowest value there is: every row, for a query of zeros.
        """
        found = slots[slots >= 0]
        if len(found) < len(slots) and (len(found) < k or len(slots) == len(self._slots)):
            return self._slots.used()
        return found

    def _score(self, query: Float32Vector, slots: Int64Vector) -> Float32Vector:
        exact = np.empty(len(slots), dtype=np.float32)
        for start in range(0, len(slots), CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            exact[chunk] = self._slots.vectors_of(slots[chunk]).astype(np.float32) @ query
        return exact


class FaissFastScanIndex(TombstonedIndex):
    """Scans the codes of the nearest lists and scores the best of them exactly; what it misses is a miss."""

    __slots__ = ("_fast",)

    def __init__(self, sample: Int8Matrix, *, lists: int, probes: int, candidates: int = CANDIDATES_MIN) -> None:
        """Train on *sample*, shape (at least *lists* and 16, dimension), and start empty. Raises `RowsRefused`."""
        checked_vectors(sample, sample.shape[1])
        if not 1 <= probes <= lists <= len(sample) or len(sample) < 16:
            raise RowsRefused(f"{len(sample)} sampled rows cannot train {lists} lists of which {probes} are probed")
        self._fast = FastScanRows(sample, lists=lists, probes=probes, candidates=candidates)
        super().__init__(sample.shape[1], self._fast)

    @property
    def candidates(self) -> int:
        """Rows that are scored exactly per query."""
        return self._fast.candidates

    def widen(self) -> bool:
        """Score twice as many candidates per query from now on; False when that would be too many."""
        if self._fast.candidates * 2 > CANDIDATES_MAX:
            return False
        self._fast.candidates *= 2
        return True


def codes_for(dimension: int) -> int:
    """Return how many four-bit codes a row gets: equal parts of at least four components each, as many as divide it."""
    return next(parts for parts in range(max(1, dimension // COMPONENTS_PER_CODE), 0, -1) if dimension % parts == 0)


def train_fast_scan(vectors: Int8Matrix, *, seed: int) -> FaissFastScanIndex:
    """Return an empty index trained for the rows *vectors*: lists about 1.6 sqrt(n), probes about 0.7 sqrt(lists)."""
    lists = 2 ** round(math.log2(1.6 * math.sqrt(len(vectors))))
    wanted = min(len(vectors), POINTS_PER_LIST * lists)
    chosen = np.random.default_rng(seed).choice(len(vectors), wanted, replace=False, shuffle=False)
    return FaissFastScanIndex(vectors[np.sort(chosen)], lists=lists, probes=max(8, round(0.7 * math.sqrt(lists))))
