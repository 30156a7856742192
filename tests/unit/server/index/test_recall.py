from __future__ import annotations

import numpy as np

from server.index.flat import FaissFlatIndex
from server.index.recall import best_scores, measured_recall


def rows(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(-20, 21, (count, 32)).astype(np.int8)


def filled(vectors: np.ndarray) -> FaissFlatIndex:
    index = FaissFlatIndex(32)
    index.add(np.arange(len(vectors), dtype=np.int64), vectors)
    return index


def test_the_best_scores_are_those_of_all_integers_across_blocks() -> None:
    vectors = rows(9_000)
    products = vectors[:5].astype(np.int64) @ vectors.T.astype(np.int64)
    assert np.array_equal(best_scores(vectors, vectors[:5], 11), -np.sort(-products, axis=1)[:, :11])


def test_an_exact_index_has_full_recall() -> None:
    vectors = rows(500)
    assert measured_recall(filled(vectors), vectors, vectors[:50]) == 1.0


def test_an_index_that_lacks_half_of_the_rows_finds_about_half() -> None:
    vectors = rows(500)
    assert 0.4 < measured_recall(filled(vectors[::2]), vectors, vectors[:100:2]) < 0.6
