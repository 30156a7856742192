"""Telling false claims from true ones."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from crypto.applicability.bisection import FOUND_MAX, find_false


class Claims:
    """Claims of which some are false, and how often somebody asked whether some of them all hold."""

    def __init__(self, false: Collection[int]) -> None:
        self.asked = 0
        self._false = frozenset(false)

    def do_hold(self, places: range) -> bool:
        self.asked += 1
        return self._false.isdisjoint(places)


@pytest.mark.parametrize("false", [(), (0,), (9,), (3, 4), (0, 9), tuple(range(10))])
def test_exactly_the_false_claims_are_found(false: tuple[int, ...]) -> None:
    assert find_false(10, Claims(false).do_hold) == frozenset(false)


def test_true_claims_cost_one_question_and_none_cost_none() -> None:
    claims = Claims(())
    assert find_false(1000, claims.do_hold) == frozenset() and claims.asked == 1
    assert find_false(0, claims.do_hold) == frozenset() and claims.asked == 1


def test_one_false_claim_among_a_thousand_costs_twenty_questions() -> None:
    claims = Claims((777,))
    assert find_false(1024, claims.do_hold) == {777}
    assert claims.asked <= 21


def test_behind_the_last_false_claim_that_is_told_apart_all_count_as_false() -> None:
    assert find_false(FOUND_MAX + 40, Claims(range(FOUND_MAX)).do_hold) == frozenset(range(FOUND_MAX + 40))
