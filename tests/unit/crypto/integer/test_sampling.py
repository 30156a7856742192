from __future__ import annotations

import math
from collections import Counter
from decimal import Decimal

import pytest

from crypto.integer.errors import SettingRefused
from crypto.integer.sampling import SHARE_UNIT, Sampler, draw, share_units, temperature_sixteenths

LOGITS = [5000, 4000, 4000, -9000, *[-50_000] * 20]

PINNED_DRAWS = [2, 0, 1, 2, 2, 0, 2, 0, 0, 1, 2, 1, 0, 0, 0, 1]


def sampler(sixteenths: int, units: int = SHARE_UNIT, seed: bytes = b"seed", request: bytes = b"request") -> Sampler:
    return Sampler(sixteenths, units, seed, request)


def test_temperature_zero_takes_the_highest_logit_and_the_lowest_id_on_a_tie() -> None:
    assert sampler(0).choose([1, 7, 7, 3], 0) == 1


def test_draws_follow_the_softmax_of_the_logits() -> None:
    counts = Counter(sampler(32).choose(LOGITS, step) for step in range(3000))
    weights = [1.0, math.exp(-1000 / 1024 / 2), math.exp(-1000 / 1024 / 2)]
    for token, weight in enumerate(weights):
        assert abs(counts[token] / 3000 - weight / sum(weights)) < 0.035  # four standard deviations


def test_the_same_seed_request_and_step_draw_the_same_token() -> None:
    first = [sampler(32).choose(LOGITS, step) for step in range(50)]
    assert first == [sampler(32).choose(LOGITS, step) for step in range(50)]


def test_another_seed_and_another_request_draw_otherwise() -> None:
    first = [sampler(32).choose(LOGITS, step) for step in range(50)]
    assert first != [sampler(32, seed=b"other").choose(LOGITS, step) for step in range(50)]
    assert first != [sampler(32, request=b"other").choose(LOGITS, step) for step in range(50)]


def test_seed_and_request_cannot_be_exchanged_at_their_border() -> None:
    first = [sampler(32, seed=b"ab", request=b"c").choose(LOGITS, step) for step in range(50)]
    assert first != [sampler(32, seed=b"a", request=b"bc").choose(LOGITS, step) for step in range(50)]


def test_known_draws_stay_what_they_were() -> None:
    assert [sampler(24).choose(LOGITS, step) for step in range(16)] == PINNED_DRAWS


def test_a_small_share_keeps_only_the_best_tokens() -> None:
    assert {sampler(32, units=1).choose(LOGITS, step) for step in range(100)} == {0}
    # the best two of weights 1, 0.61, 0.61 hold 72 %
    assert {sampler(32, units=700).choose(LOGITS, step) for step in range(200)} == {0, 1}


def test_a_draw_gives_each_index_its_part_of_the_line() -> None:
    assert draw([1, 3], 0) == 0
    assert draw([1, 3], 2**254 - 1) == 0
    assert draw([1, 3], 2**254) == 1
    assert draw([1, 3], 2**256 - 1) == 1


@pytest.mark.parametrize(
    ("temperature", "sixteenths"), [(None, 0), ("0", 0), ("0.001", 1), ("1", 16), ("0.7", 11), ("2", 32)]
)
def test_a_temperature_is_rounded_to_sixteenths(temperature: str | None, sixteenths: int) -> None:
    assert temperature_sixteenths(None if temperature is None else Decimal(temperature)) == sixteenths


@pytest.mark.parametrize("temperature", ["-0.1", "2.1", "NaN", "Infinity"])
def test_a_temperature_out_of_range_is_refused(temperature: str) -> None:
    with pytest.raises(SettingRefused, match="temperature"):
        temperature_sixteenths(Decimal(temperature))


def test_a_share_is_rounded_to_1024ths_and_checked() -> None:
    assert [share_units(None), share_units(Decimal(1)), share_units(Decimal("0.5")), share_units(Decimal(0))] == [
        1024,
        1024,
        512,
        1,
    ]
    with pytest.raises(SettingRefused, match="top_p"):
        share_units(Decimal("1.01"))
