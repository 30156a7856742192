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


def distance(logits: list[float], token: int, temperature: str, top_p: str = "1", seed: int = 1) -> float | None:
    import torch

    sampler = Sampler(Decimal(temperature), Decimal(top_p), seed)
    return sampler.choose_within(torch.tensor(logits), token, [0.01, 0.1, 1.0])


def test_the_token_that_is_chosen_is_at_no_distance() -> None:
    assert distance([0.0, 3.0, 1.0], 1, "0") == 0.0


def test_a_greedy_token_is_as_far_as_its_logit_is_from_the_best() -> None:
    assert distance([0.0, 3.0, 2.95], 2, "0") == 0.1
    assert distance([0.0, 3.0, 2.5], 2, "0") == 1.0
    assert distance([0.0, 3.0, 1.5], 2, "0") is None


def test_a_token_that_a_draw_hardly_missed_is_near_it() -> None:
    even = [0.0] * 4
    [chosen] = draw(even, "1", count=1)
    distances = {token: distance(even, token, "1") for token in range(4)}
    assert distances.pop(chosen) == 0.0
    assert all(found is None or found >= 0.01 for found in distances.values())


def test_a_token_at_the_edge_of_top_p_is_near_the_draw() -> None:
    # The second token is drawn if it is in; noise in the fifth digit decides whether it is.
    logits, seed = [0.0, 0.0], next(seed for seed in range(64) if distance([0.0, 0.0], 1, "1", seed=seed) == 0.0)
    assert distance([0.0001, 0.0], 1, "1", "0.5", seed) == 0.01
    assert distance(logits, 1, "1", "0.5", seed) == 0.01
    assert distance([4.0, 0.0], 1, "1", "0.5", seed) is None


def test_looking_for_a_token_leaves_the_draws_that_follow_as_they_are() -> None:
    import torch

    logits = torch.zeros(50)
    plain, looking = (Sampler(Decimal(1), Decimal(1), 3) for _ in range(2))
    expected = [plain.choose(logits) for _ in range(20)]
    assert [looking.choose_within(logits, token, [1e-6]) for token in expected[:10]] == [0.0] * 10
    assert looking.choose_within(logits, 49 - expected[10], [1e-6, 1e-5]) is None
    assert [looking.choose(logits) for _ in range(9)] == expected[11:]
