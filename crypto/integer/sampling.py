"""Choosing the next token with integers only: greedy, or a seeded draw that anybody can repeat from the logits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Final

from ..canonical import encode_fields
from .errors import SettingRefused
from .tables import exp_powers

SAMPLER_ID: Final = "hitproof/sampler/v1"
SAMPLED_TOKENS_MAX: Final = 16
TEMPERATURE_UNIT: Final = 16
SHARE_UNIT: Final = 1024
TEMPERATURE_MAX: Final = Decimal(2)
_WEIGHT_BITS: Final = 32
_EXP_BITS: Final = 96
_EXP_STEP: Final = 64
_EXP_ENTRIES: Final = 1 << 14


@dataclass(frozen=True, slots=True)
class Sampler:
    """Draws among the highest logits, at most 16; *temperature_sixteenths* 0 is greedy.

    A draw depends on the logits, *seed*, *request* and the step, and on nothing else. *share_units* keeps the shortest
    run of best tokens that holds that many 1024ths of the weight (top_p).
    """

    temperature_sixteenths: int
    share_units: int
    seed: bytes
    request: bytes

    def choose(self, logits: Sequence[int], step: int) -> int:
        """Return the token of *step*: integer logits in units of 1/1024, ties to the lower id."""
        order = sorted(range(len(logits)), key=lambda token: (-logits[token], token))[:SAMPLED_TOKENS_MAX]
        if self.temperature_sixteenths == 0:
            return order[0]
        weights = self._weights([logits[order[0]] - logits[token] for token in order])
        return order[draw(weights, self._digest(step))]

    def _weights(self, distances: Sequence[int]) -> list[int]:
        """exp(−distance / (1024 T)) with 32 bits: T in sixteenths makes the table's index one exact division."""
        table = _exp_table()
        weights = [table[min(distance // self.temperature_sixteenths, _EXP_ENTRIES - 1)] for distance in distances]
        total, running = sum(weights), 0
        for count, weight in enumerate(weights, 1):
            running += weight
            if running * SHARE_UNIT >= total * self.share_units:
                return weights[:count]
        return weights

    def _digest(self, step: int) -> int:
        fields = encode_fields(SAMPLER_ID, self.seed, self.request, step.to_bytes(4, "big"))
        return int.from_bytes(hashlib.sha256(fields).digest(), "big")


def draw(weights: Sequence[int], uniform: int) -> int:
    """Return the index that *uniform*, out of 2^256, falls into; each index has its weight's share of the line."""
    point = uniform * sum(weights) >> 256
    for index, weight in enumerate(weights):
        point -= weight
        if point < 0:
            return index
    raise AssertionError("the point lies below the sum of the weights")


def temperature_sixteenths(temperature: Decimal | None) -> int:
    """Return *temperature* in sixteenths, rounded half up; None and 0 are greedy, anything else at least 1.

    Raises `SettingRefused` outside 0 to 2.
    """
    if temperature is None or temperature == 0:
        return 0
    if not temperature.is_finite() or not 0 <= temperature <= TEMPERATURE_MAX:
        raise SettingRefused(f"temperature {temperature} is outside 0 to {TEMPERATURE_MAX}", param="temperature")
    return max(1, int((temperature * TEMPERATURE_UNIT).to_integral_value(ROUND_HALF_UP)))


def share_units(top_p: Decimal | None) -> int:
    """Return *top_p* in 1024ths, rounded half up, at least 1. Raises `SettingRefused` outside 0 to 1."""
    if top_p is None:
        return SHARE_UNIT
    if not top_p.is_finite() or not 0 <= top_p <= 1:
        raise SettingRefused(f"top_p {top_p} is outside 0 to 1", param="top_p")
    return max(1, int((top_p * SHARE_UNIT).to_integral_value(ROUND_HALF_UP)))


@cache
def _exp_table() -> tuple[int, ...]:
    return tuple(value >> (_EXP_BITS - _WEIGHT_BITS) for value in exp_powers(_EXP_ENTRIES, _EXP_STEP))
