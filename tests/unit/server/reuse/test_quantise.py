import numpy as np
import pytest

from crypto.errors import EncodingError
from crypto.similarity import quantise_reference
from server.reuse.quantise import norms_squared, quantise


def test_rows_come_out_as_int8_of_the_same_shape() -> None:
    quantised = quantise(np.zeros((3, 5), np.float32))
    assert quantised.dtype == np.int8
    assert quantised.shape == (3, 5)


def test_a_row_equals_the_plain_reference() -> None:
    row = np.random.default_rng(3).standard_normal(384).astype(np.float32)
    row /= np.linalg.norm(row)
    assert tuple(quantise(row[np.newaxis])[0].tolist()) == quantise_reference(row.tolist())


@pytest.mark.parametrize("part", [np.nan, np.inf, -np.inf])
def test_a_component_that_is_not_finite_is_refused(part: float) -> None:
    with pytest.raises(EncodingError):
        quantise(np.array([[0.5, part]], np.float32))


def test_no_rows_are_no_rows() -> None:
    assert quantise(np.empty((0, 384), np.float32)).shape == (0, 384)


def test_squared_norms_do_not_overflow() -> None:
    assert norms_squared(np.full((1, 4096), -127, np.int8)).tolist() == [4096 * 127 * 127]
