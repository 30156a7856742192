"""Unit vectors to the int8 vectors that the index searches, the store seals and the proof speaks about."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crypto.errors import EncodingError
from crypto.similarity import COMPONENT_MAX, SCALE
from server.ports import Float32Matrix, Int8Matrix


def quantise(vectors: Float32Matrix) -> Int8Matrix:
    """Quantise unit rows, equal to `crypto.similarity.quantise_reference` for every float32.

    Shape (n, dimension) in and out. Raises `EncodingError` for components that are not finite.
    """
    # A float32 times 508 needs 24 + 9 bits of significand: exact in float64, so ties go where the reference sends them.
    scaled = vectors.astype(np.float64) * SCALE
    if not np.isfinite(scaled).all():
        raise EncodingError("a vector holds a component that is not a finite number")
    quantised: Int8Matrix = np.clip(np.rint(scaled), -COMPONENT_MAX, COMPONENT_MAX).astype(np.int8)
    return quantised


def norms_squared(vectors: Int8Matrix) -> npt.NDArray[np.int64]:
    """Return the exact squared norm of each row, shape (n,)."""
    wide = vectors.astype(np.int64)
    squared: npt.NDArray[np.int64] = np.einsum("ij,ij->i", wide, wide)
    return squared
