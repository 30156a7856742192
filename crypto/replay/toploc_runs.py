"""The points of TOPLOC proofs, taken from the last hidden states of one run."""

from __future__ import annotations

from typing import Any, Final

from ..toploc import POINTS, Point, run_lengths
from .opened import failed

_MAGNITUDE: Final = 0x7FFF
_INFINITE: Final = 0x7F80


def points_of_runs(hidden: Any, prompt_tokens: int, output_tokens: int) -> list[list[Point]]:
    """Return the 128 largest activations of each run of *hidden* (positions, width), the earlier first among equals.

    Raises `VerificationError` for activations that are not finite, and for a run of fewer than 128 of them.
    """
    import torch

    bits = hidden.to(torch.bfloat16).contiguous().view(torch.int16).to(torch.int64) & 0xFFFF
    if bool(((bits & _MAGNITUDE) >= _INFINITE).any()):
        raise failed("the model's activations are not finite")
    runs: list[list[Point]] = []
    start = 0
    for length in run_lengths(prompt_tokens, output_tokens):
        flat = bits[start : start + length].reshape(-1)
        start += length
        if len(flat) < POINTS:
            raise failed(f"a run has fewer than {POINTS} activations")
        order = torch.argsort(flat & _MAGNITUDE, descending=True, stable=True)[:POINTS]
        runs.append([(int(index), int(flat[index])) for index in order])
    return runs
