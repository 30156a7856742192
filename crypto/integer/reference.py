"""The integer language model: its definition, in numpy int64, one sequence at a time. No float occurs in this file.

Every other implementation is correct exactly when it computes the tensors that `forward` records here. `>>` is floor
division by a power of two; rounding is always "add half, then floor".

    requantise   q = (sum + 2^6) >> 7                                   y = clip(q)
    norm         v = Σ x² + ε = u 4^h + rest, 2^10 ≤ u < 2^12           n = (x ROOT[h, u] + 2^13) >> 14
    attention    key_ij = 512 s_ij − j, so no two keys of a row are equal and the lowest j wins a tie
                 M_i = max over j ≤ i of key_ij,  e_ij = EXP[(M_i − key_ij) >> 15],  S_i = Σ e_ij
                 o = (RECIPROCAL[S_i] Σ e_ij v_j + 2^21) >> 22
    block        mid = x + clip(merge(o)),  x' = mid + clip(down(SILU[up(norm(mid))]))
    residual     exact addition, never requantised: |x| is bounded by the clips of what is added

No auxiliary value has a second legal choice, so a proof of these steps has exactly one witness.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

import numpy as np

from .shape import ModelShape
from .tables import MANTISSA_HIGH, MANTISSA_LOW, Int64Array, Tables, make_tables
from .weights import Weights

Trace = MutableMapping[str, Int64Array]


@dataclass(frozen=True, slots=True)
class ReferenceModel:
    """Shape, tables and weights (as int64); slow, and the definition of what the model says."""

    shape: ModelShape
    tables: Tables
    weights: Mapping[str, Int64Array]

    @classmethod
    def build(cls, shape: ModelShape, weights: Weights) -> ReferenceModel:
        """Make the tables of *shape* and widen *weights*."""
        return cls(shape, make_tables(shape), {name: tensor.astype(np.int64) for name, tensor in weights.items()})

    def forward(self, tokens: Sequence[int], trace: Trace | None = None) -> Int64Array:
        """Return the integer logits (T, vocabulary) of one sequence; *trace* receives every tensor by name."""
        trace = {} if trace is None else trace
        x = self.weights["embedding"][list(tokens)] + self.weights["position"][: len(tokens)]
        for layer in range(self.shape.layers):
            x = self._block(x, f"block.{layer}", trace)
        trace["residual"] = x
        logits: Int64Array = self._norm(x, "norm", trace) @ self.weights["output"]
        trace["logits"] = logits
        return logits

    def generate(self, prompt: Sequence[int], tokens_max: int, end: int) -> list[int]:
        """Continue *prompt* greedily, recomputing everything at each step, until *end*, the limit or the context."""
        answer: list[int] = []
        while len(answer) < tokens_max and len(prompt) + len(answer) < self.shape.context:
            answer.append(greedy(self.forward([*prompt, *answer])[-1]))
            if answer[-1] == end:
                break
        return answer

    def _block(self, x: Int64Array, name: str, trace: Trace) -> Int64Array:
        shape, weights = self.shape, self.weights
        normed = self._norm(x, f"{name}.norm1", trace)
        query, key, value = (
            self._requantise(normed @ weights[f"{name}.{part}"], shape.activation_clip)
            for part in ("query", "key", "value")
        )
        seen = self._attention(query, key, value, name, trace)
        merged = self._requantise(seen @ weights[f"{name}.merge"], shape.residual_clip)
        middle = x + merged
        raised = self._rounded(self._norm(middle, f"{name}.norm2", trace) @ weights[f"{name}.up"])
        active = self.tables.silu[raised + shape.silu_half]
        lowered = self._requantise(active @ weights[f"{name}.down"], shape.residual_clip)
        named = {
            "x": x, "query": query, "key": key, "value": value, "merged": merged, "middle": middle,
            "raised": raised, "active": active, "lowered": lowered,
        }  # fmt: skip
        trace.update({f"{name}.{part}": tensor for part, tensor in named.items()})
        return middle + lowered

    def _norm(self, x: Int64Array, name: str, trace: Trace) -> Int64Array:
        shape = self.shape
        square = (x * x).sum(1) + shape.norm_epsilon
        level = np.zeros_like(square)
        for _ in range(shape.norm_levels - 1):
            level += square >> (2 * level) >= MANTISSA_HIGH
        mantissa = square >> (2 * level)
        root = self.tables.root[level, mantissa - MANTISSA_LOW]
        normed: Int64Array = (x * root[:, None] + (1 << (shape.norm_shift - 1))) >> shape.norm_shift
        named = {"square": square, "level": level, "mantissa": mantissa, "root": root, "out": normed}
        trace.update({f"{name}.{part}": tensor for part, tensor in named.items()})
        return normed

    def _attention(self, query: Int64Array, key: Int64Array, value: Int64Array, name: str, trace: Trace) -> Int64Array:
        length, heads, width = len(query), self.shape.heads, self.shape.head_width
        square, rows = (heads, length, length), (heads, length)
        named = {part: np.zeros(square, np.int64) for part in ("score", "distance", "rest", "weight")}
        named |= {part: np.zeros(rows, np.int64) for part in ("top", "best", "sum", "reciprocal")}
        named["distance"] -= 1  # what lies in the future has no distance
        out = np.zeros_like(query)
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            named["score"][head] = query[:, part] @ key[:, part].T
            for row in range(length):
                out[row, part] = self._attend(named, head, row, value[:, part])
        named["seen"] = out
        trace.update({f"{name}.{part}": tensor for part, tensor in named.items()})
        return out

    def _attend(self, named: Mapping[str, Int64Array], head: int, row: int, value: Int64Array) -> Int64Array:
        """One row of one head: write its auxiliary values, return its output."""
        shape, past = self.shape, slice(0, row + 1)
        keys = shape.key_factor * named["score"][head, row, past] - np.arange(row + 1)
        best = int(np.argmax(keys))
        difference = keys[best] - keys
        distance = difference >> shape.score_shift
        weight = self.tables.exp[distance]
        total = int(weight.sum())
        reciprocal = int(self.tables.reciprocal[total])
        named["top"][head, row], named["best"][head, row] = keys[best], best
        named["distance"][head, row, past] = distance
        named["rest"][head, row, past] = difference & ((1 << shape.score_shift) - 1)
        named["weight"][head, row, past] = weight
        named["sum"][head, row], named["reciprocal"][head, row] = total, reciprocal
        out: Int64Array = (reciprocal * (weight @ value[past]) + (1 << (shape.output_shift - 1))) >> shape.output_shift
        return out

    def _rounded(self, total: Int64Array) -> Int64Array:
        shift = self.shape.requantise_shift
        return (total + (1 << (shift - 1))) >> shift

    def _requantise(self, total: Int64Array, limit: int) -> Int64Array:
        return np.clip(self._rounded(total), -limit, limit)


def greedy(logits: Int64Array) -> int:
    """Return the token with the highest logit, the lowest id on a tie (what `argmax` promises)."""
    return int(np.argmax(logits))
