"""The demo model as it is trained: the integer model's forward pass, with gradients that go straight through rounding.

Every tensor is rounded and clipped from the first step on, in the integer units of `crypto.integer.reference`,
so that nothing is left to quantise afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crypto.integer.shape import ModelShape
from crypto.integer.weights import Int8Array, Weights

WEIGHT_UNIT = 256


class _RoundClip(torch.autograd.Function):
    """Round half up and clip; the gradient passes where nothing was clipped."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, scale: float, limit: float) -> Tensor:
        rounded = torch.mul(value, scale).add_(0.5).floor_()
        ctx.save_for_backward(rounded.abs() <= limit)
        ctx.scale = scale
        return rounded.clamp_(-limit, limit)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0].mul(ctx.scale).mul_(inside), None, None


class _Attention(torch.autograd.Function):
    """Integer softmax attention; the gradient is that of the ordinary softmax at the quantised probabilities."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, hidden: Tensor, shape: ModelShape) -> Tensor:
        scores = query @ key.transpose(2, 3)
        scores.masked_fill_(hidden, -1e9)
        steps = scores.amax(-1, keepdim=True).sub(scores).mul_(1 / shape.exp_step).floor_()
        weights = steps.mul_(-1 / shape.exp_step).exp_().mul_(shape.exp_one).add_(0.5).floor_()
        weights.div_(weights.sum(-1, keepdim=True))
        out = (weights @ value).add_(0.5).floor_()
        ctx.save_for_backward(query, key, value, weights, out)
        ctx.temperature = float(shape.exp_step * shape.exp_step)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value, weights, out = ctx.saved_tensors
        gradient = gradients[0]
        inner = (gradient @ value.transpose(2, 3)).sub_((gradient * out).sum(-1, keepdim=True))
        inner.mul_(weights).div_(ctx.temperature)
        return inner @ key, inner.transpose(2, 3) @ query, weights.transpose(2, 3) @ gradient, None, None


class Network(nn.Module):
    """Parameters in units of 1/256 (the stored integer is round(256 w)), initialised from a fixed seed.

    Of the first block's heads, one per entry of *distances* starts by looking exactly that many tokens back. Finding
    such heads from random weights takes most of a short training; afterwards they are trained like all others.
    """

    def __init__(self, shape: ModelShape, seed: int, distances: Sequence[int] = ()) -> None:
        super().__init__()
        self.shape = shape
        generator = torch.Generator().manual_seed(seed)
        fan = 1 / math.sqrt(shape.width)
        deep = 1 / math.sqrt(2 * shape.layers)

        def drawn(rows: int, columns: int, deviation: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, columns, generator=generator) * deviation)

        self.embedding = drawn(shape.vocabulary, shape.width, 24 / WEIGHT_UNIT)
        turns = torch.rand(shape.head_width // 2, generator=generator) * 3 + 0.05
        self.position = nn.Parameter(_waves(shape, turns) * (32 / WEIGHT_UNIT))
        layers = range(shape.layers)
        self.mixed = nn.ParameterList([drawn(shape.width, 3 * shape.width, fan) for _ in layers])
        self.merge = nn.ParameterList([drawn(shape.width, shape.width, fan * deep) for _ in layers])
        self.up = nn.ParameterList([drawn(shape.width, shape.hidden, fan) for _ in layers])
        self.down = nn.ParameterList([drawn(shape.hidden, shape.width, deep / math.sqrt(shape.hidden)) for _ in layers])
        self.output = drawn(shape.width, shape.vocabulary, fan / 4)
        for head, distance in enumerate(distances):
            self._look_back(self.mixed[0], head, distance, turns)
        self.clamp()

    @torch.no_grad()
    def _look_back(self, mixed: Tensor, head: int, distance: int, turns: Tensor) -> None:
        """Make query · key largest for the position *distance* before: the query's waves are turned back by it."""
        half = len(turns)
        gain = self.shape.weight_limit / WEIGHT_UNIT
        query = mixed[:, head * 2 * half : (head + 1) * 2 * half]
        key = mixed[:, self.shape.width :][:, head * 2 * half : (head + 1) * 2 * half]
        query.zero_()
        key.zero_()
        for copy in range(self.shape.width // (2 * half)):
            for wave, turn in enumerate((turns * distance).tolist()):
                cosine, sine = copy * 2 * half + wave, copy * 2 * half + half + wave
                query[cosine, wave], query[sine, wave] = gain * math.cos(turn), gain * math.sin(turn)
                query[sine, half + wave], query[cosine, half + wave] = gain * math.cos(turn), -gain * math.sin(turn)
                key[cosine, wave] = key[sine, half + wave] = gain

    @torch.no_grad()
    def clamp(self) -> None:
        """Keep every parameter where an int8 can hold it; called after each step."""
        limit = self.shape.weight_limit / WEIGHT_UNIT
        for parameter in self.parameters():
            parameter.clamp_(-limit, limit)

    def forward(self, tokens: Tensor, positions: Tensor, hidden: Tensor, wanted: Tensor) -> Tensor:
        """Return logits (in nats) at the *wanted* places of (B, T) rows; *hidden* (B, 1, T, T) masks attention."""
        shape = self.shape
        rows, length = tokens.shape
        x = self._integer(self.embedding)[tokens] + self._integer(self.position)[positions]
        for layer in range(shape.layers):
            mixed = self._requantised(self._norm(x) @ self._integer(self.mixed[layer]), shape.activation_clip)
            query, key, value = mixed.view(rows, length, 3, shape.heads, shape.head_width).permute(2, 0, 3, 1, 4)
            seen: Tensor = _Attention.apply(query, key, value, hidden, shape)  # type: ignore[no-untyped-call]
            seen = seen.transpose(1, 2).reshape(rows, length, shape.width)
            x = x + self._requantised(seen @ self._integer(self.merge[layer]), shape.residual_clip)
            raised = self._requantised(self._norm(x) @ self._integer(self.up[layer]), shape.silu_half - 1)
            active = _round_clip(F.silu(raised / shape.silu_unit), shape.silu_unit, shape.activation_clip)
            x = x + self._requantised(active @ self._integer(self.down[layer]), shape.residual_clip)
        return (self._norm(x[wanted]) @ self._integer(self.output)) / shape.logit_unit

    def export(self) -> dict[str, Int8Array]:
        """Return the int8 weights under the names of `ModelShape.tensor_shapes`."""
        with torch.no_grad():
            return {name: self._integer(value).numpy().astype(np.int8) for name, value in self._named_parts().items()}

    @torch.no_grad()
    def restore(self, weights: Weights) -> None:
        """Take over exported *weights*, to go on from there."""
        for name, part in self._named_parts().items():
            part.copy_(torch.from_numpy(weights[name].astype(np.float32)) / WEIGHT_UNIT)

    def _named_parts(self) -> dict[str, Tensor]:
        """Views of the parameters under the exported names; query, key and value share one parameter."""
        parts: dict[str, Tensor] = {"embedding": self.embedding, "position": self.position, "output": self.output}
        for layer in range(self.shape.layers):
            for name, part in zip(("query", "key", "value"), self.mixed[layer].chunk(3, 1), strict=True):
                parts[f"block.{layer}.{name}"] = part
            for name, group in (("merge", self.merge), ("up", self.up), ("down", self.down)):
                parts[f"block.{layer}.{name}"] = group[layer]
        return parts

    def _integer(self, parameter: Tensor) -> Tensor:
        return _round_clip(parameter, WEIGHT_UNIT, self.shape.weight_limit)

    def _requantised(self, total: Tensor, limit: int) -> Tensor:
        return _round_clip(total, 2.0**-self.shape.requantise_shift, limit)

    def _norm(self, x: Tensor) -> Tensor:
        square = (x * x).sum(-1, keepdim=True) + self.shape.norm_epsilon
        return _round_clip(x * torch.rsqrt(square), 16 * math.sqrt(self.shape.width), 4096)


def _round_clip(value: Tensor, scale: float, limit: float) -> Tensor:
    out: Tensor = _RoundClip.apply(value, scale, limit)  # type: ignore[no-untyped-call]
    return out


def _waves(shape: ModelShape, turns: Tensor) -> Tensor:
    """Cosines and sines of a few wave lengths, repeated to the model's width: a distance is then one rotation."""
    phase = torch.arange(shape.context, dtype=torch.float32)[:, None] * turns
    return torch.cat([torch.cos(phase), torch.sin(phase)], 1).repeat(1, shape.width // (2 * len(turns)))
