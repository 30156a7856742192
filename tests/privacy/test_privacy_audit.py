"""One-run audits of both modes: what the mechanisms claim is never refuted, and every seeded bug is.

Noise for tens of thousands of canaries comes from `MassNoise`, whose distribution is shown to be the product's in
test_audit_tools.py; all else is the product's own code. Audits with the product's own sampler follow at the end.
"""

from __future__ import annotations

import random

import pytest

from crypto.privacy_arithmetic import epsilon_micro_of_rho, zcdp_rho_nano
from privacy.calibration import multiplier_squared_micro_for
from privacy.exact_noise import ExactNoise
from privacy.opendp_noise import OpenDpNoise
from privacy.terms import PoolTerms, pool_terms
from tests.privacy.audited import (
    Audited,
    run_embedding,
    run_mean,
    run_organisations,
    run_selection,
    with_threshold,
)
from tests.privacy.faulty_noise import AveragedNoise, RedrawnNoise, ScaledNoise
from tests.privacy.mass_noise import MassNoise
from tests.privacy.one_run_audit import lower_bound, rho_lower_bound

CANARIES = 50_000
#: Of one audit with seeded noise, which is repeatable.
ERROR = 0.05
#: Of one audit with noise from the operating system: once in a million runs it fails although nothing is wrong.
FALSE_ALARM = 1e-6
DELTA = 1e-8


@pytest.fixture(scope="module")
def canaries(campaign: bool) -> int:
    return 20 * CANARIES if campaign else CANARIES


def bound_of(audited: Audited, delta: float = DELTA, error: float = ERROR) -> float:
    return lower_bound(audited.included, audited.scores, delta=delta, error=error)


def rho_of(audited: Audited, error: float = ERROR) -> float:
    return rho_lower_bound(len(audited.included), audited.right(), error=error)


def question_terms(epsilon: int) -> PoolTerms:
    return pool_terms(unit="question", epsilon_micro=epsilon * 1_000_000)


# Selection, one question of one organisation


@pytest.mark.parametrize("epsilon", [1, 2, 3])
def test_selection_keeps_its_epsilon_at_the_threshold(epsilon: int, canaries: int) -> None:
    bound = bound_of(run_selection(question_terms(epsilon), MassNoise(1), canaries, seed=2))
    assert 0.9 * epsilon < bound <= epsilon, "below: the audit is blind; above: the claim is false"


@pytest.mark.parametrize("divisor", [2, 8])
def test_selection_with_too_little_noise_is_caught(divisor: int) -> None:
    assert bound_of(run_selection(question_terms(2), ScaledNoise(MassNoise(1), divisor), CANARIES, 2)) > 2.0


@pytest.mark.parametrize("tries", [2, 3])
def test_selection_whose_noise_is_redrawn_is_caught(tries: int) -> None:
    assert bound_of(run_selection(question_terms(2), RedrawnNoise(MassNoise(1), tries), CANARIES, 2)) > 2.0


# Selection, a lone contributor: what δ pays for


def coarse_terms() -> PoolTerms:
    """δ = 10^-3, coarse enough to be counted: T = 5 has 2.96e-4, T = 4 would have 2.2e-3."""
    return pool_terms(unit="question", delta_atto=10**15)


LONE = 200_000
#: Releases that δ = 10^-3 allows of them, half of which have a vote, and five standard deviations more.
LONE_RELEASES_MAX = 100 + 5 * 100**0.5


def lone_releases(terms: PoolTerms) -> int:
    audited = run_selection(terms, MassNoise(4), LONE, 5, background=0)
    return int((audited.scores > 0).sum())


def test_a_lone_vote_comes_out_no_oftener_than_delta() -> None:
    assert 0 < lone_releases(coarse_terms()) <= LONE_RELEASES_MAX


def test_a_threshold_that_is_one_too_low_is_caught() -> None:
    terms = coarse_terms()
    assert lone_releases(with_threshold(terms, terms.threshold - 1)) > LONE_RELEASES_MAX


@pytest.mark.parametrize("threshold", [2, 3, 4])
def test_a_threshold_far_too_low_is_caught_by_the_audit_of_epsilon(threshold: int) -> None:
    terms = with_threshold(question_terms(2), threshold)
    assert bound_of(run_selection(terms, MassNoise(1), CANARIES, 2, background=0)) > 2.0


# Selection, everything of one organisation


