"""Twin runs: two worlds under the same noise for each key, one without an organisation. What else differs is a leak."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.exact_noise import ExactNoise
from privacy.mean import noised_mean
from privacy.selection import select
from privacy.terms import PoolTerms, pool_terms
from tests.privacy.synthetic import dictionary

Votes = dict[str, dict[str, np.ndarray]]
"""Organisation to key to the vector that it votes with."""

KEYS = [f"question {number}" for number in range(12)]
VECTORS = dictionary(40, 32, families=12, spread=0.3, seed=1)


class NoiseOfKeys:
    """Gives every key the noise that its name seeds, in whatever world; relies on draws going out in the keys' order."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = sorted(keys)

    def laplace(self, count: int, epsilon_micro: int) -> list[int]:
        assert count == len(self._keys)
        return [self._of(key).laplace(1, epsilon_micro)[0] for key in self._keys]

    def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
        if count == len(self._keys):
            return [self._of(key).gaussian(1, sigma_squared)[0] for key in self._keys]
        assert len(self._keys) == 1, "the components of one key's vector"
        return self._of(self._keys[0] + " vector").gaussian(count, sigma_squared)

    @staticmethod
    def _of(key: str) -> ExactNoise:
        return ExactNoise(random.Random(hashlib.sha256(key.encode()).digest()).randbytes)


def noisy_terms(unit: str) -> PoolTerms:
    """So much noise that nearly every key gets some, and a threshold that a dozen organisations may reach."""
    epsilon_micro = {"question": 500_000, "organisation": 4_000_000}[unit]
    return pool_terms(unit=unit, vector_source="dp_mean", epsilon_micro=epsilon_micro, delta_atto=10**17)


def release(votes: Votes, terms: PoolTerms) -> dict[str, tuple[int, bytes]]:
    """Return what comes out: key to its noisy count and the bytes of its noised mean."""
    voters: dict[str, list[np.ndarray]] = {}
    for organisation in sorted(votes):
        for key, vector in votes[organisation].items():
            voters.setdefault(key, []).append(vector)
    counts = {key: len(vectors) for key, vectors in voters.items()}
    selected = select(counts, terms, NoiseOfKeys(list(counts)))
    multiplier = terms.vector_multiplier_squared_micro
    assert multiplier is not None
    return {
        key: (noisy, noised_mean(np.stack(voters[key]), multiplier, NoiseOfKeys([key])).tobytes())
        for key, noisy in selected.items()
    }


@st.composite
def worlds(draw: st.DrawFn) -> Votes:
    names = [f"organisation {number:02}" for number in range(draw(st.integers(2, 16)))]
    votes: Votes = {}
    for name in names:
        keys = draw(st.lists(st.sampled_from(KEYS), unique=True, min_size=1, max_size=5))
        votes[name] = {key: VECTORS[draw(st.integers(0, len(VECTORS) - 1))] for key in keys}
    return votes


def differing(one: dict[str, tuple[int, bytes]], other: dict[str, tuple[int, bytes]]) -> set[str]:
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


@pytest.mark.parametrize("unit", ["question", "organisation"])
def test_without_an_organisation_nothing_differs_but_the_keys_that_it_voted_for(unit: str, campaign: bool) -> None:
    terms = noisy_terms(unit)

    @settings(max_examples=2_000 if campaign else 60, derandomize=True)
    @given(worlds())
    def holds(votes: Votes) -> None:
        whole = release(votes, terms)
        for name in list(votes)[:3]:
            others = {other: vote for other, vote in votes.items() if other != name}
            assert differing(whole, release(others, terms)) <= set(votes[name])

    holds()


def test_a_blanked_question_changes_its_own_key_only() -> None:
    terms = noisy_terms("question")
    votes = {f"organisation {number:02}": dict(zip(KEYS[:5], VECTORS, strict=False)) for number in range(12)}
    blanked = {name: dict(vote) for name, vote in votes.items()}
    del blanked["organisation 03"][KEYS[2]]
    changed = differing(release(votes, terms), release(blanked, terms))
    assert changed == {KEYS[2]}, "a vote that changes nothing would make this test blind"


def test_the_order_in_which_votes_came_shows_nowhere() -> None:
    terms = noisy_terms("question")
    votes = {f"organisation {number:02}": dict(zip(KEYS, VECTORS, strict=False)) for number in range(9)}
    turned = {name: dict(reversed(vote.items())) for name, vote in reversed(votes.items())}
    assert list(release(votes, terms).items()) == list(release(turned, terms).items())
    assert {noisy for noisy, _ in release(votes, terms).values()} != {9}, "without noise this test would be blind"
