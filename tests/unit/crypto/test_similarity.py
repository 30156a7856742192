from fractions import Fraction

import pytest

from crypto.errors import EncodingError
from crypto.similarity import (
    COMPONENT_MAX,
    NORM_BOUND_SQUARED,
    SCALE,
    cosine_estimate,
    inner_product,
    is_matchable,
    quantise_reference,
    satisfies,
    threshold_integer,
)


def test_the_norm_bound_is_a_square_below_the_float32_integers() -> None:
    assert NORM_BOUND_SQUARED == 510**2
    assert NORM_BOUND_SQUARED < 2**24


def test_tau_is_the_smallest_integer_at_least_the_scaled_cosine() -> None:
    for cosine in (1, 7460, 9500, 9999, 10_000):
        for norm_squared in (1, 2, 257_921, 258_064, 260_100):
            tau = threshold_integer(cosine, norm_squared)
            bound_squared = Fraction(cosine, 10_000) ** 2 * norm_squared * NORM_BOUND_SQUARED
            assert tau**2 >= bound_squared > (tau - 1) ** 2


def test_a_cosine_of_zero_asks_for_nothing() -> None:
    assert threshold_integer(0, 258_064) == 0


def test_a_known_value_of_tau() -> None:
    # .95 · 508 · 510 = 246126 exactly.
    assert threshold_integer(9500, 508**2) == 246_126


@pytest.mark.parametrize("cosine", [-1, 10_001])
def test_a_threshold_that_is_no_cosine_is_refused(cosine: int) -> None:
    with pytest.raises(EncodingError, match="0 to 10000"):
        threshold_integer(cosine, 258_064)


@pytest.mark.parametrize("norm_squared", [-1, 0, NORM_BOUND_SQUARED + 1])
def test_a_query_that_is_zero_or_too_long_has_no_threshold(norm_squared: int) -> None:
    assert not is_matchable(norm_squared)
    with pytest.raises(EncodingError, match="squared norm"):
        threshold_integer(9500, norm_squared)


def test_the_only_ties_there_are_round_to_even() -> None:
    # 508·x = k + 1/2 with x a binary fraction means x = m/8, m odd; beyond ±1/8 the component is clipped anyway.
    assert SCALE * 0.125 == 63.5
    assert quantise_reference([0.125, -0.125]) == (64, -64)


def test_a_component_next_to_a_tie_is_not_one() -> None:
    assert quantise_reference([0.125 - 2**-30]) == (63,)


def test_components_are_clipped() -> None:
    assert quantise_reference([1.0, -1.0, 0.25]) == (COMPONENT_MAX, -COMPONENT_MAX, 127)


@pytest.mark.parametrize("part", [float("nan"), float("inf"), float("-inf")])
def test_a_component_that_is_not_finite_is_refused(part: float) -> None:
    with pytest.raises(EncodingError):
        quantise_reference([0.1, part])


def test_vectors_of_different_lengths_have_no_inner_product() -> None:
    with pytest.raises(EncodingError, match="2 and 3"):
        inner_product([1, 2], [1, 2, 3])


def test_the_inequality_holds_at_equality_and_fails_one_above() -> None:
    query, entry = (100, -50, 7), (99, -51, 0)
    product = inner_product(query, entry)
    assert satisfies(query, entry, product)
    assert not satisfies(query, entry, product + 1)


def test_a_zero_vector_satisfies_nothing() -> None:
    assert not satisfies((0, 0), (1, 1), 0)
    assert not satisfies((1, 1), (0, 0), 0)


def test_a_component_beyond_int8_satisfies_nothing() -> None:
    assert not satisfies((128, 0), (100, 0), 0)
    assert not satisfies((100, 0), (-128, 0), -20_000)


def test_an_entry_beyond_the_norm_bound_satisfies_nothing() -> None:
    entry = (127,) * 17
    assert inner_product(entry, entry) > NORM_BOUND_SQUARED
    assert not satisfies((1,) * 17, entry, 0)


def test_the_estimate_of_a_cosine_has_its_sign_and_four_digits() -> None:
    assert cosine_estimate(258_064, 258_064, 258_064) == 10_000
    assert cosine_estimate(-129_032, 258_064, 258_064) == -5_000
    assert cosine_estimate(5, 0, 10) == 0
