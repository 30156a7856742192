"""The simulation, where its figures can be worked out by hand, and where they must only move in one direction."""

from __future__ import annotations

import dataclasses

import pytest

from privacy.chances import release_chance
from privacy.errors import TermsError
from privacy.terms import PoolTerms, pool_terms
from privacy.yield_simulation import Traffic, simulate

TERMS = pool_terms(unit="question")
SMALL = Traffic(100, questions_per_organisation=40, topics=500)


def one_epoch(terms: PoolTerms = TERMS, **changes: int) -> PoolTerms:
    return dataclasses.replace(terms, period_epochs=1, **changes)  # type: ignore[arg-type]


def test_one_topic_that_all_ask_about_serves_newcomers_alone() -> None:
    traffic = Traffic(60, questions_per_organisation=4, topics=1, key_share=1.0, recall=0.5)
    found = simulate(traffic, one_epoch(), seed=1)
    assert found.votes == 60
    assert found.released == pytest.approx(release_chance(TERMS, 60))
    assert (found.own, found.incremental) == (1.0, 0.0)
    # The first of four questions is news to an empty cache, and half of such questions are recognised.
    assert found.newcomer == pytest.approx(release_chance(TERMS, 60) / 4 / 2)


def test_an_organisation_takes_no_more_than_its_places_in_an_epoch() -> None:
    traffic = Traffic(50, questions_per_organisation=400, topics=8, zipf=0.0)
    assert simulate(traffic, one_epoch(keys_max=3), seed=1).votes == 150


def test_what_voted_once_does_not_vote_again_in_the_period() -> None:
    traffic = Traffic(50, questions_per_organisation=400, topics=8, zipf=0.0)
    found = simulate(traffic, dataclasses.replace(TERMS, keys_max=3, period_epochs=5), seed=1)
    assert found.votes == 400


def test_keys_that_nobody_shares_never_come_out() -> None:
    found = simulate(dataclasses.replace(SMALL, key_share=0.0), TERMS, seed=1)
    assert found.votes > 0
    assert (found.released, found.incremental, found.newcomer) == (0.0, 0.0, 0.0)


def test_below_the_useful_number_nothing_comes_out_and_it_says_why() -> None:
    found = simulate(dataclasses.replace(SMALL, organisations=49), TERMS, seed=1)
    assert (found.released, found.incremental, found.newcomer) == (0.0, 0.0, 0.0)
    assert found.empty_because is not None
    assert "49" in found.empty_because
    assert simulate(SMALL, TERMS, seed=1).empty_because is None


def test_the_same_seed_gives_the_same_figures() -> None:
    assert simulate(SMALL, TERMS, seed=3) == simulate(SMALL, TERMS, seed=3)
    assert simulate(SMALL, TERMS, seed=3) != simulate(SMALL, TERMS, seed=4)


def test_more_organisations_more_places_and_more_epsilon_release_more() -> None:
    few = pool_terms(unit="question", keys_max=20)
    base = simulate(SMALL, few, seed=2)
    more = [
        simulate(dataclasses.replace(SMALL, organisations=400), few, seed=2),
        simulate(SMALL, pool_terms(unit="question", keys_max=40), seed=2),
        simulate(SMALL, pool_terms(unit="question", keys_max=20, epsilon_micro=4_000_000), seed=2),
    ]
    assert all(found.released > base.released > 0.0 for found in more)
    assert all(found.newcomer > base.newcomer > 0.0 for found in more)


def test_there_is_a_figure_for_every_epoch_and_the_last_is_the_yield() -> None:
    found = simulate(SMALL, TERMS, seed=2)
    assert len(found.by_epochs) == TERMS.period_epochs
    assert found.by_epochs[-1] == found.incremental


def test_the_yield_table_is_that_of_the_page() -> None:
    found = simulate(Traffic(100), TERMS, seed=0)
    assert (round(found.released), round(found.own, 3), round(found.incremental, 4)) == (92, 0.461, 0.0101)
    assert round(found.newcomer, 3) == 0.075
    places = simulate(Traffic(100), pool_terms(unit="question", keys_max=200), seed=0)
    assert (round(places.released), round(places.incremental, 3)) == (188, 0.025)
    assert round(places.newcomer, 3) == 0.103


@pytest.mark.parametrize(
    "wrong",
    [
        {"organisations": 0},
        {"questions_per_organisation": 0},
        {"questions_per_organisation": 1_000_000},
        {"topics": 0},
        {"topics": 10_000_001},
        {"zipf": -0.1},
        {"key_share": 1.1},
        {"recall": -0.1},
    ],
    ids=str,
)
def test_traffic_beyond_the_limits_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(TermsError):
        simulate(dataclasses.replace(SMALL, **wrong), TERMS, seed=1)  # type: ignore[arg-type]
