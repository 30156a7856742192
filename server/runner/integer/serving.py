"""The same integers, fast: batched torch with a cache of keys and values, bit for bit equal to the reference.

Matrix products run in float32: every partial sum is an integer below 2^24 (`bounds` proves it from the weights), so the
result is exact in any order of summation, with or without fused multiply-add, on any number of threads. Everything
else is int32. Reduced-precision products (TF32, bfloat16) would break this and are refused.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from crypto.integer.bounds import check_bounds
from crypto.integer.reference import ReferenceModel
from crypto.integer.shape import ModelShape
from crypto.integer.tables import MANTISSA_HIGH, MANTISSA_LOW
from crypto.integer.weights import Weights
from server.runner.integer.errors import InexactBackend

#: Chooses a token from integer logits, the row of the batch, and the step.
Chooser = Callable[[list[int], int, int], int]
Trace = MutableMapping[str, Tensor]

#: Below every key: |key| < 2^29 (`bounds`), and the difference to the largest key still fits an int32.
_HIDDEN_KEY: Final = -(1 << 30)
_SELF_TEST_TOKENS: Final = 24


@dataclass(frozen=True, slots=True)
class _Place:
    """Where new tokens stand, the columns up to them, and the mask (rows, 1, T, columns) of what each may not see."""

    positions: Tensor
    columns: Tensor
    hidden: Tensor


class ServingModel:
    """Weights and tables on one device; read-only, so threads may share it."""

    def __init__(self, shape: ModelShape, weights: Weights, device: str = "cpu") -> None:
        """Check bounds and arithmetic, then load. Raises `UnprovableModel` and `InexactBackend`."""
        check_bounds(shape, weights)
        _refuse_reduced_precision()
        reference = ReferenceModel.build(shape, weights)
        self.shape = shape
        self.device = device
        self._products = {name: self._floats(tensor) for name, tensor in weights.items()}
        for layer in range(shape.layers):
            parts = [self._products.pop(f"block.{layer}.{part}") for part in ("query", "key", "value")]
            self._products[f"block.{layer}.mixed"] = torch.cat(parts, 1)
        self._embedding = self._products.pop("embedding").to(torch.int32)
        self._position = self._products.pop("position").to(torch.int32)
        self._exp = self._floats(reference.tables.exp)
        self._silu = self._floats(reference.tables.silu)
        self._root = self._integers(reference.tables.root).reshape(-1)
        self._reciprocal = self._integers(reference.tables.reciprocal)
        steps = [MANTISSA_HIGH << (2 * level) for level in range(shape.norm_levels - 1)]
        self._levels = torch.tensor(steps, dtype=torch.int32, device=device)
        self._verify_against(reference)

    def new_cache(self, rows: int) -> Tensor:
        """Return an empty cache for *rows* sequences: (layers, 2, rows, heads, context, head width)."""
        shape = self.shape
        size = (shape.layers, 2, rows, shape.heads, shape.context, shape.head_width)
        return torch.zeros(size, dtype=torch.float32, device=self.device)

    @torch.inference_mode()
    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        cache: Tensor,
        *,
        last: Tensor | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """Return int32 logits (rows, T, vocabulary) for *tokens* at *positions*, both (rows, T).

        Writes keys and values into *cache* at *positions* and attends to everything before. With *last*, only the
        column `last[row]` of each row gets logits: (rows, 1, vocabulary). *trace* receives every tensor by name.
        """
        columns = torch.arange(int(positions.max()) + 1, device=self.device, dtype=torch.int32)
        place = _Place(positions, columns, columns > positions[:, None, :, None])
        x = self._embedding[tokens] + self._position[positions]
        for layer in range(self.shape.layers):
            x = self._block(x, layer, place, cache, trace)
        if last is not None:
            x = x[torch.arange(len(x), device=self.device), last][:, None]
        if trace is not None:
            trace["residual"] = x
        logits = (self._norm(x, "norm", trace) @ self._products["output"]).to(torch.int32)
        if trace is not None:
            trace["logits"] = logits
        return logits

    def generate(self, prompts: Sequence[Sequence[int]], tokens_max: int, end: int, choose: Chooser) -> list[list[int]]:
        """Continue several prompts at once, each until *end*, *tokens_max* or the context's end."""
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        longest = int(lengths.max())
        tokens = torch.tensor([[*prompt, *[end] * (longest - len(prompt))] for prompt in prompts], device=self.device)
        cache = self.new_cache(len(prompts))
        positions = torch.arange(longest, device=self.device).expand(len(prompts), -1)
        logits = self.forward(tokens, positions, cache, last=lengths - 1)[:, 0].tolist()
        answers: list[list[int]] = [[] for _ in prompts]
        alive = set(range(len(prompts)))
        for step in range(tokens_max):
            for row in sorted(alive):
                answers[row].append(choose(logits[row], row, step))
                if answers[row][-1] == end or len(prompts[row]) + step + 1 >= self.shape.context:
                    alive.discard(row)
            if not alive:
                break
            chosen = torch.tensor([[answer[-1]] for answer in answers], device=self.device)
            # rows that have ended are carried along; what they compute is not looked at
            place = torch.clamp(lengths + step, max=self.shape.context - 1)[:, None].to(self.device)
            logits = self.forward(chosen, place, cache)[:, 0].tolist()
        return answers

    def _block(self, x: Tensor, layer: int, place: _Place, cache: Tensor, trace: Trace | None) -> Tensor:
        shape, name = self.shape, f"block.{layer}"
        normed = self._norm(x, f"{name}.norm1", trace)
        mixed = self._requantise(normed @ self._products[f"{name}.mixed"], shape.activation_clip)
        split = mixed.to(torch.float32).view(*x.shape[:2], 3, shape.heads, shape.head_width)
        query, key, value = split.unbind(2)
        rows = torch.arange(len(x), device=self.device)[:, None]
        cache[layer, 0, rows, :, place.positions] = key
        cache[layer, 1, rows, :, place.positions] = value
        past = cache[layer, :, :, :, : len(place.columns)]
        seen = self._attention(query.transpose(1, 2), past, place, name, trace)
        merged = self._requantise(seen @ self._products[f"{name}.merge"], shape.residual_clip)
        middle = x + merged
        raised = self._rounded(self._norm(middle, f"{name}.norm2", trace) @ self._products[f"{name}.up"])
        active = self._silu[raised + shape.silu_half]
        lowered = self._requantise(active @ self._products[f"{name}.down"], shape.residual_clip)
        if trace is not None:
            named = {
                "x": x, "query": query.flatten(2), "key": key.flatten(2), "value": value.flatten(2), "seen": seen,
                "merged": merged, "middle": middle, "raised": raised, "active": active, "lowered": lowered,
            }  # fmt: skip
            trace.update({f"{name}.{part}": tensor for part, tensor in named.items()})
        return middle + lowered

    def _norm(self, x: Tensor, name: str, trace: Trace | None) -> Tensor:
        shape = self.shape
        square = (x * x).sum(-1, dtype=torch.int32) + shape.norm_epsilon
        level = torch.bucketize(square, self._levels, right=True).to(torch.int32)
        mantissa = square >> (2 * level)
        root = self._root[level * (MANTISSA_HIGH - MANTISSA_LOW) + mantissa - MANTISSA_LOW]
        normed = (x * root[..., None] + (1 << (shape.norm_shift - 1))) >> shape.norm_shift
        if trace is not None:
            named = {"square": square, "level": level, "mantissa": mantissa, "root": root, "out": normed}
            trace.update({f"{name}.{part}": tensor for part, tensor in named.items()})
        return normed.to(torch.float32)

    def _attention(self, query: Tensor, past: Tensor, place: _Place, name: str, trace: Trace | None) -> Tensor:
        shape = self.shape
        hidden = place.hidden
        score = (query @ past[0].transpose(2, 3)).to(torch.int32)
        keys = (shape.key_factor * score - place.columns).masked_fill_(hidden, _HIDDEN_KEY)
        top = keys.amax(-1, keepdim=True)
        difference = top - keys
        distance = (difference >> shape.score_shift).masked_fill_(hidden, 0)
        weight = self._exp[distance].masked_fill_(hidden, 0)
        total = weight.sum(-1).to(torch.int32)  # at most 2^17: exact in float32
        reciprocal = self._reciprocal[total]
        summed = (weight @ past[1]).to(torch.int32)
        half = 1 << (shape.output_shift - 1)
        seen = (summed * reciprocal[..., None] + half) >> shape.output_shift
        if trace is not None:
            rest = difference & ((1 << shape.score_shift) - 1)
            named = {
                "score": score, "weight": weight,
                "distance": distance.masked_fill(hidden, -1), "rest": rest.masked_fill(hidden, 0),
                "top": top[..., 0], "best": keys.argmax(-1), "sum": total, "reciprocal": reciprocal,
            }  # fmt: skip
            trace.update({f"{name}.{part}": tensor for part, tensor in named.items()})
        return seen.transpose(1, 2).flatten(2).to(torch.float32)

    def _rounded(self, total: Tensor) -> Tensor:
        shift = self.shape.requantise_shift
        return (total.to(torch.int32) + (1 << (shift - 1))) >> shift

    def _requantise(self, total: Tensor, limit: int) -> Tensor:
        return self._rounded(total).clamp_(-limit, limit)

    def _floats(self, array: np.typing.NDArray[np.signedinteger]) -> Tensor:
        return torch.tensor(array, dtype=torch.float32, device=self.device)

    def _integers(self, array: np.typing.NDArray[np.signedinteger]) -> Tensor:
        return torch.tensor(array, dtype=torch.int32, device=self.device)

    def _verify_against(self, reference: ReferenceModel) -> None:
        """Compute one short sequence both ways: no setting of a library is trusted to mean what its name says."""
        tokens = [(7 * index + index * index) % self.shape.vocabulary for index in range(_SELF_TEST_TOKENS)]
        place = torch.arange(len(tokens), device=self.device)[None]
        logits = self.forward(torch.tensor([tokens], device=self.device), place, self.new_cache(1))
        if not np.array_equal(logits[0].cpu().numpy().astype(np.int64), reference.forward(tokens)):
            raise InexactBackend(f"the arithmetic of device {self.device!r} differs from the model's definition")


def _refuse_reduced_precision() -> None:
    precision = torch.get_float32_matmul_precision()
    if precision != "highest" or torch.backends.cuda.matmul.allow_tf32:
        raise InexactBackend(
            f"float32 products are set to {precision!r} precision;"
            " call torch.set_float32_matmul_precision('highest') before loading an integer model"
        )
