"""What may go into an index, and in which order results come out: the two rules every adapter shares.

Exactness. Vectors are int8; adapters compute inner products in float32, which holds every integer of magnitude up to
2^24. Whatever order a dot product is summed in, each intermediate value is the inner product over a subset S of the
components, an integer, and by Cauchy-Schwarz |<q_S, e_S>| <= |q_S||e_S| <= |q||e|. If |q|^2 and |e|^2 are at most
2^24, no intermediate value exceeds 2^24, so nothing is ever rounded, with or without fused multiply-add, vectorised or
not, on any device: the float32 result *is* the integer. Up to 1024 components every int8 vector is short enough
(1024 * 128^2 = 2^24); longer ones are measured. The house's quantised unit vectors have |v|^2 <= 260,100.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from server.index.errors import RowsRefused
from server.ports import Int8Matrix, Int32Matrix, Int64Matrix, Int64Vector

NORM_SQUARED_MAX: Final = 2**24
DIMENSION_SAFE: Final = NORM_SQUARED_MAX // 128**2
K_MAX: Final = 1024
#: Rows converted to float32 at a time, so that a large batch does not need four times its size beside it.
CHUNK_ROWS: Final = 8192

PAD_ID: Final = -1
PAD_SCORE: Final = -(2**31)


def checked_ids(ids: Int64Vector) -> Int64Vector:
    """Return *ids* if they are 63-bit and one-dimensional; raises `RowsRefused`."""
    if ids.ndim != 1 or ids.dtype != np.int64:
        raise RowsRefused(f"ids must be one-dimensional int64, not {ids.dtype} of shape {ids.shape}")
    if ids.size and int(ids.min()) < 0:
        raise RowsRefused("an id is negative; ids are 63-bit row keys")
    return ids


def checked_vectors(vectors: Int8Matrix, dimension: int) -> Int8Matrix:
    """Return *vectors* if they are int8 rows whose inner products are exact in float32; raises `RowsRefused`."""
    if vectors.dtype != np.int8 or vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise RowsRefused(f"vectors must be int8 rows of {dimension}, not {vectors.dtype} of shape {vectors.shape}")
    if dimension > DIMENSION_SAFE and vectors.size:
        wide = vectors.astype(np.int32)
        if int(np.einsum("ij,ij->i", wide, wide).max()) > NORM_SQUARED_MAX:
            raise RowsRefused(f"a vector's squared norm exceeds {NORM_SQUARED_MAX}; quantise unit vectors only")
    return vectors


def checked_rows(ids: Int64Vector, vectors: Int8Matrix, dimension: int) -> tuple[Int64Vector, Int8Matrix]:
    """Return the rows to add: checked, in ascending id order, the last of several with one id; raises `RowsRefused`."""
    checked_ids(ids)
    checked_vectors(vectors, dimension)
    if len(ids) != len(vectors):
        raise RowsRefused(f"{len(ids)} ids came with {len(vectors)} vectors")
    if len(ids) < 2 or bool(np.all(ids[1:] > ids[:-1])):
        return ids, vectors
    unique, last = np.unique(ids[::-1], return_index=True)
    return unique, vectors[::-1][last]


def checked_k(k: int) -> int:
    """Return *k* if it is within 1..1024; raises `RowsRefused`."""
    if not 1 <= k <= K_MAX:
        raise RowsRefused(f"k is {k}; ask for 1 to {K_MAX} neighbours")
    return k


def empty_results(queries: int, k: int) -> tuple[Int64Matrix, Int32Matrix]:
    """Return results of shape (queries, k) that say "nothing" everywhere."""
    return np.full((queries, k), PAD_ID, dtype=np.int64), np.full((queries, k), PAD_SCORE, dtype=np.int32)


def best_first(scores: npt.NDArray[np.float32], ids: Int64Vector) -> Int64Vector:
    """Return the order of results: higher scores first, and the lower id first among equal scores."""
    return np.lexsort((ids, -scores))
