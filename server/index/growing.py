"""One partition's index over its life: an array, a flat scan, inverted lists, fast-scan codes, as its rows come and go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypeVar

import numpy as np

from server.index.array import ArrayIndex
from server.index.fast_scan import FaissFastScanIndex, train_fast_scan
from server.index.flat import FaissFlatIndex
from server.index.ivf import FaissIVFIndex, train_for
from server.index.recall import NEIGHBOURS, best_scores, recall_against
from server.index.rows import checked_rows
from server.index.tombstoned import TombstonedIndex
from server.ports import Int8Matrix, Int32Matrix, Int64Matrix, Int64Vector

_Index = TypeVar("_Index", bound=TombstonedIndex)
Stage: TypeAlias = ArrayIndex | TombstonedIndex
StageName: TypeAlias = Literal["array", "flat", "ivf", "fast_scan", "device"]

_NAMES: Final[dict[type, StageName]] = {
    ArrayIndex: "array",
    FaissFlatIndex: "flat",
    FaissIVFIndex: "ivf",
    FaissFastScanIndex: "fast_scan",
}
#: Rows written while a stage is built aside; beyond that the build is given up and tried again later.
_JOURNAL_ROWS_MAX: Final = 65_536
_RECALL_QUERIES: Final = 200
_SEED: Final = 508
_FIXED_BYTES: Final = 320


@dataclass(frozen=True, slots=True)
class Growth:
    """Where stages change. A stage is left downwards at half the size at which it was entered."""

    array_rows_max: int = 256
    flat_rows_max: int = 100_000
    #: Above it, codes of an eighth of the size are scanned and only the best candidates are scored.
    lists_rows_max: int = 250_000
    recall_min: float = 0.95
    #: Makes an empty exact index on a device, which then serves whatever is larger than `device_rows_min`.
    device: Callable[[], TombstonedIndex] | None = None
    device_rows_min: int = 20_000


@dataclass(frozen=True, slots=True)
class _Write:
    ids: Int64Vector
    vectors: Int8Matrix | None


class GrowingIndex:
    """A `VectorIndex` that changes its adapter by size; searches are never blocked by a change.

    `add` and `remove` change between array and flat on the spot, which costs under a millisecond. What takes longer
    waits for `maintain`, called by another thread when `maintenance_due`. An approximate stage that does not find
    `recall_min` of the exact neighbours of sampled rows is thrown away, and the stage below it stays until the
    partition has doubled.
    """

    __slots__ = (
        "_dimension",
        "_fast_rows_min",
        "_growth",
        "_ivf_rows_min",
        "_journal",
        "_journal_rows",
        "_stage",
        "_trained",
        "_writing",
    )

    def __init__(self, dimension: int, growth: Growth) -> None:
        self._dimension = dimension
        self._growth = growth
        self._stage: Stage = ArrayIndex(dimension)
        self._writing = threading.Lock()
        self._journal: list[_Write] | None = None
        self._journal_rows = 0
        self._ivf_rows_min = growth.flat_rows_max + 1
        self._fast_rows_min = growth.lists_rows_max + 1
        self._trained = 0

    def add(self, ids: Int64Vector, vectors: Int8Matrix) -> None:
        """Add rows; an id that is already there is replaced."""
        ids, vectors = checked_rows(ids, vectors, self._dimension)
        with self._writing:
            if isinstance(self._stage, ArrayIndex) and len(self._stage) + len(ids) > self._growth.array_rows_max:
                self._become(FaissFlatIndex(self._dimension))
            self._stage.add(ids, vectors)
            self._note(_Write(ids, vectors))

    def remove(self, ids: Int64Vector) -> None:
        """Make rows unfindable at once."""
        with self._writing:
            self._stage.remove(ids)
            self._note(_Write(ids, None))
            small = len(self._stage) <= self._growth.array_rows_max // 2
            if isinstance(self._stage, FaissFlatIndex) and small and self._journal is None:
                self._become(ArrayIndex(self._dimension))

    def search(self, queries: Int8Matrix, k: int) -> tuple[Int64Matrix, Int32Matrix]:
        """Return the *k* best ids per query and their exact inner products, best first; -1 pads missing ids."""
        return self._stage.search(queries, k)

    def contains(self, ids: Int64Vector) -> bool:
        """Say whether every one of *ids* is findable."""
        return self._stage.contains(ids)

    @property
    def stage(self) -> StageName:
        """The adapter in use now."""
        return _NAMES.get(type(self._stage), "device")

    @property
    def maintenance_due(self) -> bool:
        """Whether `maintain` would build another stage."""
        rows, growth, stage = len(self._stage), self._growth, self.stage
        if stage == "flat":
            return rows >= self._ivf_rows_min if growth.device is None else rows > growth.device_rows_min
        if stage == "ivf":
            outgrown = rows >= min(4 * self._trained, self._fast_rows_min)
            return outgrown or rows <= growth.flat_rows_max // 2
        if stage == "fast_scan":
            return rows >= 4 * self._trained or rows <= growth.lists_rows_max // 2
        return stage == "device" and rows <= growth.device_rows_min // 2

    def maintain(self) -> None:
        """Build the stage that fits the size aside, and swap it in; writes meanwhile are noted and made up for."""
        with self._writing:
            if self._journal is not None or not self.maintenance_due:
                return
            ids, vectors = self._stage.get_rows()
            self._journal, self._journal_rows = [], 0
        built: Stage | None = None
        try:
            built = self._built(ids, vectors)
        finally:
            with self._writing:
                journal, self._journal = self._journal, None
                if built is not None and journal is not None:
                    for write in journal:
                        _replay(built, write)
                    self._stage = built

    def __len__(self) -> int:
        return len(self._stage)

    @property
    def size_bytes(self) -> int:
        """Resident memory, bounded from above; a stage that is being built counts once it serves."""
        return self._stage.size_bytes + _FIXED_BYTES

    def _become(self, stage: Stage) -> None:
        ids, vectors = self._stage.get_rows()
        stage.add(ids, vectors)
        self._stage = stage

    def _built(self, ids: Int64Vector, vectors: Int8Matrix) -> Stage:
        growth, rows = self._growth, len(ids)
        if growth.device is not None and rows > growth.device_rows_min:
            return _filled(growth.device(), ids, vectors)
        if growth.device is None and rows > growth.flat_rows_max:
            chosen = np.random.default_rng(_SEED + 1).choice(rows, min(rows, _RECALL_QUERIES), replace=False)
            sampled = vectors[chosen]
            wanted = best_scores(vectors, sampled, NEIGHBOURS + 1)
            if rows >= self._fast_rows_min:
                fast = _filled(train_fast_scan(vectors, seed=_SEED), ids, vectors)
                if self._finds(fast, wanted, sampled):
                    self._trained = rows
                    return fast
                self._fast_rows_min = 2 * rows
                del fast  # before the next one takes its place
            lists = _filled(train_for(vectors, seed=_SEED), ids, vectors)
            if self._finds(lists, wanted, sampled):
                self._trained = rows
                return lists
            self._ivf_rows_min = 2 * rows
        return _filled(FaissFlatIndex(self._dimension), ids, vectors)

    def _finds(self, index: TombstonedIndex, wanted: Int32Matrix, sampled: Int8Matrix) -> bool:
        """Say whether *index* finds enough; codes are given more candidates until half of what may be lost is spared."""
        recall = recall_against(index, wanted, sampled)
        aim = (1 + self._growth.recall_min) / 2
        while recall < aim and isinstance(index, FaissFastScanIndex) and index.widen():
            recall = recall_against(index, wanted, sampled)
        return recall >= self._growth.recall_min

    def _note(self, write: _Write) -> None:
        if self._journal is None:
            return
        self._journal_rows += len(write.ids)
        if self._journal_rows > _JOURNAL_ROWS_MAX:
            self._journal = None
        else:
            self._journal.append(write)


def _filled(index: _Index, ids: Int64Vector, vectors: Int8Matrix) -> _Index:
    index.add(ids, vectors)
    return index


def _replay(stage: Stage, write: _Write) -> None:
    if write.vectors is None:
        stage.remove(write.ids)
    else:
        stage.add(write.ids, write.vectors)
