from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from server.index.errors import FaissInstallationError
from server.index.faiss_setup import load_faiss, require_one_faiss, set_gemm_threshold


def test_this_environment_has_exactly_one_faiss() -> None:
    assert require_one_faiss().startswith("faiss")


def test_one_distribution_is_named() -> None:
    assert require_one_faiss({"faiss": ["faiss-gpu"], "numpy": ["numpy"]}) == "faiss-gpu"


def test_one_distribution_listed_twice_is_still_one() -> None:
    assert require_one_faiss({"faiss": ["faiss-cpu", "faiss-cpu"]}) == "faiss-cpu"


def test_two_distributions_are_refused_with_the_mend() -> None:
    with pytest.raises(FaissInstallationError, match=r"2 times \(faiss-cpu, faiss-gpu\).*pip uninstall.*\[gpu\]"):
        require_one_faiss({"faiss": ["faiss-gpu", "faiss-cpu"]})


def test_no_distribution_is_refused_with_the_mend() -> None:
    with pytest.raises(FaissInstallationError, match=r'pip install -e "\.\[cpu\]"'):
        require_one_faiss({"numpy": ["numpy"]})


def test_the_gemm_threshold_is_six_queries() -> None:
    faiss = load_faiss(384)
    set_gemm_threshold(faiss, 384)
    assert faiss.cvar.distance_compute_blas_threshold == 6 * 384


def test_a_release_that_ignores_the_threshold_is_refused() -> None:
    class Stubborn:
        def __setattr__(self, name: str, value: object) -> None:
            pass

        distance_compute_blas_threshold = 20

    with pytest.raises(FaissInstallationError, match="distance_compute_blas_threshold"):
        set_gemm_threshold(SimpleNamespace(cvar=Stubborn(), __version__="0"), 384)


@pytest.mark.alone
def test_the_threshold_is_compared_with_queries_times_dimension() -> None:
    """At 6 d a batch of 64 takes the matrix product: its CPU per query is well below a single one's.

    An older FAISS, which compares with queries alone, would need 2304 queries and gain nothing.
    """
    faiss = load_faiss(384)
    set_gemm_threshold(faiss, 384)
    rows = np.random.default_rng(0).standard_normal((20_000, 384)).astype(np.float32)
    index = faiss.IndexFlatIP(384)
    index.add(rows)

    def cpu_s(queries: int) -> float:
        def once() -> float:
            started = time.thread_time()
            index.search(rows[:queries], 5)
            return time.thread_time() - started

        return min(once() for _ in range(7)) / queries

    single, batched = cpu_s(1), cpu_s(64)
    assert batched < 0.8 * single


def test_every_thread_searches_with_one_openmp_thread() -> None:
    seen: list[int] = []

    def look() -> None:
        seen.append(load_faiss(384).omp_get_max_threads())

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
        thread.join()
    assert seen == [1, 1, 1]


def test_an_import_that_fails_names_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[str] = []

    def look() -> None:
        try:
            load_faiss(384)
        except FaissInstallationError as error:
            failures.append(str(error))

    monkeypatch.setitem(sys.modules, "faiss", None)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert "pip uninstall" in failures[0]
