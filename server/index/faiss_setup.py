"""The one door to faiss: imported when needed, set up per process and per thread, checked to be installed once."""

from __future__ import annotations

import importlib
import importlib.metadata
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

from server.index.errors import FaissInstallationError

_MEND: Final = (
    "uninstall all of them (pip uninstall faiss-cpu faiss-gpu faiss-gpu-cuvs), then install exactly one:"
    ' pip install -e ".[cpu]" or pip install -e ".[gpu]"'
)
#: Queries at which a matrix product beats direct scans (docs/explanation/index.md).
GEMM_QUERIES_MIN: Final = 6

_threads = threading.local()
_setting_up = threading.Lock()


def load_faiss(dimension: int) -> Any:
    """Return the faiss module, set up for this process and this thread.

    Thread counts: `omp_set_num_threads` speaks for the calling thread only, so each thread that searches is told once.
    Raises `FaissInstallationError` when faiss is absent or does not keep a setting.
    """
    faiss = getattr(_threads, "faiss", None)
    if faiss is None:
        faiss = _imported()
        faiss.omp_set_num_threads(1)
        with _setting_up:
            set_gemm_threshold(faiss, dimension)
        _threads.faiss = faiss
    return faiss


def set_gemm_threshold(faiss: Any, dimension: int) -> None:
    """Let batches of six queries and more use a matrix product, single queries the direct scan.

    FAISS 1.15 compares `distance_compute_blas_threshold` with queries x dimension (older releases: with queries alone)
    and ships 128000, which at 384 dimensions means 334 queries. Raises `FaissInstallationError` if it does not stick.
    """
    wanted = GEMM_QUERIES_MIN * dimension
    faiss.cvar.distance_compute_blas_threshold = wanted
    if faiss.cvar.distance_compute_blas_threshold != wanted:
        raise FaissInstallationError(
            f"faiss {faiss.__version__} ignores distance_compute_blas_threshold; install faiss-cpu>=1.15"
        )


def require_one_faiss(distributions: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return the name of the one distribution that provides faiss.

    Two of them overwrite each other's files: the GPU is silently lost, or the import fails. *distributions* maps
    top-level modules to distributions and defaults to what is installed. Raises `FaissInstallationError`.
    """
    found = importlib.metadata.packages_distributions() if distributions is None else distributions
    names = sorted(set(found.get("faiss", ())))
    if not names:
        raise FaissInstallationError('faiss is not installed; pip install -e ".[cpu]" (or ".[gpu]" beside a GPU)')
    if len(names) > 1:
        raise FaissInstallationError(f"faiss is installed {len(names)} times ({', '.join(names)}): {_MEND}")
    return names[0]


def _imported() -> Any:
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        raise FaissInstallationError(f"faiss cannot be imported ({error}): {_MEND}") from error
    except RuntimeError as error:  # faiss-gpu without the CUDA runtime wheels, or the remains of it
        raise FaissInstallationError(f"faiss refuses to load ({error}): {_MEND}") from error
