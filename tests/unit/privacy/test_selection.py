"""What comes out of a selection, and how seldom a lone contributor does."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from crypto.charges import GaussianSelection, LaplaceSelection
from privacy.chances import release_chance
from privacy.errors import NoiseError, TermsError
from privacy.exact_noise import ExactNoise
from privacy.noise import NoiseSampler
from privacy.opendp_noise import OpenDpNoise
from privacy.selection import select
from privacy.terms import PoolTerms, pool_terms
from tests.unit.privacy.distributions import NoNoise, StatedNoise, divergence

QUESTION = pool_terms(unit="question")
ORGANISATION = pool_terms(unit="organisation")


def coarse_terms(*, unit: str, threshold: int) -> PoolTerms:
    """Terms whose δ is large enough to be seen in draws; no `pool_terms` would make them."""
    gaussian = unit == "organisation"
    return PoolTerms(
        unit="organisation" if gaussian else "question",
        vector_source="released_text",
        epsilon_micro=1_000_000,
        delta_atto=10**17,
        keys_max=4 if gaussian else 1,
        threshold=threshold,
        selection_multiplier_squared_micro=250_000 if gaussian else None,
        vector_multiplier_squared_micro=None,
        organisations_min=1,
        period_epochs=1,
    )


def test_a_key_comes_out_from_the_threshold_on_with_its_noisy_count() -> None:
    noise = StatedNoise([0, -1, 3])
    assert select({"a": 11, "b": 11, "c": 9}, QUESTION, noise) == {"a": 11, "c": 12}


def test_there_is_one_draw_for_every_key_and_of_the_stated_size() -> None:
    noise = StatedNoise([0, 0, 0])
    select({b"a": 1, b"b": 2, b"c": 3}, QUESTION, noise)
    assert noise.asked == [("laplace", 3, 2_000_000)]


def test_the_strict_unit_draws_gaussian_noise_of_the_stated_size() -> None:
    noise = StatedNoise([0])
    select({"a": 1}, ORGANISATION, noise)
    multiplier = ORGANISATION.selection_multiplier_squared_micro
    assert noise.asked == [("gaussian", 1, Fraction(5 * (multiplier or 0), 10**6))]


def test_the_order_of_votes_changes_nothing() -> None:
    counts = {f"key {number:03d}": 5 + number % 20 for number in range(200)}
    shuffled = list(counts.items())
    random.Random(5).shuffle(shuffled)
    first, second = (ExactNoise(random.Random(1).randbytes) for _ in range(2))
    found = [select(counts, QUESTION, first), select(dict(shuffled), QUESTION, second)]
    assert found[0] == found[1]
    assert list(found[0]) == list(found[1]) == sorted(found[0])


@pytest.mark.parametrize("count", [0, -3])
def test_a_key_without_votes_is_refused_before_any_noise_is_drawn(count: int) -> None:
    noise = StatedNoise([99, 99])
    with pytest.raises(TermsError):
        select({"a": 12, "b": count}, QUESTION, noise)
    assert noise.asked == []


def test_too_few_draws_release_nothing() -> None:
    with pytest.raises(NoiseError):
        select({"a": 100, "b": 100}, QUESTION, StatedNoise([0]))


def test_ten_sybils_with_one_victim_reach_the_threshold_only_by_noise() -> None:
    # One voter less than T comes out by noise of at least 1, whoever they are.
    assert select({"victim": 10}, QUESTION, NoNoise()) == {}
    assert release_chance(QUESTION, 10) == pytest.approx(0.1192, abs=1e-4)


@pytest.mark.parametrize("unit", ["question", "organisation"])
@pytest.mark.parametrize("sampler", ["product", "reference"])
def test_a_lone_contributor_comes_out_as_often_as_the_exact_tail_says(unit: str, sampler: str, campaign: bool) -> None:
    draws = (2_000_000 if campaign else 100_000) // (1 if sampler == "product" else 4)
    terms = coarse_terms(unit=unit, threshold=4)
    noise: NoiseSampler = OpenDpNoise() if sampler == "product" else ExactNoise(random.Random(11).randbytes)
    counts = {number.to_bytes(4, "big"): 1 for number in range(draws)}
    share = len(select(counts, terms, noise)) / draws
    stated = _stated_tail(terms)
    # Chernoff: further off than this less than once in 10^9 runs.
    assert draws * divergence(share, stated) < 22.0
    assert 0.001 < stated < 0.1


def test_a_threshold_one_lower_would_be_noticed() -> None:
    # The mistake of taking the tail beyond T for the tail from T on.
    draws = 100_000
    wrong = _stated_tail(coarse_terms(unit="question", threshold=5))
    counts = {number.to_bytes(4, "big"): 1 for number in range(draws)}
    share = len(select(counts, coarse_terms(unit="question", threshold=4), OpenDpNoise())) / draws
    assert draws * divergence(share, wrong) > 22.0


def _stated_tail(terms: PoolTerms) -> float:
    """What the charge states for one key alone."""
    charge = terms.selection_charge()
    assert isinstance(charge, LaplaceSelection | GaussianSelection)
    return charge.cost().delta_atto / 10**18 / charge.keys_max
