"""Accounts that one attacker opened: what they can publish alone, and what they learn of the one who joins them."""

from __future__ import annotations

import math

import pytest

from privacy.selection import select
from privacy.terms import pool_terms
from tests.privacy.audited import run_selection
from tests.privacy.mass_noise import MassNoise
from tests.privacy.one_run_audit import lower_bound

TRIALS = 200_000


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_accounts_that_miss_the_threshold_publish_as_rarely_as_the_noise_allows(missing: int) -> None:
    """With d missing, e^(−ε·d) / (1 + e^(−ε)). Not never: a floor on the true count would tell of a victim among them."""
    terms = pool_terms(unit="question")
    counts = {f"text {number:06}": terms.threshold - missing for number in range(TRIALS)}
    expected = TRIALS * math.exp(-2 * missing) / (1 + math.exp(-2))
    assert abs(len(select(counts, terms, MassNoise(missing))) - expected) < 5 * math.sqrt(expected)


@pytest.mark.parametrize("missing", [7, 10])
def test_a_few_accounts_publish_nothing(missing: int) -> None:
    terms = pool_terms(unit="question")
    counts = {f"text {number:06}": terms.threshold - missing for number in range(TRIALS)}
    assert not select(counts, terms, MassNoise(1))


@pytest.mark.parametrize("accounts", [1, 4, 9, 10, 11, 15])
def test_however_many_accounts_stand_beside_a_victim_its_epsilon_holds(accounts: int) -> None:
    audited = run_selection(pool_terms(unit="question"), MassNoise(1), 50_000, 2, background=accounts)
    assert lower_bound(audited.included, audited.scores, delta=1e-8, error=0.05) <= 2.0
