"""Shadow worlds: the attacker knows everything of every world but one thing, and sees what was released.

Half of the worlds hold the victim's question (or organisation), half do not. Under ε-differential privacy no attacker's
AUC exceeds e^ε / (1 + e^ε), up to δ: the region under the line y = e^ε·x and its mirror image has just that area.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from crypto.privacy_arithmetic import epsilon_micro_of_rho
from privacy.noise import NoiseSampler
from privacy.selection import select
from privacy.terms import PoolTerms, pool_terms
from tests.privacy.faulty_noise import ScaledNoise
from tests.privacy.mass_noise import MassNoise

WORLDS = 500
#: Standard deviations of the interval that is allowed on top.
DEVIATIONS = 4.0


@pytest.fixture(scope="module")
def worlds(campaign: bool) -> int:
    """Worlds of each kind."""
    return 40 * WORLDS if campaign else WORLDS


def crowd(terms: PoolTerms, seed: int) -> dict[str, int]:
    """Return counts of 60 keys by a Zipf-like interest of others, the same in all worlds."""
    chance = np.random.default_rng(seed)
    return {
        f"question {number:03}": 1 + int(chance.poisson(2 * terms.threshold / (1 + number / 8))) for number in range(60)
    }


def released_share(terms: PoolTerms, noise: NoiseSampler, world: dict[str, int], victims: tuple[str, ...]) -> float:
    """Return what the attacker scores a world by: how many of the victim's keys came out."""
    released = select(world, terms, noise)
    return float(sum(key in released for key in victims))


def auc(present: list[float], absent: list[float]) -> float:
    """Return the chance that a world with the victim scores higher than one without, ties half (Mann and Whitney)."""
    here, there = np.array(present), np.array(absent)
    return float((here[:, None] > there).mean() + 0.5 * (here[:, None] == there).mean())


def interval(area: float, worlds: int) -> float:
    """Return the allowance for chance: Hanley and McNeil (1982), for as many worlds of either kind."""
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (worlds - 1) * (first - area**2) + (worlds - 1) * (second - area**2)) / worlds**2
    return DEVIATIONS * math.sqrt(max(variance, 0.0))


def attacked(terms: PoolTerms, noise: NoiseSampler, victims: dict[str, int], worlds: int) -> float:
    """Return the attacker's AUC; *victims* maps the victim's keys to how many others ask each."""
    others = crowd(terms, seed=1) | victims
    present = {key: count + (key in victims) for key, count in others.items()}
    absent = {key: count for key, count in others.items() if count}
    keys = tuple(victims)
    scores = [[released_share(terms, noise, world, keys) for _ in range(worlds)] for world in (present, absent)]
    return auc(*scores)


def most(epsilon: float, delta: float) -> float:
    return math.exp(epsilon) / (1 + math.exp(epsilon)) + delta


@pytest.mark.parametrize("epsilon", [1, 2, 3])
def test_membership_of_one_question_stays_within_the_bound_in_the_worst_world(epsilon: int, worlds: int) -> None:
    terms = pool_terms(unit="question", epsilon_micro=epsilon * 1_000_000)
    area = attacked(terms, MassNoise(3), {"the victim's": terms.threshold - 1}, worlds)
    assert area <= most(epsilon, 1e-8) + interval(area, worlds)
    assert area >= most(epsilon, 0) - interval(area, worlds) - 0.01, "the attack is blind"


@pytest.mark.parametrize("others", [0, 3, 30])
def test_membership_of_one_question_is_hardly_seen_away_from_the_threshold(others: int, worlds: int) -> None:
    area = attacked(pool_terms(unit="question"), MassNoise(4), {"the victim's": others}, worlds)
    assert abs(area - 0.5) <= interval(0.5, worlds)


def test_membership_of_a_whole_organisation_stays_within_the_bound(worlds: int) -> None:
    terms = pool_terms(unit="organisation")
    cost = terms.selection_charge().cost()
    epsilon = epsilon_micro_of_rho(cost.rho_nano, 10**12) / 1e6
    victims = {f"the victim's {place}": terms.threshold - 1 for place in range(terms.keys_max)}
    area = attacked(terms, MassNoise(5), victims, worlds)
    assert area <= most(epsilon, 1e-6 + cost.delta_atto / 1e18) + interval(area, worlds)
    # And within what ρ itself allows an attacker: AUC ≤ 1/2 + TV ≤ 1/2 + sqrt(ρ/2), which is less here.
    assert area <= 0.5 + math.sqrt(cost.rho_nano / 2e9) + interval(area, worlds)


def test_a_release_with_an_eighth_of_the_noise_is_caught(worlds: int) -> None:
    terms = pool_terms(unit="question")
    area = attacked(terms, ScaledNoise(MassNoise(3), 8), {"the victim's": terms.threshold - 1}, worlds)
    assert area > most(2, 1e-8) + interval(area, worlds)


def test_the_area_is_the_chance_of_a_right_order() -> None:
    assert auc([3.0, 2.0], [1.0, 2.0]) == 0.875
    assert auc([1.0], [1.0]) == 0.5
