"""No evaluation of a noised index may look better than any mechanism can be: the bound that caught a wrong one before."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from privacy.bounds import least_epsilon
from privacy.calibration import multiplier_squared_micro_for
from privacy.mean import Int8Array, noised_embedding
from tests.privacy.mass_noise import MassNoise
from tests.privacy.synthetic import dictionary, paraphrases

MATCH_SHARE = 0.5
ENTRIES = 300


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a noised index of *entries* served: fires of the right entry and of wrong ones, per query."""

    entries: int
    right: float
    wrong: float

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong)


def is_possible(evaluation: Evaluation, epsilon: float, *, allowance: float) -> bool:
    """Say whether a mechanism of *epsilon* can be as precise; *allowance* is what chance adds to the precision."""
    precision = evaluation.precision - allowance
    return precision <= 0 or epsilon >= least_epsilon(evaluation.entries - 1, precision, MATCH_SHARE)


def evaluate(rows: Int8Array, epsilon: int, *, repeats: int) -> Evaluation:
    """Publish noised rows, ask for paraphrases of half and for strangers, and fire above the best threshold there is."""
    multiplier = multiplier_squared_micro_for(epsilon * 1_000_000, 10**10)
    noise = MassNoise(1)
    matching, strange = [], []
    for repeat in range(repeats):
        index = np.stack([noised_embedding(row, multiplier, noise) for row in rows])
        near = paraphrases(rows, spread=0.5, seed=repeat).astype(np.float32) @ index.T
        matching.append(np.diagonal(near).copy())
        strange.append(near[~np.eye(len(rows), dtype=bool)])
    right, wrong = np.concatenate(matching), np.concatenate(strange)
    found = []
    for threshold in np.quantile(right, [0.5, 0.9, 0.99]):
        # Half of all queries match one entry; every other entry may fire wrongly for every query.
        fires = MATCH_SHARE * float((right >= threshold).mean())
        found.append(Evaluation(len(rows), fires, float((wrong >= threshold).mean()) * (len(rows) - 1)))
    return max(found, key=lambda evaluation: evaluation.precision)


@pytest.mark.parametrize("epsilon", [1, 4, 8, 16, 64])
def test_what_the_noised_index_achieves_is_possible(epsilon: int, campaign: bool) -> None:
    rows = dictionary(ENTRIES, 64, families=ENTRIES, spread=0.5, seed=1)
    repeats = 20 if campaign else 3
    evaluation = evaluate(rows, epsilon, repeats=repeats)
    assert is_possible(evaluation, epsilon, allowance=4 * math.sqrt(0.25 / (9 * repeats)))


def most_recalled(epsilon: float, entries: int, among: int = 1) -> float:
    """Return the share of queries that find their entry among the first *among*, which no mechanism exceeds.

    k · e^ε / N: each of N entries would come so far up for a query of another at least e^(−ε) times as often.
    """
    return min(1.0, among * math.exp(epsilon) / entries)


def codebook_recall(epsilon: float, cells: int, entries: int, *, ties_count_as_found: bool) -> float:
    """k-ary randomised response on a public codebook: the share of queries whose entry comes first.

    All entries of a cell score alike. Honest: one of them by chance; with λ others on average, (1 − e^(−λ)) / λ.
    """
    kept = math.exp(epsilon) / (math.exp(epsilon) + cells - 1)
    others = (entries - 1) / cells
    return kept if ties_count_as_found else kept * -math.expm1(-others) / others


@pytest.mark.parametrize("epsilon", [4.0, 6.0, 8.0, 10.0])
@pytest.mark.parametrize("cells", [256, 1024, 4096])
def test_an_honest_evaluation_of_a_codebook_is_possible(epsilon: float, cells: int) -> None:
    assert codebook_recall(epsilon, cells, 10_000, ties_count_as_found=False) <= most_recalled(epsilon, 10_000)


def test_an_evaluation_that_breaks_ties_in_its_favour_is_found_out() -> None:
    assert codebook_recall(8.0, 4096, 10_000, ties_count_as_found=True) > most_recalled(8.0, 10_000)


@pytest.mark.parametrize("epsilon", [1, 4])
def test_the_noised_index_recalls_no_more_than_is_possible(epsilon: int, campaign: bool) -> None:
    rows = dictionary(ENTRIES, 64, families=ENTRIES, spread=0.5, seed=1)
    multiplier, noise = multiplier_squared_micro_for(epsilon * 1_000_000, 10**10), MassNoise(2)
    repeats = 20 if campaign else 3
    found = 0
    for repeat in range(repeats):
        index = np.stack([noised_embedding(row, multiplier, noise) for row in rows])
        near = paraphrases(rows, spread=0.5, seed=repeat).astype(np.float32) @ index.T
        found += int((near.argmax(1) == np.arange(ENTRIES)).sum())
    queries = repeats * ENTRIES
    share = found / queries
    assert share - 4 * math.sqrt(share * (1 - share) / queries) <= most_recalled(epsilon, ENTRIES)


def test_a_perfect_index_at_a_single_digit_epsilon_is_found_out() -> None:
    assert not is_possible(Evaluation(10_000, 0.5, 0.005), 8.0, allowance=0.0)
    assert is_possible(Evaluation(10_000, 0.5, 0.005), 15.0, allowance=0.0)
