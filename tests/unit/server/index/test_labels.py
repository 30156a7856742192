from __future__ import annotations

import numpy as np

from server.index.labels import Labels


def numbers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_a_replaced_id_keeps_one_live_row() -> None:
    labels = Labels()
    labels.append(numbers(5, 6))
    assert labels.append(numbers(5)).tolist() == [2]
    ids, live = labels.resolve(numbers(0, 1, 2))
    assert ids.tolist() == [5, 6, 5] and live.tolist() == [False, True, True]
    assert len(labels) == 2 and labels.get_dead().tolist() == [0]


def test_burying_twice_counts_once() -> None:
    labels = Labels()
    labels.append(numbers(5))
    assert (labels.bury(numbers(5)), labels.bury(numbers(5)), labels.dead_count) == (1, 0, 1)


def test_labels_survive_a_compaction_that_keeps_them() -> None:
    labels = Labels()
    labels.append(numbers(5, 6, 7))
    labels.bury(numbers(6))
    labels.forget_dead(renumbered=False)
    assert labels.append(numbers(8)).tolist() == [3]
    assert labels.resolve(numbers(0, 2, 3))[0].tolist() == [5, 7, 8]


def test_labels_start_again_after_a_compaction_that_renumbers() -> None:
    labels = Labels()
    labels.append(numbers(5, 6, 7))
    labels.bury(numbers(6))
    labels.forget_dead(renumbered=True)
    assert labels.append(numbers(8)).tolist() == [2]
    assert labels.resolve(numbers(0, 1, 2))[0].tolist() == [5, 7, 8]


def test_an_id_lower_than_the_highest_is_still_recognised() -> None:
    labels = Labels()
    labels.append(numbers(100))
    labels.append(numbers(50))
    labels.append(numbers(50))
    assert len(labels) == 2 and labels.contains(numbers(50, 100)) and not labels.contains(numbers(51))


def test_growth_reserves_a_quarter_at_most() -> None:
    labels = Labels()
    for number in range(2000):
        labels.append(numbers(number))
    assert labels.size_bytes <= 2000 * 17 * 1.25 + 17 * 16
