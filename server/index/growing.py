"""One partition's index over its life: an array, then a flat scan, then inverted lists, as its rows grow and shrink."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from server.index.array import ArrayIndex
from server.index.flat import FaissFlatIndex
from server.index.ivf import FaissIVFIndex, measured_recall, train_for
from server.index.rows import checked_rows
from server.ports import Int8Matrix, Int32Matrix, Int64Matrix, Int64Vector

Stage: TypeAlias = ArrayIndex | FaissFlatIndex | FaissIVFIndex
StageName: TypeAlias = Literal["array", "flat", "ivf"]

_NAMES: Final[dict[type, StageName]] = {ArrayIndex: "array", FaissFlatIndex: "flat", FaissIVFIndex: "ivf"}
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
    recall_min: float = 0.95


@dataclass(frozen=True, slots=True)
class _Write:
    ids: Int64Vector
    vectors: Int8Matrix | None


class GrowingIndex:
    """A `VectorIndex` that changes its adapter by size; searches are never blocked by a change.

    `add` and `remove` change between array and flat on the spot, which costs under a millisecond. What takes longer
    waits for `maintain`, called by another thread when `maintenance_due`. Inverted lists that do not find `recall_min`
    of the exact neighbours of sampled rows are thrown away, and the flat scan stays until the partition has doubled.
    """

    __slots__ = (
        "_dimension",
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
        return _NAMES[type(self._stage)]

    @property
    def maintenance_due(self) -> bool:
        """Whether `maintain` would build another stage."""
        rows = len(self._stage)
        if isinstance(self._stage, FaissFlatIndex):
            return rows >= self._ivf_rows_min
        if isinstance(self._stage, FaissIVFIndex):
            return rows <= self._growth.flat_rows_max // 2 or rows >= 4 * self._trained
        return False

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

    def _built(self, ids: Int64Vector, vectors: Int8Matrix) -> Stage | None:
        if len(ids) <= self._growth.flat_rows_max:
            flat = FaissFlatIndex(self._dimension)
            flat.add(ids, vectors)
            return flat
        lists = train_for(vectors, seed=_SEED)
        lists.add(ids, vectors)
        chosen = np.random.default_rng(_SEED + 1).choice(len(ids), min(len(ids), _RECALL_QUERIES), replace=False)
        exact = FaissFlatIndex(self._dimension)
        exact.add(ids, vectors)
        if measured_recall(lists, exact, vectors[chosen]) >= self._growth.recall_min:
            self._trained = len(ids)
            return lists
        self._ivf_rows_min = 2 * len(ids)
        return exact

    def _note(self, write: _Write) -> None:
        if self._journal is None:
            return
        self._journal_rows += len(write.ids)
        if self._journal_rows > _JOURNAL_ROWS_MAX:
            self._journal = None
        else:
            self._journal.append(write)


def _replay(stage: Stage, write: _Write) -> None:
    if write.vectors is None:
        stage.remove(write.ids)
    else:
        stage.add(write.ids, write.vectors)
