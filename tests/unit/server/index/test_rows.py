"""The rule that makes float32 scores exact, at its very edge."""

from __future__ import annotations

import numpy as np
import pytest

from server.index.array import ArrayIndex
from server.index.errors import RowsRefused
from server.index.flat import FaissFlatIndex
from server.index.rows import DIMENSION_SAFE, NORM_SQUARED_MAX, checked_rows, checked_vectors


def test_up_to_1024_components_any_int8_vector_is_short_enough() -> None:
    assert DIMENSION_SAFE == 1024 and DIMENSION_SAFE * 128 * 128 == NORM_SQUARED_MAX
    checked_vectors(np.full((1, 1024), -128, dtype=np.int8), 1024)


def test_a_longer_vector_with_too_large_a_norm_is_refused() -> None:
    with pytest.raises(RowsRefused, match="quantise unit vectors"):
        checked_vectors(np.full((1, 1025), -128, dtype=np.int8), 1025)


def test_a_longer_vector_with_a_small_norm_is_taken() -> None:
    checked_vectors(np.full((1, 3072), 9, dtype=np.int8), 3072)


@pytest.mark.parametrize("adapter", [ArrayIndex, FaissFlatIndex])
def test_the_largest_permitted_sums_are_exact_whatever_their_signs(adapter: type) -> None:
    """Alternating signs drive partial sums far from the result; one odd component shows any rounding."""
    row = np.full(1024, -128, dtype=np.int8)
    row[::2] = 127
    row[-1] = 1
    query = np.full(1024, -127, dtype=np.int8)
    query[1::2] = 126
    index = adapter(1024)
    index.add(np.array([1], dtype=np.int64), np.stack([row]))
    expected = sum(a * b for a, b in zip(row.tolist(), query.tolist(), strict=True))
    assert index.search(np.stack([query]), 1)[1][0, 0] == expected


def test_float32_would_round_beyond_the_rule() -> None:
    assert np.float32(NORM_SQUARED_MAX) + np.float32(1) == np.float32(NORM_SQUARED_MAX)


def test_rows_are_put_into_id_order_and_the_last_of_equals_is_kept() -> None:
    vectors = np.arange(4, dtype=np.int8)[:, np.newaxis]
    ids, rows = checked_rows(np.array([9, 2, 9, 5], dtype=np.int64), vectors, 1)
    assert ids.tolist() == [2, 5, 9] and rows[:, 0].tolist() == [1, 3, 2]
