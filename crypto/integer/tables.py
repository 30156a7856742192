"""The model's tables, made with Python integers only, and the digests that pin them.

`numpy` only carries the results: no float takes part, so every machine makes the same tables.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, fields
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from .shape import ModelShape

Int64Array: TypeAlias = npt.NDArray[np.int64]

_FRACTION_BITS: Final = 96
#: 16 √width is the length of a norm's output; 16² enters below the root.
NORM_UNIT_SQUARED_BITS: Final = 8
MANTISSA_LOW: Final = 1024
MANTISSA_HIGH: Final = 4096


@dataclass(frozen=True, slots=True)
class Tables:
    """exp and silu by index, the reciprocal by the sum, the root by (level, mantissa − 1024)."""

    exp: Int64Array
    silu: Int64Array
    root: Int64Array
    reciprocal: Int64Array

    def digests(self) -> dict[str, str]:
        """Return each table's SHA-256 over its entries as little-endian int32, row by row."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: hashlib.sha256(table.astype("<i4").tobytes()).hexdigest() for name, table in named.items()}


def exp_powers(count: int, step: int) -> list[int]:
    """Return floor-type fixed-point values of exp(−k / step) for k < count, with 96 fractional bits.

    A fixed recurrence, not the nearest values: what counts is that everybody computes the same integers.
    """
    one = term = 1 << _FRACTION_BITS
    factor = 0
    for order in range(1, 60):
        factor += term if order % 2 else -term
        term //= step * order
    powers = [one]
    for _ in range(count - 1):
        powers.append(powers[-1] * factor >> _FRACTION_BITS)
    return powers


def make_tables(shape: ModelShape) -> Tables:
    """Compute all tables of *shape* (about 50 ms)."""
    return Tables(
        exp=_exp_table(shape), silu=_silu_table(shape), root=_root_table(shape), reciprocal=_reciprocal_table(shape)
    )


def _exp_table(shape: ModelShape) -> Int64Array:
    """round(one · exp(−D / step)) for every score distance D."""
    half = 1 << (_FRACTION_BITS - 1)
    powers = exp_powers(shape.exp_entries, shape.exp_step)
    return np.array([(value * shape.exp_one + half) >> _FRACTION_BITS for value in powers], np.int64)


def _silu_table(shape: ModelShape) -> Int64Array:
    """clip(round(z σ(z / unit))) for −half ≤ z < half, at index z + half; rounding is half up."""
    powers = exp_powers(shape.silu_half + 1, shape.silu_unit)
    one = 1 << _FRACTION_BITS
    table = []
    for z in range(-shape.silu_half, shape.silu_half):
        falling = powers[abs(z)]
        numerator, denominator = z * (one if z >= 0 else falling), one + falling
        rounded = (2 * numerator + denominator) // (2 * denominator)
        table.append(max(-shape.activation_clip, min(shape.activation_clip, rounded)))
    return np.array(table, np.int64)


def _root_table(shape: ModelShape) -> Int64Array:
    """floor(√(2^top / (u 4^h))) for each level h and mantissa u: the norm's factor, with norm_shift fractional bits."""
    top = NORM_UNIT_SQUARED_BITS + (shape.width.bit_length() - 1) + 2 * shape.norm_shift
    mantissas = range(MANTISSA_LOW, MANTISSA_HIGH)
    levels = range(shape.norm_levels)
    return np.array([[math.isqrt((1 << top) // (u << 2 * h)) for u in mantissas] for h in levels], np.int64)


def _reciprocal_table(shape: ModelShape) -> Int64Array:
    """round(2^output_shift / S) for every possible sum S of attention weights; sums below one weight do not occur."""
    unit = 1 << shape.output_shift
    sums = range(shape.exp_one, shape.exp_one * shape.context + 1)
    return np.array([0] * shape.exp_one + [(unit + total // 2) // total for total in sums], np.int64)
