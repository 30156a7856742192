"""Static bounds over every input, from the weights alone: computed once, before a model may answer.

They hold three promises. No accumulator leaves what float32 adds exactly (2^24), so the serving path is exact. No
quotient leaves the domain of its table. No value reaches half of the proofs' field, so no later proof can wrap around.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from .errors import UnprovableModel
from .shape import FIELD_PRIME, ModelShape
from .tables import MANTISSA_HIGH, NORM_UNIT_SQUARED_BITS, Int64Array
from .weights import Weights

HALF_FIELD: Final = (FIELD_PRIME - 1) // 2
FLOAT32_EXACT: Final = 1 << 24
INT32_LIMIT: Final = 1 << 31


@dataclass(frozen=True, slots=True)
class Bound:
    """*quantity* of *tensor* never exceeds *bound* in absolute value; it must stay below *limit*."""

    tensor: str
    quantity: str
    bound: int
    limit: int


def check_bounds(shape: ModelShape, weights: Weights) -> tuple[Bound, ...]:
    """Return every bound of the model. Raises `UnprovableModel`, naming the tensor, if one reaches its limit."""
    bounds = tuple(_all_bounds(shape, {name: tensor.astype(np.int64) for name, tensor in weights.items()}))
    for bound in bounds:
        if bound.bound >= bound.limit:
            raise UnprovableModel(bound.tensor, bound.quantity, bound.bound, bound.limit)
    return bounds


def _all_bounds(shape: ModelShape, weights: dict[str, Int64Array]) -> Iterator[Bound]:
    for name, tensor in weights.items():
        yield Bound(name, "the largest weight", int(np.abs(tensor).max()), shape.weight_limit + 1)
    yield from _residual_bounds(shape, weights)
    product = _norm_product(shape)
    largest = (product >> shape.norm_shift) + 1
    yield Bound("norm", "x times its root", product, HALF_FIELD)
    for layer in range(shape.layers):
        for part in ("query", "key", "value", "up"):
            name = f"block.{layer}.{part}"
            yield from _product_bounds(shape, name, _after_norm(shape, weights[name], largest), shape.silu_half)
        # a quotient of merge and down is clipped by a table of 2^15 entries
        for part, most in (("merge", _seen_largest(shape)), ("down", shape.activation_clip)):
            name = f"block.{layer}.{part}"
            columns = int(np.abs(weights[name]).sum(0).max())
            yield from _product_bounds(shape, name, columns * most, 1 << 15)
    yield from _attention_bounds(shape)
    logit = _after_norm(shape, weights["output"], largest)
    yield Bound("output", "the difference of two logits", 2 * logit + 1, FLOAT32_EXACT)


def _residual_bounds(shape: ModelShape, weights: dict[str, Int64Array]) -> Iterator[Bound]:
    start = np.abs(weights["embedding"]).max(0) + np.abs(weights["position"]).max(0)
    most = int(start.max()) + 2 * shape.layers * shape.residual_clip
    square = shape.width * most * most + shape.norm_epsilon
    levels = MANTISSA_HIGH << (2 * (shape.norm_levels - 1))
    yield Bound("embedding", "the sum of squares in a norm", square, min(HALF_FIELD, levels))


def _norm_product(shape: ModelShape) -> int:
    """|x ROOT| ≤ 16 √width 2^shift |x| / √(u 4^h), with u 4^h > v (1 − 2^-10) and v ≥ x²; 0.2 % cover the rounding."""
    bits = NORM_UNIT_SQUARED_BITS + shape.width.bit_length() - 1 + 2 * shape.norm_shift
    return math.isqrt((1 << bits) * 1002 // 1000) + 1


def _after_norm(shape: ModelShape, tensor: Int64Array, largest: int) -> int:
    """Bound a norm times *tensor*: the better of Cauchy-Schwarz (|n|₂ ≤ 16 √width, and rounding) and the L1 rule."""
    length = math.isqrt((shape.width << NORM_UNIT_SQUARED_BITS) * 1002 // 1000) + math.isqrt(shape.width // 4) + 2
    squares = int((tensor * tensor).sum(0).max())
    return min((math.isqrt(squares) + 1) * length, int(np.abs(tensor).sum(0).max()) * largest)


def _product_bounds(shape: ModelShape, name: str, total: int, quotients: int) -> Iterator[Bound]:
    yield Bound(name, "a sum of products", total, min(HALF_FIELD, FLOAT32_EXACT))
    yield Bound(name, "the quotient of a sum", (total >> shape.requantise_shift) + 1, quotients)


def _seen_largest(shape: ModelShape) -> int:
    """The largest attention output: the mean of values, and what the rounded reciprocal can add."""
    return (_weighted_most(shape) >> shape.output_shift) + 1


def _weighted_most(shape: ModelShape) -> int:
    clip, weights = shape.activation_clip, shape.context * shape.exp_one
    return (clip << shape.output_shift) + clip * weights // 2 + (1 << (shape.output_shift - 1))


def _attention_bounds(shape: ModelShape) -> Iterator[Bound]:
    score = shape.head_width * shape.activation_clip**2
    reach = shape.exp_entries << shape.score_shift
    difference = 2 * shape.key_factor * score + shape.context
    yield Bound("attention", "a score", score, FLOAT32_EXACT)
    yield Bound("attention", "the difference of two keys", difference, min(HALF_FIELD, reach))
    yield Bound("attention", "a position within a key", shape.context - 1, shape.key_factor)
    summed = shape.context * shape.exp_one * shape.activation_clip
    yield Bound("attention", "the weighted sum of values", summed, FLOAT32_EXACT)
    yield Bound("attention", "the weighted sum times its reciprocal", _weighted_most(shape), HALF_FIELD)
    # A quotient is unique in the field only while its whole range, times the divisor, stays below the prime.
    span = (2 * _seen_largest(shape) + 1) << shape.output_shift
    yield Bound("attention", "the range of an output and its remainder", span, FIELD_PRIME)
