"""The exact index with its scan on a GPU: float32 rows there, the int8 rows of record here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np

from server.index.errors import FaissInstallationError
from server.index.faiss_setup import load_faiss
from server.index.flat import Int8Rows
from server.index.rows import CHUNK_ROWS
from server.index.tombstoned import Float32Vector, TombstonedIndex
from server.ports import Float32Matrix, Int8Matrix, Int64Matrix, Int64Vector

#: Puts an empty CPU index where it is to be searched and returns it; it may raise `RuntimeError`.
Placement: TypeAlias = Callable[[Any], Any]

#: FAISS selects at most this many neighbours on a GPU; beyond it the scan here answers.
GPU_K_MAX: Final = 2048


def gpu_placement(dimension: int, *, device: int = 0) -> Placement:
    """Return a placement on GPU *device*. Raises `FaissInstallationError` when this faiss or machine has none."""
    faiss = load_faiss(dimension)
    devices = faiss.get_num_gpus() if hasattr(faiss, "StandardGpuResources") else 0
    if device >= devices:
        raise FaissInstallationError(f'faiss sees {devices} GPUs, not number {device}; pip install -e ".[gpu]"')
    resources = faiss.StandardGpuResources()
    return lambda index: faiss.index_cpu_to_gpu(resources, device, index)


class GpuRows:
    """A `RowStore` that scans on a GPU.

    A GPU index can neither remove rows nor return all rows above a score; the int8 rows in main memory do both, and the
    GPU's copy is made anew from them when they are compacted. GPU resources serve one call at a time.
    """

    __slots__ = ("_dimension", "_gpu", "_one_call", "_place", "_rows")

    def __init__(self, dimension: int, place: Placement) -> None:
        self._dimension = dimension
        self._place = place
        self._rows = Int8Rows(dimension)
        self._one_call = threading.Lock()
        self._gpu: Any = self._placed()

    @property
    def renumbers(self) -> bool:
        """As the rows of record do."""
        return self._rows.renumbers

    @property
    def size_bytes(self) -> int:
        """Main memory; the GPU holds another 4 bytes per component, not counted here."""
        return self._rows.size_bytes

    def append(self, labels: Int64Vector, vectors: Int8Matrix) -> None:
        """Store rows in both places."""
        self._rows.append(labels, vectors)
        self._send(vectors)

    def scan(self, queries: Float32Matrix, k: int) -> tuple[Float32Matrix, Int64Matrix]:
        """Return exact scores and labels of the k best rows."""
        if k > GPU_K_MAX:
            return self._rows.scan(queries, k)
        load_faiss(self._dimension)
        with self._one_call:
            scores, labels = self._gpu.search(queries, k)
        return scores, labels

    def scan_above(self, query: Float32Matrix, score: float) -> tuple[Float32Vector, Int64Vector]:
        """Return every row that scores above *score*."""
        return self._rows.scan_above(query, score)

    def compact(self, dead: Int64Vector) -> None:
        """Close the gaps of *dead* rows."""
        self._rows.compact(dead)
        self._gpu = self._placed()
        self._send(self._rows.get_rows()[1])

    def get_rows(self) -> tuple[Int64Vector, Int8Matrix]:
        """Return labels and a copy of the vectors."""
        return self._rows.get_rows()

    def _placed(self) -> Any:
        return self._place(load_faiss(self._dimension).IndexFlatIP(self._dimension))

    def _send(self, vectors: Int8Matrix) -> None:
        for start in range(0, len(vectors), CHUNK_ROWS):
            self._gpu.add(vectors[start : start + CHUNK_ROWS].astype(np.float32))


class FaissGpuIndex(TombstonedIndex):
    """Exact search by a full scan on a GPU."""

    __slots__ = ()

    def __init__(self, dimension: int, place: Placement) -> None:
        super().__init__(dimension, GpuRows(dimension, place))
