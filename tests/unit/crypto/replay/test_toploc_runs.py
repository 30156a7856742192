from __future__ import annotations

import pytest
import torch

from crypto.errors import VerificationError
from crypto.replay.toploc_runs import points_of_runs


def test_the_largest_activations_of_each_run_are_its_points() -> None:
    hidden = torch.zeros(4, 128)
    hidden[0, 5], hidden[1, 7], hidden[3, 0] = -3.0, 2.0, 1.0
    prompt, answer = points_of_runs(hidden, 2, 3)
    assert prompt[:3] == [(5, 0xC040), (128 + 7, 0x4000), (0, 0)]
    assert answer[:2] == [(128, 0x3F80), (0, 0)]
    assert len(prompt) == len(answer) == 128


def test_activations_that_are_not_finite_are_refused() -> None:
    for wrong in (float("inf"), float("-inf"), float("nan"), 3.4e38):
        hidden = torch.zeros(1, 128)
        hidden[0, 100] = wrong
        with pytest.raises(VerificationError, match="finite"):
            points_of_runs(hidden, 1, 1)


def test_a_run_of_too_few_activations_is_refused() -> None:
    with pytest.raises(VerificationError, match="fewer than 128"):
        points_of_runs(torch.zeros(1, 127), 1, 1)
