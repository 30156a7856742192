"""Every adapter of `VectorIndex`, against plain Python integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import pytest

from server.index.array import ArrayIndex
from server.index.device import device_index
from server.index.errors import DeviceUnusable, FaissInstallationError, RowsRefused
from server.index.fast_scan import FaissFastScanIndex
from server.index.flat import FaissFlatIndex
from server.index.gpu import FaissGpuIndex
from server.index.growing import GrowingIndex, Growth
from server.index.ivf import FaissIVFIndex
from server.index.rows import PAD_ID, PAD_SCORE
from server.index.torch_rows import TorchIndex
from server.ports import Int8Matrix, VectorIndex

DIMENSION = 384
SCALE = 508

Build = Callable[[], VectorIndex]


def unit_rows(count: int, seed: int) -> Int8Matrix:
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSION))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.clip(np.rint(rows * SCALE), -127, 127).astype(np.int8)


def numbered(*ids: int) -> np.ndarray:
    return np.array(ids, dtype=np.int64)


def inner(left: Int8Matrix, right: Int8Matrix) -> int:
    """The definition: integers, one product after the other."""
    return sum(a * b for a, b in zip(left.tolist(), right.tolist(), strict=True))


def best(rows: dict[int, Int8Matrix], query: Int8Matrix, k: int) -> list[tuple[int, int]]:
    scored = sorted((-inner(row, query), number) for number, row in rows.items())
    return [(number, -score) for score, number in scored[:k]]


def found(index: VectorIndex, query: Int8Matrix, k: int) -> list[tuple[int, int]]:
    ids, scores = index.search(query[np.newaxis], k)
    return [(int(i), int(s)) for i, s in zip(ids[0], scores[0], strict=True) if i >= 0]


BUILDS: dict[str, Build] = {
    "array": lambda: ArrayIndex(DIMENSION),
    "flat": lambda: FaissFlatIndex(DIMENSION),
    "inverted lists, all probed": lambda: FaissIVFIndex(unit_rows(64, 1), lists=8, probes=8),
    "fast scan, all probed": lambda: FaissFastScanIndex(unit_rows(64, 1), lists=8, probes=8),
    "growing": lambda: GrowingIndex(DIMENSION, Growth(array_rows_max=20)),
    "gpu, placed on the CPU": lambda: FaissGpuIndex(DIMENSION, lambda index: index),
    "torch, on the CPU": lambda: TorchIndex(DIMENSION, "cpu"),
}
ON_A_GPU: tuple[Literal["faiss", "torch"], ...] = ("faiss", "torch")


@pytest.fixture(params=[*BUILDS, *(pytest.param(name, marks=pytest.mark.gpu) for name in ON_A_GPU)])
def index(request: pytest.FixtureRequest) -> Iterator[VectorIndex]:
    if request.param in ON_A_GPU:
        try:
            make = device_index(request.param, DIMENSION)
        except (DeviceUnusable, FaissInstallationError) as error:
            pytest.skip(f"GPU hardware: {error}")
        assert make is not None
        yield make()
    else:
        yield BUILDS[request.param]()


def test_scores_are_the_integers_of_the_definition(index: VectorIndex) -> None:
    rows = unit_rows(100, 2)
    index.add(np.arange(100, dtype=np.int64), rows)
    query = unit_rows(1, 3)[0]
    assert found(index, query, 10) == best(dict(enumerate(rows)), query, 10)


def test_extreme_vectors_score_exactly(index: VectorIndex) -> None:
    rows = np.stack([np.full(DIMENSION, 127), np.full(DIMENSION, -128), np.full(DIMENSION, 126)]).astype(np.int8)
    index.add(numbered(1, 2, 3), rows)
    query = np.full(DIMENSION, -128, dtype=np.int8)
    assert found(index, query, 3) == [
        (2, DIMENSION * 128 * 128),
        (3, -DIMENSION * 128 * 126),
        (1, -DIMENSION * 128 * 127),
    ]


def test_a_batch_answers_as_its_queries_do_alone(index: VectorIndex) -> None:
    index.add(np.arange(100, dtype=np.int64), unit_rows(100, 2))
    queries = unit_rows(33, 4)
    ids, scores = index.search(queries, 5)
    alone = [index.search(query[np.newaxis], 5) for query in queries]
    assert ids.tolist() == [one[0][0].tolist() for one in alone]
    assert scores.tolist() == [one[1][0].tolist() for one in alone]


def test_an_empty_index_pads_everything(index: VectorIndex) -> None:
    ids, scores = index.search(unit_rows(2, 1), 3)
    assert ids.tolist() == [[PAD_ID] * 3] * 2 and scores.tolist() == [[PAD_SCORE] * 3] * 2
    assert len(index) == 0


def test_asking_for_more_than_there_is_pads_the_rest(index: VectorIndex) -> None:
    rows = unit_rows(2, 5)
    index.add(numbered(7, 9), rows)
    ids, scores = index.search(rows[:1], 4)
    assert ids[0].tolist() == [7, 9, PAD_ID, PAD_ID] and scores[0, 2:].tolist() == [PAD_SCORE] * 2


def test_results_have_the_types_of_the_port(index: VectorIndex) -> None:
    index.add(numbered(1), unit_rows(1, 1))
    ids, scores = index.search(unit_rows(3, 1), 2)
    assert (ids.dtype, scores.dtype, ids.shape, scores.shape) == (np.int64, np.int32, (3, 2), (3, 2))


def test_no_queries_give_no_results(index: VectorIndex) -> None:
    index.add(numbered(1), unit_rows(1, 1))
    assert index.search(unit_rows(0, 1), 2)[0].shape == (0, 2)


def test_an_id_added_again_is_replaced(index: VectorIndex) -> None:
    first, second = unit_rows(2, 6)
    index.add(numbered(5), first[np.newaxis])
    index.add(numbered(5), second[np.newaxis])
    assert found(index, first, 3) == [(5, inner(first, second))] and len(index) == 1


def test_the_last_of_equal_ids_in_one_call_counts(index: VectorIndex) -> None:
    rows = unit_rows(3, 7)
    index.add(numbered(5, 4, 5), rows)
    assert found(index, rows[2], 5) == best({5: rows[2], 4: rows[1]}, rows[2], 5)


def test_a_removed_row_is_not_found_any_more(index: VectorIndex) -> None:
    rows = unit_rows(30, 8)
    index.add(np.arange(30, dtype=np.int64), rows)
    index.remove(numbered(3, 3, 999))
    assert found(index, rows[3], 30) == best({i: r for i, r in enumerate(rows) if i != 3}, rows[3], 30)
    assert len(index) == 29


def test_a_removed_id_may_come_back(index: VectorIndex) -> None:
    rows = unit_rows(2, 9)
    index.add(numbered(1), rows[:1])
    index.remove(numbered(1))
    index.add(numbered(1), rows[1:])
    assert found(index, rows[1], 2) == [(1, inner(rows[1], rows[1]))]


def test_everything_can_be_removed(index: VectorIndex) -> None:
    index.add(np.arange(200, dtype=np.int64), unit_rows(200, 10))
    index.remove(np.arange(200, dtype=np.int64))
    assert len(index) == 0 and found(index, unit_rows(1, 1)[0], 3) == []


def test_the_lower_id_goes_first_among_equals_whatever_the_order_of_adding(index: VectorIndex) -> None:
    row = unit_rows(1, 11)
    for number in (90, 10, 50, 30, 70, 20, 80, 40, 60):
        index.add(numbered(number), row)
    index.add(np.arange(100, 160, dtype=np.int64), np.repeat(row, 60, axis=0))
    assert [number for number, _ in found(index, row[0], 5)] == [10, 20, 30, 40, 50]


def test_ties_stay_in_order_among_tombstones(index: VectorIndex) -> None:
    row = unit_rows(1, 12)
    index.add(np.arange(400, dtype=np.int64)[::-1].copy(), np.repeat(row, 400, axis=0))
    index.remove(np.arange(0, 30, dtype=np.int64))
    assert [number for number, _ in found(index, row[0], 4)] == [30, 31, 32, 33]


def test_the_neighbours_behind_many_tombstones_are_found(index: VectorIndex) -> None:
    rows = unit_rows(500, 13)
    index.add(np.arange(500, dtype=np.int64), rows)
    query = rows[0]
    nearest = [number for number, _ in best(dict(enumerate(rows)), query, 31)]
    index.remove(numbered(*nearest))
    left = {i: r for i, r in enumerate(rows) if i not in nearest}
    assert found(index, query, 5) == best(left, query, 5)


def test_compaction_changes_no_answer(index: VectorIndex) -> None:
    rows = unit_rows(300, 14)
    index.add(np.arange(300, dtype=np.int64), rows)
    for start in range(0, 200, 40):
        index.remove(np.arange(start, start + 40, dtype=np.int64))
    index.add(np.arange(1000, 1050, dtype=np.int64), rows[:50])
    left = dict(enumerate(rows)) | {1000 + i: rows[i] for i in range(50)}
    for number in range(200):
        del left[number]
    query = unit_rows(1, 15)[0]
    assert found(index, query, 20) == best(left, query, 20) and len(index) == len(left)


def test_ids_of_63_bits_come_back_whole(index: VectorIndex) -> None:
    rows = unit_rows(2, 16)
    index.add(numbered(2**63 - 1, 2**62 + 1), rows)
    assert {number for number, _ in found(index, rows[0], 2)} == {2**63 - 1, 2**62 + 1}


def test_memory_stays_within_one_and_a_half_float32_vectors(index: VectorIndex) -> None:
    index.add(np.arange(2000, dtype=np.int64), unit_rows(2000, 17))
    for number in range(2000, 2100):
        index.add(numbered(number), unit_rows(1, number))
    assert 2100 * DIMENSION <= index.size_bytes <= 1.5 * 4 * DIMENSION * 2100


@pytest.mark.parametrize(
    ("ids", "vectors"),
    [
        (numbered(1, 2), unit_rows(1, 1)),
        (numbered(-1), unit_rows(1, 1)),
        (np.array([1], dtype=np.int32), unit_rows(1, 1)),
        (numbered(1), unit_rows(1, 1).astype(np.float32)),
        (numbered(1), unit_rows(1, 1)[:, :100]),
        (numbered(1), unit_rows(1, 1)[0]),
    ],
    ids=["count", "negative id", "narrow ids", "float vectors", "short vectors", "one dimension"],
)
def test_rows_of_the_wrong_kind_are_refused_and_change_nothing(
    index: VectorIndex, ids: np.ndarray, vectors: Int8Matrix
) -> None:
    index.add(numbered(7), unit_rows(1, 2))
    with pytest.raises(RowsRefused):
        index.add(ids, vectors)
    assert len(index) == 1 and len(found(index, unit_rows(1, 2)[0], 3)) == 1


@pytest.mark.parametrize("k", [0, -1, 1025])
def test_a_senseless_k_is_refused(index: VectorIndex, k: int) -> None:
    with pytest.raises(RowsRefused, match="ask for 1 to 1024"):
        index.search(unit_rows(1, 1), k)


def test_a_query_of_another_dimension_is_refused(index: VectorIndex) -> None:
    with pytest.raises(RowsRefused, match="384"):
        index.search(np.zeros((1, 383), dtype=np.int8), 1)
