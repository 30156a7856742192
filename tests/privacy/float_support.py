"""Which candidates a released float rules out for good: the attack on noise that was drawn as floats.

Between two floats lies a gap, and the sum of a candidate and a float of noise can reach only some floats. Where the
released value is one that a candidate cannot reach, the candidate is excluded with certainty, whatever ε was claimed.
Source: Mironov, "On significance of the least significant bits for differential privacy" (CCS 2012).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Neighbouring floats of noise that are tried, each way; rounding moves a sum by less.
NEIGHBOURS = 8


def is_reachable(released: NDArray[np.float32], candidate: NDArray[np.float32], scale: np.float32) -> NDArray[np.bool_]:
    """Say for each value (n,) whether float32(candidate + float32(scale · noise)) equals it for some float32 noise."""
    start = ((released.astype(np.float64) - candidate.astype(np.float64)) / np.float64(scale)).astype(np.float32)
    found = np.zeros(released.shape, dtype=np.bool_)
    up, down = start.copy(), start.copy()
    for _ in range(NEIGHBOURS + 1):
        for noise in (up, down):
            found |= (candidate + (scale * noise)).astype(np.float32) == released
        up, down = np.nextafter(up, np.float32(np.inf)), np.nextafter(down, np.float32(-np.inf))
    return found
