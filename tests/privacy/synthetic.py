"""Questions without words: a dictionary of unit vectors in families, quantised as the house does it."""

from __future__ import annotations

import numpy as np

from privacy.mean import Int8Array

#: What the house scales unit vectors by; their norm then stays within 510.
SCALE = 508


def dictionary(entries: int, dimension: int, *, families: int, spread: float, seed: int) -> Int8Array:
    """Return *entries* int8 rows; rows of one family lie *spread* standard deviations round its middle."""
    generator = np.random.default_rng(seed)
    middles = generator.standard_normal((families, dimension))
    rows = middles[np.arange(entries) % families] + spread * generator.standard_normal((entries, dimension))
    return quantise(rows)


def paraphrases(rows: Int8Array, *, spread: float, seed: int) -> Int8Array:
    """Return one row near each of *rows*, as another wording of it would lie."""
    generator = np.random.default_rng(seed)
    length = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return quantise(rows / length + spread * generator.standard_normal(rows.shape) / rows.shape[1] ** 0.5)


def quantise(rows: np.ndarray) -> Int8Array:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    found: Int8Array = np.clip(np.rint(unit * SCALE), -127, 127).astype(np.int8)
    return found
