"""Integer models for tests: shapes, random and extreme weights, and tensors of both implementations side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crypto.integer.reference import ReferenceModel
from crypto.integer.shape import DEMO_SHAPE, ModelShape
from crypto.integer.weights import Int8Array, decode_weights
from server.runner.demo.engine import load_demo_files
from server.runner.demo.release import WEIGHTS_FILE
from server.runner.integer.serving import ServingModel

SMALL = ModelShape(width=32, hidden=64, layers=2, heads=2, context=48, vocabulary=64)


def random_weights(shape: ModelShape, seed: int, most: int = 48) -> dict[str, Int8Array]:
    """Uniform weights between −most and most."""
    rng = np.random.default_rng(seed)
    sizes = shape.tensor_shapes()
    return {name: rng.integers(-most, most + 1, size).astype(np.int8) for name, size in sizes.items()}


def demo_weights() -> dict[str, Int8Array]:
    """The released weights."""
    return decode_weights(load_demo_files()[WEIGHTS_FILE], DEMO_SHAPE)


def peculiar_weights(shape: ModelShape) -> dict[str, dict[str, Int8Array]]:
    """Models in which everything ties, everything is as large as it may be, or everything is zero."""
    scores, logits, large = (random_weights(shape, seed, 24) for seed in (1, 2, 3))
    scores["block.0.query"][:] = scores["block.1.key"][:] = 0
    logits["output"][:] = logits["output"][:, :1]
    signs = np.sign(large["embedding"]) + (large["embedding"] == 0)
    large["embedding"][:] = 127 * signs
    large["position"][:] = 127 * signs[np.arange(shape.context) % shape.vocabulary]
    zero = {name: np.zeros_like(tensor) for name, tensor in scores.items()}
    return {"every score ties": scores, "every logit ties": logits, "largest embeddings": large, "all zero": zero}


def differing_tensors(reference: ReferenceModel, model: ServingModel, rows: Sequence[Sequence[int]]) -> list[str]:
    """Run both on *rows* (padded to one batch for the serving path); return the names of tensors that differ."""
    import torch

    longest = max(len(row) for row in rows)
    tokens = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    traced: dict[str, torch.Tensor] = {}
    place = torch.arange(longest).expand(len(rows), -1)
    model.forward(tokens, place, model.new_cache(len(rows)), trace=traced)
    differing: list[str] = []
    for index, row in enumerate(rows):
        expected: dict[str, np.ndarray] = {}
        reference.forward(row, expected)
        assert set(expected) == set(traced), set(expected) ^ set(traced)
        for name, tensor in expected.items():
            actual = traced[name][index].numpy().astype(np.int64)
            if not np.array_equal(_cut(name, actual, len(row)), tensor):
                differing.append(name)
    return differing


def _cut(name: str, tensor: np.ndarray, length: int) -> np.ndarray:
    """Drop the padding: per pair of positions, per head and position, or per position."""
    part = name.rsplit(".", 1)[-1]
    if part in {"score", "distance", "rest", "weight"}:
        return tensor[:, :length, :length]
    if part in {"top", "best", "sum", "reciprocal"}:
        return tensor[:, :length]
    return tensor[:length]
