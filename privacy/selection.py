"""Choosing what becomes public: keys that enough organisations voted for, by noisy counts.

    release = {key: count + noise, for every key with a vote, if that is at least T}

A key that nobody voted for is never looked at; what an organisation alone on a key risks by that is the δ of the
threshold. Source: Korolova et al., "Releasing Search Queries and Clicks Privately" (WWW 2009), with exact discrete tails.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from crypto.charges import LaplaceSelection

from .errors import NoiseError, TermsError
from .noise import NoiseSampler
from .terms import PoolTerms

Key = TypeVar("Key", str, bytes)


def select(counts: Mapping[Key, int], terms: PoolTerms, noise: NoiseSampler) -> dict[Key, int]:
    """Return the keys that come out with their noisy counts, sorted by key; *counts* has distinct voters per key.

    One draw per key, given out in the order of the keys, so that the order in which votes came in shows nowhere. Each
    call draws anew and is a release of its own. Raises `TermsError` for a count below 1, `NoiseError` for missing noise.
    """
    keys = sorted(counts)
    if any(counts[key] < 1 for key in keys):
        raise TermsError("a key without votes takes part in no selection: looking at it would cost privacy")
    draws = draw(len(keys), terms, noise)
    if len(draws) != len(keys):
        raise NoiseError(f"{len(keys)} keys need as many draws, and {len(draws)} came")
    noisy = {key: counts[key] + number for key, number in zip(keys, draws, strict=True)}
    return {key: count for key, count in noisy.items() if count >= terms.threshold}


def draw(count: int, terms: PoolTerms, noise: NoiseSampler) -> list[int]:
    """Return the noise of *count* keys, of the kind and size that the terms' charge states."""
    charge = terms.selection_charge()
    if isinstance(charge, LaplaceSelection):
        return noise.laplace(count, charge.epsilon_micro)
    return noise.gaussian(count, charge.sigma_squared)
