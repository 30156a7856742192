from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from crypto.replay.float_sampler import Sampler


def draw(logits: list[float], temperature: str, top_p: str = "1", count: int = 2_000) -> Counter[int]:
    import torch

    sampler = Sampler(Decimal(temperature), Decimal(top_p), 1)
    return Counter(sampler.choose(torch.tensor(logits)) for _ in range(count))


def test_without_temperature_the_likeliest_is_chosen_and_the_lowest_among_equals() -> None:
    assert draw([0.0, 3.0, 3.0, 1.0], "0", count=5) == {1: 5}


def test_tokens_come_as_often_as_their_probabilities_say() -> None:
    counts = draw([0.0, 1.0986123], "1")
    assert 0.71 < counts[1] / 2_000 < 0.79


def test_a_low_temperature_sharpens() -> None:
    assert draw([0.0, 1.0986123], "0.25")[1] > 1_950


def test_top_p_cuts_the_tail_and_keeps_the_likeliest() -> None:
    logits = [2.0, 1.0, 0.0, -1.0]
    assert set(draw(logits, "1", "0.7")) == {0, 1}
    assert set(draw(logits, "1", "0.5")) == {0}
    assert set(draw(logits, "1", "0")) == {0}


@pytest.mark.parametrize("seed", [0, -1, 2**53 - 1])
def test_every_seed_of_the_api_is_taken(seed: int) -> None:
    import torch

    assert Sampler(Decimal(1), Decimal(1), seed).choose(torch.zeros(10)) in range(10)
