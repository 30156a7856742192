"""The parameters that a runner states for a Hugging Face model's answer, read without trusting them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from .float_sampler import SAMPLER
from .opened import failed, read_integer, read_stops, verify_parameters

_KEYS: Final = frozenset({"sampler", "seed", "stop", "temperature", "tokens_max", "top_p"})
_DECIMAL: Final = re.compile(r"(0|[1-9][0-9]{0,3})(\.[0-9]{1,20})?")
_SEED_MAX: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class FloatParameters:
    """The exact values in use; *seed* is None where the choice is greedy."""

    temperature: Decimal
    top_p: Decimal
    seed: int | None
    tokens_max: int
    stops: tuple[str, ...]


def read_float_parameters(parameters: Mapping[str, Any], *, tokens_max: int) -> FloatParameters:
    """Read *parameters*; at most *tokens_max* tokens fit. Raises `VerificationError` (`replay_failed`)."""
    verify_parameters(parameters, _KEYS)
    if parameters["sampler"] != SAMPLER:
        raise failed("the statement names another sampler than the model's", expected=SAMPLER)
    temperature, top_p = _decimal(parameters, "temperature"), _decimal(parameters, "top_p")
    if top_p > 1:
        raise failed("the parameter top_p is larger than 1")
    seed = read_integer(parameters, "seed", -_SEED_MAX, _SEED_MAX) if temperature else None
    if parameters["seed"] != seed:
        raise failed("a greedy choice has no seed")
    return FloatParameters(
        temperature, top_p, seed, read_integer(parameters, "tokens_max", 1, tokens_max), read_stops(parameters)
    )


def _decimal(parameters: Mapping[str, Any], key: str) -> Decimal:
    value = parameters[key]
    if not isinstance(value, str) or _DECIMAL.fullmatch(value) is None:
        raise failed(f"the parameter {key} is not a decimal number")
    return Decimal(value)
