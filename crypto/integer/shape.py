"""Every integer that decides what the model computes, in one frozen value; the manifest states all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Final

NUMERICS_KIND: Final = "hitproof-integer/v1"

#: The field of the later proofs (BabyBear): an integer is provable while it stays below half of it.
FIELD_PRIME: Final = 15 * 2**27 + 1


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes, shifts and clips of a decoder; all scales are powers of two, chosen by hand and never calibrated.

    Units: a weight is 1/256, an activation 1/32, a norm's output 1/16, the residual stream 1/64, a logit 1/1024.
    """

    width: int = 128
    hidden: int = 512
    layers: int = 3
    heads: int = 4
    context: int = 512
    vocabulary: int = 512
    weight_limit: int = 127
    requantise_shift: int = 7
    activation_clip: int = 127
    residual_clip: int = 255
    norm_epsilon: int = 1024
    norm_shift: int = 14
    norm_levels: int = 10
    key_factor: int = 512
    score_shift: int = 15
    exp_entries: int = 1 << 14
    exp_step: int = 64
    exp_one: int = 256
    output_shift: int = 22
    silu_half: int = 2048
    silu_unit: int = 32
    logit_unit: int = 1024

    @property
    def head_width(self) -> int:
        """Components per attention head."""
        return self.width // self.heads

    def tensor_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Name and shape of every weight tensor; a product is always `activations @ weights`."""
        square = (self.width, self.width)
        shapes: dict[str, tuple[int, ...]] = {
            "embedding": (self.vocabulary, self.width),
            "position": (self.context, self.width),
            "output": (self.width, self.vocabulary),
        }
        for layer in range(self.layers):
            shapes |= {f"block.{layer}.{name}": square for name in ("query", "key", "value", "merge")}
            shapes[f"block.{layer}.up"] = (self.width, self.hidden)
            shapes[f"block.{layer}.down"] = (self.hidden, self.width)
        return MappingProxyType(dict(sorted(shapes.items())))

    def as_manifest(self) -> dict[str, int]:
        """Return all fields by name, for the manifest."""
        return asdict(self)


DEMO_SHAPE: Final = ModelShape()
