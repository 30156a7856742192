import numpy as np
import pytest

from server.embedding.errors import VectorError
from server.embedding.rows import unit_rows


def test_rows_are_scaled_to_length_one_and_keep_their_direction():
    rows = unit_rows(np.array([[3.0, 4.0], [0.0, -2.0]], np.float32), count=2, dimension=2)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0.0, -1.0]], atol=1e-7)


def test_very_long_rows_do_not_overflow():
    rows = unit_rows(np.full((1, 4), 3e38, np.float32), count=1, dimension=4)
    np.testing.assert_allclose(rows, 0.5, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_component_that_is_no_number_refuses_the_batch(bad):
    raw = np.ones((3, 4), np.float32)
    raw[1, 2] = bad
    with pytest.raises(VectorError, match="text 1 of 3"):
        unit_rows(raw, count=3, dimension=4)


@pytest.mark.parametrize("tiny", [0.0, 1e-42, 1e-8])
def test_a_zero_or_denormal_row_is_refused(tiny):
    raw = np.ones((2, 4), np.float32)
    raw[1] = tiny
    with pytest.raises(VectorError, match="near zero for text 1 of 2"):
        unit_rows(raw, count=2, dimension=4)


@pytest.mark.parametrize("shape", [(2, 5), (3, 4), (2, 4, 1), (8,)])
def test_another_shape_than_agreed_is_refused(shape):
    with pytest.raises(VectorError, match="agreed"):
        unit_rows(np.ones(shape, np.float32), count=2, dimension=4)
