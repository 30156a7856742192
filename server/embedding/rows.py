"""The one place where what a model said becomes a vector that may be believed."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from server.embedding.errors import VectorError
from server.ports import Float32Matrix

#: Below it a vector has no direction worth the name: components are denormal, or the model is broken.
NORM_MIN: Final = 1e-6


def unit_rows(raw: npt.NDArray[np.floating], *, count: int, dimension: int) -> Float32Matrix:
    """Scale *raw*, which must have shape (count, dimension), to rows of length one.

    Returns float32 rows whose length is 1 within 1e-6. Raises `VectorError` for another shape, NaN, an infinity, and
    a row shorter than `NORM_MIN`.
    """
    if raw.shape != (count, dimension):
        raise VectorError(f"the embedding model gave shape {raw.shape} where {(count, dimension)} was agreed")
    with np.errstate(over="ignore", invalid="ignore"):
        # Squares of float32 do not overflow in float64, so only the model's own NaN and infinities remain to be found.
        wide = raw.astype(np.float64)
        norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    if not np.isfinite(norms).all():
        row = int(np.flatnonzero(~np.isfinite(norms))[0])
        raise VectorError(f"the embedding model gave NaN or an infinity for text {row} of {count}")
    if (norms < NORM_MIN).any():
        row = int(np.flatnonzero(norms < NORM_MIN)[0])
        raise VectorError(f"the embedding model gave a vector of length near zero for text {row} of {count}")
    return np.asarray(wide / norms[:, None], dtype=np.float32)
