"""The exact index with rows and scan on a CUDA device through torch: int8 rows there, multiplied block by block."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from server.index.errors import DeviceUnusable
from server.index.tombstoned import Float32Vector, TombstonedIndex
from server.ports import Float32Matrix, Int8Matrix, Int64Matrix, Int64Vector

if TYPE_CHECKING:
    import torch

#: Rows converted to float32 at a time: 100 MB at 384 components.
BLOCK_ROWS: Final = 65_536
_GROWTH: Final = 1.25
#: What torch calls unrounded float32 products: unset, or asked for.
_EXACT: Final = ("none", "ieee")


class TorchRows:
    """A `RowStore` whose rows stand in the memory of *device* as int8.

    A block is widened to float32 and multiplied there, without TF32, so every score is exact (`server.index.rows`);
    `server.index.device` checks that on the device at hand before it is used.
    """

    __slots__ = ("_count", "_device", "_dimension", "_rows", "_torch")

    def __init__(self, dimension: int, device: str) -> None:
        self._torch: Any = _load_torch()
        self._dimension = dimension
        self._device = device
        self._rows: torch.Tensor = self._torch.empty((0, dimension), dtype=self._torch.int8, device=device)
        self._count = 0

    @property
    def renumbers(self) -> bool:
        """Gaps are closed, in order."""
        return True

    @property
    def size_bytes(self) -> int:
        """Memory of the device: the rows with what their growth reserved."""
        return int(self._rows.shape[0]) * self._dimension + 1024

    def append(self, labels: Int64Vector, vectors: Int8Matrix) -> None:
        """Store rows; a row's place is its label."""
        end = self._count + len(vectors)
        if end > self._rows.shape[0]:
            capacity = end if not self._count else max(end, int(self._count * _GROWTH) + 16)
            grown = self._torch.empty((capacity, self._dimension), dtype=self._torch.int8, device=self._device)
            grown[: self._count] = self._rows[: self._count]
            self._rows = grown
        self._rows[self._count : end] = self._torch.tensor(vectors, device=self._device)  # a copy, also on the CPU
        self._count = end

    def scan(self, queries: Float32Matrix, k: int) -> tuple[Float32Matrix, Int64Matrix]:
        """Return exact scores and labels of the k best rows."""
        torch = self._torch
        wide = torch.tensor(queries, device=self._device)
        scores = torch.empty((len(queries), 0), dtype=torch.float32, device=self._device)
        labels = torch.empty((len(queries), 0), dtype=torch.int64, device=self._device)
        for start in range(0, self._count, BLOCK_ROWS):
            block = self._products(wide, start)
            best, places = torch.topk(block, min(k, block.shape[1]), dim=1)
            scores = torch.cat((scores, best), dim=1)
            labels = torch.cat((labels, places + start), dim=1)
        scores, order = torch.topk(scores, min(k, scores.shape[1]), dim=1)
        return scores.cpu().numpy(), torch.gather(labels, 1, order).cpu().numpy()

    def scan_above(self, query: Float32Matrix, score: float) -> tuple[Float32Vector, Int64Vector]:
        """Return every row that scores above *score*."""
        wide = self._torch.tensor(query, device=self._device)
        scores: list[Float32Vector] = [np.empty(0, dtype=np.float32)]
        labels: list[Int64Vector] = [np.empty(0, dtype=np.int64)]
        for start in range(0, self._count, BLOCK_ROWS):
            block = self._products(wide, start)[0]
            places = self._torch.nonzero(block > score).ravel()
            scores.append(block[places].cpu().numpy())
            labels.append(places.cpu().numpy() + start)
        return np.concatenate(scores), np.concatenate(labels)

    def compact(self, dead: Int64Vector) -> None:
        """Close the gaps of *dead* rows."""
        kept = np.delete(np.arange(self._count, dtype=np.int64), dead)
        self._rows = self._rows[self._torch.tensor(kept, device=self._device)]
        self._count = len(kept)

    def get_rows(self) -> tuple[Int64Vector, Int8Matrix]:
        """Return labels and a copy of the vectors."""
        return np.arange(self._count, dtype=np.int64), self._rows[: self._count].cpu().numpy().copy()

    def _products(self, wide: torch.Tensor, start: int) -> torch.Tensor:
        """Return exact products of *wide*, shape (n, dimension), with one block of rows."""
        precision = self._torch.backends.cuda.matmul.fp32_precision
        if precision not in _EXACT:
            raise DeviceUnusable(f"torch may round products ({precision} was allowed): scores would not be exact")
        rows = self._rows[start : min(start + BLOCK_ROWS, self._count)]
        return wide @ rows.to(self._torch.float32).T


class TorchIndex(TombstonedIndex):
    """Exact search by a full scan on a device of torch, such as `cuda:0`."""

    __slots__ = ()

    def __init__(self, dimension: int, device: str) -> None:
        super().__init__(dimension, TorchRows(dimension, device))


def _load_torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise DeviceUnusable(f'torch cannot be imported ({error}); pip install -e ".[replay]"') from error
