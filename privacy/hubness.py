"""Hubs: vectors that are near to many questions which have nothing to do with each other.

In high dimensions some points are neighbours of far too many others (Radovanović et al., "Hubs in space", JMLR 2010), and
an attacker can search for one: an entry there would answer questions of all kinds. A vector is held against public
questions, never against those of any organisation, so the test tells nothing about them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float32Array: TypeAlias = NDArray[np.float32]

#: Fewer references than this show nothing, and whoever has no more judges no hub.
REFERENCES_MIN: Final = 32
REFERENCES_MAX: Final = 100_000
#: How far a vector's mean cosine may lie above the references' own, in their standard deviations. Measured with the
#: built-in embedder (`tests/bench/pool_gate.py --hubs`): real questions reach 2.9, searched texts 4.2 to 5.3.
DEVIATIONS_MAX: Final = 3.5
#: So near is the same question; more than this share of distinct references, and at least this many, is a hub.
NEAR_COSINE: Final = 0.8
NEAR_SHARE_MAX: Final = 0.01
NEAR_COUNT_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Crowd:
    """How near public questions lie to each other: the mean of their mean cosines, and the deviation of those."""

    mean: float
    deviation: float


def measure_crowd(references: Float32Array) -> Crowd:
    """Return the crowd of *references* (n, d), unit rows of distinct public questions; looks at `REFERENCES_MAX` of them.

    Each row's mean cosine is the one to all others: (⟨row, sum of rows⟩ − 1) / (n − 1).
    """
    references = references[:REFERENCES_MAX]
    count = len(references)
    if count < 2:
        return Crowd(0.0, 0.0)
    total = references.sum(0, dtype=np.float64)
    means = (references.astype(np.float64) @ total - 1.0) / (count - 1)
    return Crowd(float(means.mean()), float(means.std()))


def is_hub(scores: Float32Array, crowd: Crowd) -> bool:
    """Say whether a vector with these cosines (n,) to the references of *crowd* is nearer to all than questions are.

    False with fewer than `REFERENCES_MIN` references, which show nothing either way.
    """
    if len(scores) < REFERENCES_MIN:
        return False
    near = int((scores >= NEAR_COSINE).sum())
    if near > NEAR_COUNT_MAX and near > NEAR_SHARE_MAX * len(scores):
        return True
    return float(scores.mean(dtype=np.float64)) > crowd.mean + DEVIATIONS_MAX * crowd.deviation
