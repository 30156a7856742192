from __future__ import annotations

import numpy as np
import pytest
import torch

from server.index.device import device_index, verify_exact
from server.index.errors import DeviceUnusable, FaissInstallationError
from server.index.flat import FaissFlatIndex
from server.index.tombstoned import TombstonedIndex
from server.index.torch_rows import TorchIndex, TorchRows
from server.ports import Float32Matrix, Int64Matrix


class RoundingRows(TorchRows):
    """Multiplies as a device with short mantissas would."""

    __slots__ = ()

    def scan(self, queries: Float32Matrix, k: int) -> tuple[Float32Matrix, Int64Matrix]:
        scores, labels = super().scan(queries, k)
        return np.rint(scores / 256) * np.float32(256), labels


def test_main_memory_needs_no_device() -> None:
    assert device_index("cpu", 64) is None


@pytest.mark.parametrize("dimension", [8, 384, 1024, 1536])
def test_exact_devices_pass_the_probe(dimension: int) -> None:
    verify_exact(FaissFlatIndex(dimension), dimension)
    verify_exact(TorchIndex(dimension, "cpu"), dimension)


def test_a_device_that_rounds_is_refused() -> None:
    with pytest.raises(DeviceUnusable, match="rounds"):
        verify_exact(TombstonedIndex(384, RoundingRows(384, "cpu")), 384)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_device_that_is_not_there_is_refused_by_name_and_passed_over_by_auto() -> None:
    with pytest.raises(FaissInstallationError):
        device_index("faiss", 64)
    with pytest.raises(DeviceUnusable, match="no CUDA device"):
        device_index("torch", 64)
    assert device_index("auto", 64) is None


def test_products_are_refused_while_torch_may_round_them() -> None:
    index = TorchIndex(64, "cpu")
    index.add(np.arange(3, dtype=np.int64), np.ones((3, 64), dtype=np.int8))
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        with pytest.raises(DeviceUnusable, match="tf32"):
            index.search(np.ones((1, 64), dtype=np.int8), 1)
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def test_rows_beyond_one_block_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.index.torch_rows.BLOCK_ROWS", 100)
    rows = np.random.default_rng(0).integers(-20, 21, (350, 32)).astype(np.int8)
    index, flat = TorchIndex(32, "cpu"), FaissFlatIndex(32)
    for one in (index, flat):
        one.add(np.arange(350, dtype=np.int64), rows)
        one.remove(np.arange(0, 350, 3, dtype=np.int64))
    for found, wanted in zip(index.search(rows[:20], 120), flat.search(rows[:20], 120), strict=True):
        assert np.array_equal(found, wanted)
