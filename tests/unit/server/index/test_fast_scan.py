from __future__ import annotations

import numpy as np
import pytest

from server.index.errors import RowsRefused
from server.index.fast_scan import CANDIDATES_MAX, FaissFastScanIndex, codes_for, train_fast_scan
from server.index.recall import measured_recall


def clustered(count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((50, 64))
    points = centres[generator.integers(0, 50, count)] + 0.4 * generator.standard_normal((count, 64))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return np.clip(np.rint(points * 300), -127, 127).astype(np.int8)


def filled(vectors: np.ndarray) -> FaissFastScanIndex:
    index = train_fast_scan(vectors, seed=1)
    index.add(np.arange(len(vectors), dtype=np.int64), vectors)
    return index


def test_candidates_of_codes_are_scored_by_their_own_rows() -> None:
    vectors = clustered(5_000)
    ids, scores = filled(vectors).search(vectors[:40], 10)
    exact = np.einsum("qd,qkd->qk", vectors[:40].astype(np.int64), vectors[ids].astype(np.int64))
    assert np.array_equal(scores, exact)


def test_most_neighbours_are_found_among_few_candidates() -> None:
    vectors = clustered(5_000)
    assert measured_recall(filled(vectors), vectors, vectors[:100]) >= 0.95


def test_wider_candidates_find_more_and_end_at_a_limit() -> None:
    vectors = clustered(5_000)
    index = filled(vectors)
    index._fast.candidates = 12
    narrow = measured_recall(index, vectors, vectors[:100])
    assert index.widen() and index.widen() and index.candidates == 48
    assert measured_recall(index, vectors, vectors[:100]) > narrow
    while index.widen():
        pass
    assert CANDIDATES_MAX // 2 < index.candidates <= CANDIDATES_MAX


def test_more_equal_rows_than_candidates_still_come_by_lowest_id() -> None:
    vectors = clustered(2_000)
    index = filled(vectors)
    same = np.repeat(clustered(1, 7), 900, axis=0)
    index.add(np.arange(10_000, 10_900, dtype=np.int64)[::-1].copy(), same)
    assert index.candidates < 900
    assert index.search(same[:1], 5)[0][0].tolist() == [10_000, 10_001, 10_002, 10_003, 10_004]


def test_a_query_that_all_codes_value_alike_is_answered_by_the_rows() -> None:
    vectors = clustered(2_000)
    ids, scores = filled(vectors).search(np.zeros((1, 64), dtype=np.int8), 3)
    assert (ids[0].tolist(), scores[0].tolist()) == ([0, 1, 2], [0, 0, 0])


def test_thousands_of_removals_leave_every_other_row_findable() -> None:
    vectors = clustered(5_000)
    index = filled(vectors)
    index.remove(np.arange(0, 5_000, 2, dtype=np.int64))
    index.add(np.arange(5_000, 6_000, dtype=np.int64), clustered(1_000, 3))
    kept = np.concatenate((vectors[1::2], clustered(1_000, 3)))
    numbers = np.concatenate((np.arange(1, 5_000, 2), np.arange(5_000, 6_000)))
    assert np.array_equal(index.get_rows()[0], numbers) and np.array_equal(index.get_rows()[1], kept)
    ids, _ = index.search(kept, 5)
    assert (ids == numbers[:, np.newaxis]).any(axis=1).all() and np.isin(ids, numbers).all()


@pytest.mark.parametrize(("dimension", "codes"), [(384, 96), (768, 192), (8, 2), (6, 1), (7, 1), (30, 6), (1, 1)])
def test_codes_divide_the_components_evenly(dimension: int, codes: int) -> None:
    assert codes_for(dimension) == codes


def test_too_small_a_sample_is_refused() -> None:
    with pytest.raises(RowsRefused, match="cannot train"):
        FaissFastScanIndex(clustered(10), lists=4, probes=4)
