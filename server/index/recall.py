"""Whether an approximate index finds what an exact one would: measured on rows of the partition itself."""

from __future__ import annotations

from typing import Final

import numpy as np

from server.index.rows import CHUNK_ROWS
from server.ports import Int8Matrix, Int32Matrix, VectorIndex

NEIGHBOURS: Final = 10


def best_scores(vectors: Int8Matrix, queries: Int8Matrix, k: int) -> Int32Matrix:
    """Return the *k* highest scores of each query among *vectors*, best first, by a full scan that builds no index."""
    wide = queries.astype(np.float32)
    best = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(vectors), CHUNK_ROWS):
        scores = wide @ vectors[start : start + CHUNK_ROWS].astype(np.float32).T
        best = np.concatenate((best, scores), axis=1)
        if best.shape[1] > k:
            best = -np.partition(-best, k - 1, axis=1)[:, :k]
    return -np.sort(-best, axis=1)[:, :k].astype(np.int32)


def measured_recall(index: VectorIndex, vectors: Int8Matrix, rows: Int8Matrix, *, k: int = NEIGHBOURS) -> float:
    """Return the share of the exact *k* best neighbours of *rows* that *index* finds; equal scores are as good.

    *vectors* are all rows of the index and *rows* some of them; that each finds itself is no merit, so the best result
    is left out.
    """
    return recall_against(index, best_scores(vectors, rows, k + 1), rows)


def recall_against(index: VectorIndex, wanted: Int32Matrix, rows: Int8Matrix) -> float:
    """Return recall@k from *wanted*, shape (rows, k + 1): what `best_scores` says of *rows*.

    A row that is found belongs to the k best exactly when it scores as high as the k-th of them.
    """
    found = index.search(rows, wanted.shape[1])[1]
    return float(np.mean(found[:, 1:] >= wanted[:, -1:]))
