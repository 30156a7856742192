"""Vectors under noise: the sum of what several organisations sent, or one entry's own, on the integers.

Vectors come as int8 components of norm at most 510 (`crypto.similarity`). Noise is added to integers; the result is
scaled to length 1 afterwards, which costs no privacy.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crypto.similarity import DIMENSION_MAX, NORM_BOUND_SQUARED

from .errors import NoiseError, PrivacyError
from .noise import MICRO, NoiseSampler

Int8Array: TypeAlias = NDArray[np.int8]
Float32Array: TypeAlias = NDArray[np.float32]

#: Squared L2 sensitivity of a sum to one vector that comes or goes, and of a vector to its replacement by another.
SUM_SENSITIVITY_SQUARED: Final = NORM_BOUND_SQUARED
REPLACEMENT_SENSITIVITY_SQUARED: Final = 4 * NORM_BOUND_SQUARED


def noised_mean(vectors: Int8Array, multiplier_squared_micro: int, noise: NoiseSampler) -> Float32Array:
    """Return the direction of the sum of *vectors* (n, d) plus noise of σ² = 510²·m: float32 (d,), of length 1.

    A vector beyond the norm bound counts as zero, so that what one organisation sends can neither raise the sensitivity
    nor make a release fail. Raises `PrivacyError` for another shape or type, `NoiseError` for missing noise.
    """
    if vectors.dtype != np.int8 or vectors.ndim != 2 or not 1 <= vectors.shape[1] <= DIMENSION_MAX:
        raise PrivacyError("vectors to be summed come as int8 in rows of equal length")
    wide = vectors.astype(np.int64)
    within = (wide * wide).sum(1) <= NORM_BOUND_SQUARED
    return _noised(wide[within].sum(0), SUM_SENSITIVITY_SQUARED, multiplier_squared_micro, noise)


def noised_embedding(vector: Int8Array, multiplier_squared_micro: int, noise: NoiseSampler) -> Float32Array:
    """Return the direction of *vector* (d,) plus noise of σ² = 1020²·m: float32 (d,), of length 1.

    Raises `PrivacyError` for another shape or type and beyond the norm bound, `NoiseError` for missing noise.
    """
    if vector.dtype != np.int8 or vector.ndim != 1 or not 1 <= len(vector) <= DIMENSION_MAX:
        raise PrivacyError("a vector comes as int8 components in a row")
    wide = vector.astype(np.int64)
    if int((wide * wide).sum()) > NORM_BOUND_SQUARED:
        raise PrivacyError("a vector beyond the norm bound is not published: its noise would be too small for it")
    return _noised(wide, REPLACEMENT_SENSITIVITY_SQUARED, multiplier_squared_micro, noise)


def _noised(
    exact: NDArray[np.int64], sensitivity_squared: int, multiplier_squared_micro: int, noise: NoiseSampler
) -> Float32Array:
    if multiplier_squared_micro < 1:
        raise NoiseError("a noise multiplier must be more than 0")
    draws = noise.gaussian(len(exact), Fraction(sensitivity_squared * multiplier_squared_micro, MICRO))
    if len(draws) != len(exact):
        raise NoiseError(f"{len(exact)} components need as many draws, and {len(draws)} came")
    released = exact + np.array(draws, dtype=np.int64)
    # From here on all is post-processing of integers that are public already.
    direction = released.astype(np.float64)
    length = float(np.linalg.norm(direction))
    if length == 0.0:
        direction[0] = length = 1.0
    unit: Float32Array = (direction / length).astype(np.float32)
    return unit
