"""Which suite a vector has, and that its domain is what it says."""

from __future__ import annotations

import pytest

from crypto.applicability.suites import (
    ORDER,
    SLACK_BITS,
    SUITES,
    TABLE_SPAN,
    Suite,
    UnsupportedDimension,
    find_suite,
    suite_for,
)
from crypto.similarity import COMPONENT_MAX, NORM_BOUND_SQUARED


@pytest.mark.parametrize("suite", SUITES)
def test_a_generator_has_exactly_the_order_of_its_domain(suite: Suite) -> None:
    assert pow(suite.generator, suite.size, ORDER) == 1
    assert pow(suite.generator, suite.size // 2, ORDER) == ORDER - 1


@pytest.mark.parametrize(
    ("dimension", "size"),
    [(1, 256), (256, 256), (257, 512), (384, 512), (768, 1024), (1024, 1024), (1536, 2048), (2048, 2048)],
)
def test_a_vector_has_the_smallest_suite_with_room_for_it(dimension: int, size: int) -> None:
    assert suite_for(dimension).size == size


@pytest.mark.parametrize("dimension", [2049, 4096, 0, -1])
def test_a_dimension_without_a_suite_is_reported(dimension: int) -> None:
    with pytest.raises(UnsupportedDimension, match=f"no suite takes vectors of {dimension} components.*2048"):
        suite_for(dimension)


def test_a_suite_is_found_by_its_whole_name() -> None:
    assert all(find_suite(suite.name) == suite for suite in SUITES)
    assert find_suite("hitproof/kzg-bls12381-512/v2") is None
    assert find_suite("") is None


def test_the_slack_and_the_table_take_whatever_the_bounds_allow() -> None:
    assert NORM_BOUND_SQUARED < 1 << SLACK_BITS
    assert 2 * COMPONENT_MAX + 1 == TABLE_SPAN <= min(suite.size for suite in SUITES)
