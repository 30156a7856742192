from __future__ import annotations

import numpy as np
import pytest

from privacy.hubness import NEAR_COUNT_MAX, REFERENCES_MIN, Crowd, Float32Array, is_hub, measure_crowd

DIMENSION = 64


def unit(rows: np.ndarray) -> Float32Array:
    found: Float32Array = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return found


@pytest.fixture
def references() -> Float32Array:
    """Directions by chance, with a common lean as sentence vectors have."""
    rows = np.random.default_rng(1).standard_normal((800, DIMENSION))
    rows[:, 0] += 2.0
    return unit(rows)


def test_a_vector_like_the_references_is_no_hub(references: Float32Array) -> None:
    crowd = measure_crowd(references[:600])
    assert not any(is_hub(references[:600] @ row, crowd) for row in references[600:])


def test_the_middle_of_the_crowd_is_a_hub(references: Float32Array) -> None:
    centre = unit(references.sum(0))
    assert is_hub(references @ centre, measure_crowd(references))


def test_a_vector_close_to_many_distinct_questions_is_a_hub(references: Float32Array) -> None:
    scores = np.full(800, 0.0, np.float32)
    crowd = measure_crowd(references)
    scores[: NEAR_COUNT_MAX + 4] = 0.95
    assert is_hub(scores, crowd)
    scores[NEAR_COUNT_MAX:] = 0.0
    assert not is_hub(scores, crowd)


def test_a_few_near_questions_among_few_references_are_no_hub() -> None:
    scores = np.zeros(100, np.float32)
    scores[:NEAR_COUNT_MAX] = 0.95
    assert not is_hub(scores, Crowd(0.0, 1.0))


def test_too_few_references_judge_nobody() -> None:
    scores = np.ones(REFERENCES_MIN - 1, np.float32)
    assert not is_hub(scores, Crowd(0.0, 0.0))
    assert is_hub(np.ones(REFERENCES_MIN, np.float32), Crowd(0.0, 0.0))


def test_the_crowd_is_measured_without_each_ones_cosine_to_itself(references: Float32Array) -> None:
    cosines = references.astype(np.float64) @ references.T.astype(np.float64)
    np.fill_diagonal(cosines, np.nan)
    slow = np.nanmean(cosines, axis=1)
    crowd = measure_crowd(references)
    assert crowd.mean == pytest.approx(slow.mean(), abs=1e-6)
    assert crowd.deviation == pytest.approx(slow.std(), abs=1e-6)
    assert measure_crowd(references[:1]) == Crowd(0.0, 0.0)