def test_selection_by_gaussian_noise_keeps_its_claims(canaries: int) -> None:
    terms = pool_terms(unit="organisation")
    rho_nano = terms.selection_charge().cost().rho_nano
    audited = run_organisations(terms, MassNoise(1), canaries, seed=2)
    assert bound_of(audited, delta=1e-6) <= epsilon_micro_of_rho(rho_nano, 10**12) / 1e6
    assert 0.25 < rho_of(audited) / (rho_nano / 1e9) <= 1.0


def test_gaussian_selection_sized_for_fewer_places_is_caught() -> None:
    """Noise for one place instead of C = 5 would be smaller by sqrt(5)."""
    terms = pool_terms(unit="organisation")
    audited = run_organisations(terms, ScaledNoise(MassNoise(1), 2), CANARIES, seed=2)
    assert rho_of(audited) > terms.selection_charge().cost().rho_nano / 1e9


# Vectors


MODES = {"dp_mean": run_mean, "noised": run_embedding}


@pytest.mark.parametrize("epsilon", [2, 8])
@pytest.mark.parametrize("mode", sorted(MODES))
def test_noised_vectors_keep_their_epsilon_and_their_rho(mode: str, epsilon: int, canaries: int) -> None:
    multiplier = multiplier_squared_micro_for(epsilon * 1_000_000, 10**10)
    audited = MODES[mode](multiplier, MassNoise(1), canaries, seed=2)
    assert bound_of(audited) <= epsilon
    claimed = zcdp_rho_nano(multiplier) / 1e9
    assert 0.4 * claimed < rho_of(audited) <= claimed, "below: the audit is blind; above: the claim is false"


@pytest.mark.parametrize("mode", sorted(MODES))
def test_vectors_with_an_eighth_of_the_noise_are_caught(mode: str) -> None:
    multiplier = multiplier_squared_micro_for(2_000_000, 10**10)
    audited = MODES[mode](multiplier, ScaledNoise(MassNoise(1), 8), CANARIES // 5, seed=2)
    assert bound_of(audited) > 2.0


@pytest.mark.parametrize("epsilon", [2, 8])
@pytest.mark.parametrize("mode", sorted(MODES))
def test_a_sensitivity_of_one_for_two_is_caught(mode: str, epsilon: int) -> None:
    """By what the ledger charges, ρ: the one run cannot tell twice the loss of a Gaussian with 50,000 canaries."""
    multiplier = multiplier_squared_micro_for(epsilon * 1_000_000, 10**10)
    audited = MODES[mode](multiplier, ScaledNoise(MassNoise(1), 2), CANARIES // 5, seed=2)
    assert rho_of(audited) > zcdp_rho_nano(multiplier) / 1e9


@pytest.mark.parametrize("mode", sorted(MODES))
def test_vectors_noised_anew_at_every_look_are_caught(mode: str) -> None:
    multiplier = multiplier_squared_micro_for(2_000_000, 10**10)
    audited = MODES[mode](multiplier, AveragedNoise(MassNoise(1), 4), CANARIES // 10, seed=2)
    assert rho_of(audited) > zcdp_rho_nano(multiplier) / 1e9


# With the samplers themselves


def test_the_products_selection_and_sampler_keep_their_epsilon(canaries: int) -> None:
    """With δ = 0: every key of this audit has votes in both worlds, so nothing depends on the threshold's δ."""
    audited = run_selection(question_terms(2), OpenDpNoise(), canaries, seed=2)
    assert bound_of(audited, delta=0.0) > 1.8, "the audit is blind"
    assert bound_of(audited, delta=0.0, error=FALSE_ALARM) <= 2.0


@pytest.mark.parametrize("mode", sorted(MODES))
def test_the_products_vectors_and_sampler_keep_their_rho(mode: str, campaign: bool) -> None:
    multiplier = multiplier_squared_micro_for(8_000_000, 10**10)
    audited = MODES[mode](multiplier, OpenDpNoise(), 50_000 if campaign else 2_000, seed=2)
    claimed = zcdp_rho_nano(multiplier) / 1e9
    assert 0.25 * claimed < rho_of(audited, error=FALSE_ALARM) <= claimed


def test_the_reference_sampler_keeps_the_same_claims(campaign: bool) -> None:
    noise = ExactNoise(random.Random(6).randbytes)
    audited = run_selection(question_terms(2), noise, CANARIES if campaign else 10_000, seed=2)
    assert 1.7 < bound_of(audited) <= 2.0
