"""Indexes against a dictionary, under random histories and under threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from server.index.array import ArrayIndex
from server.index.fast_scan import FaissFastScanIndex
from server.index.flat import FaissFlatIndex
from server.index.growing import GrowingIndex, Growth
from server.index.ivf import FaissIVFIndex
from server.index.torch_rows import TorchIndex
from server.ports import Int8Matrix, VectorIndex

DIMENSION = 8
IDS = st.integers(0, 40)
VECTORS = st.lists(st.integers(-128, 127), min_size=DIMENSION, max_size=DIMENSION)
#: Few components and small values, so that equal scores are common.
TIED = st.lists(st.integers(-1, 1), min_size=DIMENSION, max_size=DIMENSION)


def sample() -> Int8Matrix:
    return np.random.default_rng(0).integers(-128, 128, (64, DIMENSION)).astype(np.int8)


BUILDS: dict[str, Callable[[], VectorIndex]] = {
    "array": lambda: ArrayIndex(DIMENSION),
    "flat": lambda: FaissFlatIndex(DIMENSION),
    "lists": lambda: FaissIVFIndex(sample(), lists=4, probes=4),
    "codes": lambda: FaissFastScanIndex(sample(), lists=4, probes=4),
    "device": lambda: TorchIndex(DIMENSION, "cpu"),
    "growing": lambda: GrowingIndex(DIMENSION, Growth(array_rows_max=12)),
}


class IndexHistory(RuleBasedStateMachine):
    """Adds, replaces and removes at random; every search must say what a dictionary says."""

    @initialize(name=st.sampled_from(sorted(BUILDS)))
    def build(self, name: str) -> None:
        self.index = BUILDS[name]()
        self.model: dict[int, list[int]] = {}

    @rule(rows=st.lists(st.tuples(IDS, st.one_of(VECTORS, TIED)), max_size=40))
    def add(self, rows: list[tuple[int, list[int]]]) -> None:
        ids = np.array([number for number, _ in rows], dtype=np.int64)
        vectors = np.array([vector for _, vector in rows], dtype=np.int8).reshape(-1, DIMENSION)
        self.index.add(ids, vectors)
        self.model.update(rows)

    @rule(ids=st.lists(IDS, max_size=40))
    def remove(self, ids: list[int]) -> None:
        self.index.remove(np.array(ids, dtype=np.int64))
        for number in ids:
            self.model.pop(number, None)

    @rule(query=st.one_of(VECTORS, TIED), k=st.integers(1, 50))
    def search(self, query: list[int], k: int) -> None:
        ids, scores = self.index.search(np.array([query], dtype=np.int8), k)
        ranked = sorted(
            (-sum(a * b for a, b in zip(vector, query, strict=True)), number) for number, vector in self.model.items()
        )[:k]
        found = [(-int(score), int(number)) for number, score in zip(ids[0], scores[0], strict=True) if number >= 0]
        assert found == ranked

    @invariant()
    def counts_agree(self) -> None:
        if hasattr(self, "model"):
            assert len(self.index) == len(self.model)


TestIndexHistory = IndexHistory.TestCase
TestIndexHistory.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


@given(data=st.data(), dimension=st.integers(1, 1100))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_float32_scores_are_the_integers_for_every_dimension(data: st.DataObject, dimension: int) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    high = 128 if dimension <= 1024 else 100  # beyond 1024 components norms are checked
    rows = generator.integers(-high, high, (20, dimension)).astype(np.int8)
    expected = rows.astype(np.int64) @ rows.astype(np.int64).T
    for index in (ArrayIndex(dimension), FaissFlatIndex(dimension)):
        index.add(np.arange(20, dtype=np.int64), rows)
        ids, scores = index.search(rows, 20)
        assert np.array_equal(scores, np.take_along_axis(expected, ids, axis=1))


SECONDS = 2.0
WIDTH = 32
NUMBERS = 3000


class Lives:
    """When each id was certainly live, and when it may have been: noted before and after each write."""

    def __init__(self) -> None:
        self.may_be_live_from = np.full(NUMBERS, np.inf)
        self.certainly_dead_from = np.full(NUMBERS, -np.inf)

    def may_have_been_live(self, number: int, started_s: float, ended_s: float) -> bool:
        added_s, removed_s = self.may_be_live_from[number], self.certainly_dead_from[number]
        return bool(added_s <= ended_s and (removed_s < added_s or removed_s >= started_s))


@pytest.mark.parametrize("name", ["array", "flat", "lists", "growing"])
def test_threads_that_add_remove_and_search_never_see_a_row_that_was_not_live(name: str) -> None:
    """Without locks FAISS crashes within seconds here. Every vector encodes its id, so a mixed-up row would show."""
    codes = np.random.default_rng(3).integers(-40, 41, (NUMBERS, WIDTH)).astype(np.int8)
    builds: dict[str, Callable[[], VectorIndex]] = {
        "array": lambda: ArrayIndex(WIDTH),
        "flat": lambda: FaissFlatIndex(WIDTH),
        "lists": lambda: FaissIVFIndex(codes[:256], lists=8, probes=8),
        "codes": lambda: FaissFastScanIndex(sample(), lists=4, probes=4),
        "device": lambda: TorchIndex(DIMENSION, "cpu"),
        "growing": lambda: GrowingIndex(WIDTH, Growth(array_rows_max=100, flat_rows_max=600, recall_min=0.5)),
    }
    index = builds[name]()
    lives, wrong = Lives(), list[str]()
    end_s = time.monotonic() + SECONDS
    searches = 0

    def write(lowest: int) -> None:
        """Add and remove the ids that are *lowest* modulo 2."""
        generator = np.random.default_rng(lowest)
        while time.monotonic() < end_s:
            start = int(generator.integers(0, NUMBERS // 2 - 300))
            numbers = 2 * np.arange(start, start + int(generator.integers(1, 300)), dtype=np.int64) + lowest
            lives.may_be_live_from[numbers] = np.minimum(lives.may_be_live_from[numbers], time.monotonic())
            lives.certainly_dead_from[numbers] = -np.inf
            index.add(numbers, codes[numbers])
            gone = numbers[:: int(generator.integers(1, 3))]
            index.remove(gone)
            lives.certainly_dead_from[gone] = time.monotonic()

    def search() -> None:
        nonlocal searches
        generator = np.random.default_rng()
        while time.monotonic() < end_s:
            queries = codes[generator.integers(0, NUMBERS, 3)]
            started_s = time.monotonic()
            ids, scores = index.search(queries, 7)
            ended_s = time.monotonic()
            searches += 1
            for row, query in enumerate(queries):
                for number, score in zip(ids[row].tolist(), scores[row].tolist(), strict=True):
                    if number < 0:
                        continue
                    if score != int(codes[number].astype(int) @ query.astype(int)):
                        wrong.append(f"id {number} has the score of another row")
                    if not lives.may_have_been_live(number, started_s, ended_s):
                        wrong.append(f"id {number} was not live during the search")

    def maintain() -> None:
        while time.monotonic() < end_s:
            if isinstance(index, GrowingIndex):
                index.maintain()
            time.sleep(0.01)

    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)

        return run

    works = [lambda: write(0), lambda: write(1), search, search, maintain]
    threads = [threading.Thread(target=guarded(work)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS + 30)
    assert failures == [] and wrong == [] and searches > 5
