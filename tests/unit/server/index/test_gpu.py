from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from server.index.errors import FaissInstallationError
from server.index.faiss_setup import load_faiss
from server.index.gpu import FaissGpuIndex, gpu_placement


def test_a_machine_without_such_a_gpu_gets_a_clear_error() -> None:
    with pytest.raises(FaissInstallationError, match=r"not number 999.*\[gpu\]"):
        gpu_placement(384, device=999)


def test_compaction_places_the_rows_anew() -> None:
    placed: list[Any] = []

    def place(index: Any) -> Any:
        placed.append(index)
        return index

    rows = np.random.default_rng(0).integers(-20, 21, (100, 32)).astype(np.int8)
    index = FaissGpuIndex(32, place)
    index.add(np.arange(100, dtype=np.int64), rows)
    index.remove(np.arange(40, dtype=np.int64))
    assert [one.ntotal for one in placed] == [100, 60]
    assert np.array_equal(
        load_faiss(32).rev_swig_ptr(placed[1].get_xb(), 60 * 32), rows[40:].astype(np.float32).ravel()
    )
    assert index.search(rows[50:51], 1)[0][0, 0] == 50
