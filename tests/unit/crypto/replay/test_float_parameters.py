from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from crypto.errors import VerificationError
from crypto.replay.float_parameters import FloatParameters, read_float_parameters

DRAWN: dict[str, Any] = {
    "sampler": "hitproof/float-sampler/v1",
    "temperature": "0.7",
    "top_p": "0.95",
    "seed": 7,
    "tokens_max": 20,
    "stop": ["\nUser:"],
}


def test_what_a_runner_states_is_read_exactly() -> None:
    assert read_float_parameters(DRAWN, tokens_max=20) == FloatParameters(
        Decimal("0.7"), Decimal("0.95"), 7, 20, ("\nUser:",)
    )


def test_a_greedy_choice_has_no_seed() -> None:
    assert read_float_parameters(DRAWN | {"temperature": "0", "seed": None}, tokens_max=20).seed is None
    with pytest.raises(VerificationError, match="no seed"):
        read_float_parameters(DRAWN | {"temperature": "0"}, tokens_max=20)


@pytest.mark.parametrize(
    "change",
    [
        {"sampler": "another/v1"},
        {"temperature": 0.7},
        {"temperature": "-1"},
        {"temperature": "1e3"},
        {"temperature": "nan"},
        {"temperature": "00.7"},
        {"top_p": "1.01"},
        {"seed": None},
        {"seed": 2**53},
        {"tokens_max": 21},
        {"tokens_max": 0},
        {"stop": None},
        {"stop": ["x"] * 65},
        {"top_k": 4},
    ],
)
def test_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(VerificationError) as caught:
        read_float_parameters(DRAWN | change, tokens_max=20)
    assert caught.value.reason == "replay_failed"
