"""Which device scans large partitions, checked to score exactly before anything is served from it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import numpy as np

from server.index.errors import DeviceUnusable, FaissInstallationError
from server.index.gpu import FaissGpuIndex, gpu_placement
from server.index.tombstoned import TombstonedIndex
from server.index.torch_rows import TorchIndex

IndexDevice: TypeAlias = Literal["cpu", "auto", "faiss", "torch"]
MakeIndex: TypeAlias = Callable[[], TombstonedIndex]

_PROBE_ROWS: Final = 4096
_SEED: Final = 508


def device_index(choice: IndexDevice, dimension: int) -> MakeIndex | None:
    """Return what makes an empty index on the device of *choice*, or None where main memory serves.

    `auto` takes faiss on a GPU, else torch on one, else main memory. `faiss` and `torch` raise `DeviceUnusable` or
    `FaissInstallationError` where there is none; every device is probed by `verify_exact`.
    """
    if choice == "cpu":
        return None
    for name, make in (("faiss", _on_faiss), ("torch", _on_torch)):
        if choice not in ("auto", name):
            continue
        try:
            found = make(dimension)
            verify_exact(found(), dimension)
        except (DeviceUnusable, FaissInstallationError):
            if choice != "auto":
                raise
            continue
        return found
    return None


def verify_exact(index: TombstonedIndex, dimension: int) -> None:
    """Raise `DeviceUnusable` unless the empty *index* scores random and extreme rows as integers would."""
    generator = np.random.default_rng(_SEED)
    rows = generator.integers(-128, 128, (_PROBE_ROWS, dimension)).astype(np.int8)
    if dimension <= 1024:
        rows[:3] = np.array([[127], [-128], [126]], dtype=np.int8)
    else:  # longer extremes are rows that no index takes
        rows //= np.int8(8)
    queries = rows[:17]
    try:
        index.add(np.arange(_PROBE_ROWS, dtype=np.int64), rows)
        found = index.search(queries, 64)[1]
    except RuntimeError as error:
        raise DeviceUnusable(f"the device cannot scan ({error})") from error
    wanted = -np.sort(-(queries.astype(np.int64) @ rows.T.astype(np.int64)), axis=1)[:, :64]
    if not np.array_equal(found, wanted):
        raise DeviceUnusable("the device rounds inner products; scores must be exact integers")


def _on_faiss(dimension: int) -> MakeIndex:
    place = gpu_placement(dimension)
    return lambda: FaissGpuIndex(dimension, place)


def _on_torch(dimension: int) -> MakeIndex:
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise DeviceUnusable(f'torch cannot be imported ({error}); pip install -e ".[replay]"') from error
    if not torch.cuda.is_available():
        raise DeviceUnusable("torch sees no CUDA device")
    return lambda: TorchIndex(dimension, "cuda:0")
