"""What a pool would give to organisations whose questions follow Zipf's law: SIMULATION of synthetic traffic.

Each organisation asks questions about topics; the popularity of topic r is r^−s. Two organisations that ask about one
topic share its key with a given chance (people word things differently); otherwise the organisation's key is its own.
Epoch by epoch, what an organisation has not asked before in the period takes one of its places, first come, first
served, and the keys' counts meet the terms' noise: nothing is drawn for that, the chance of coming out is exact. Then
everybody asks for one more epoch, and what counts are hits that an organisation's own earlier questions would not have
given it. No real traffic looks like this; the order of magnitude is what there is to learn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .chances import release_chance
from .errors import TermsError
from .terms import PoolTerms

Int64Array: TypeAlias = NDArray[np.int64]
Float64Array: TypeAlias = NDArray[np.float64]

#: Questions drawn for one epoch: 8 bytes each, and a few copies of them.
QUESTIONS_MAX: Final = 20_000_000
TOPICS_MAX: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Traffic:
    """Synthetic questions: how many organisations ask how much in an epoch, about what, and how alike they word it.

    *key_share* is the chance that two organisations asking about one topic share a key; *recall* how often a question on
    a released topic is recognised. The defaults were measured on pairs of questions (docs: privacy mechanisms).
    """

    organisations: int
    questions_per_organisation: int = 300
    topics: int = 100_000
    zipf: float = 1.0
    key_share: float = 0.5
    recall: float = 0.5


@dataclass(frozen=True, slots=True)
class Yield:
    """What came of it, as shares of all questions of the epoch after the period.

    *own* would have been answered from the organisation's own questions, *incremental* by the pool alone; *newcomer* is
    the incremental share of an organisation that asked nothing before. *votes* are those of the whole period, *released*
    the expected number of distinct keys that came out. *by_epochs* is the incremental share after 1, 2, … epochs.
    """

    own: float
    incremental: float
    newcomer: float
    votes: int
    released: float
    by_epochs: tuple[float, ...] = field(default=())
    empty_because: str | None = None


class _Past:
    """What organisations asked, and voted with, so far: sorted, each as organisation · topics + topic."""

    def __init__(self) -> None:
        self.asked: Int64Array = np.empty(0, np.int64)
        self.voted: Int64Array = np.empty(0, np.int64)


def simulate(traffic: Traffic, terms: PoolTerms, seed: int) -> Yield:
    """Return the expected yield of a period under *terms*; the same seed gives the same figures.

    Raises `TermsError` for traffic beyond the limits.
    """
    _check(traffic)
    random = np.random.default_rng(seed)
    popularity = _popularity(traffic)
    past = _Past()
    missed = np.ones(traffic.topics)  # the chance that a topic's key has not come out yet
    votes, by_epochs = 0, []
    enough = traffic.organisations >= terms.organisations_min
    measured = _epoch(traffic, popularity, random)
    for _ in range(terms.period_epochs):
        asked = _epoch(traffic, popularity, random)
        voters, places = _vote(traffic, terms.keys_max, asked, past, random)
        votes += places
        if enough:
            missed *= 1.0 - _chances(terms, voters)
        own, incremental = _hits(traffic, measured, past.asked, 1.0 - missed)
        by_epochs.append(incremental)
    reason = (
        None
        if enough
        else (
            f"{traffic.organisations} organisations are fewer than the {terms.organisations_min} from which a pool releases"
        )
    )
    _, newcomer = _hits(traffic, measured, np.empty(0, np.int64), 1.0 - missed)
    return Yield(own, by_epochs[-1], newcomer, votes, float((1.0 - missed).sum()), tuple(by_epochs), reason)


def _check(traffic: Traffic) -> None:
    questions = traffic.organisations * traffic.questions_per_organisation
    if traffic.organisations < 1 or traffic.questions_per_organisation < 1 or questions > QUESTIONS_MAX:
        raise TermsError(f"organisations times questions are 1 to {QUESTIONS_MAX}")
    if not 1 <= traffic.topics <= TOPICS_MAX or not 0.0 <= traffic.zipf <= 10.0:
        raise TermsError(f"topics are 1 to {TOPICS_MAX}, and Zipf's exponent 0 to 10")
    if not 0.0 <= traffic.key_share <= 1.0 or not 0.0 <= traffic.recall <= 1.0:
        raise TermsError("shares lie between 0 and 1")


def _popularity(traffic: Traffic) -> Float64Array:
    """Return the cumulative chances of the topics."""
    weights = np.arange(1, traffic.topics + 1, dtype=np.float64) ** -traffic.zipf
    cumulated: Float64Array = np.cumsum(weights / weights.sum())
    cumulated[-1] = 1.0
    return cumulated


def _epoch(traffic: Traffic, popularity: Float64Array, random: np.random.Generator) -> Int64Array:
    """Return the epoch's questions in the order of asking, each as organisation · topics + topic."""
    organisations, each = traffic.organisations, traffic.questions_per_organisation
    topics = np.searchsorted(popularity, random.random((organisations, each)), side="right")
    found: Int64Array = (np.arange(organisations)[:, None] * traffic.topics + topics).ravel()
    return found


def _vote(
    traffic: Traffic, places: int, asked: Int64Array, past: _Past, random: np.random.Generator
) -> tuple[Int64Array, int]:
    """Return distinct voters of each topic's shared key, and how many places were taken; note what was asked."""
    distinct, first = np.unique(asked, return_index=True)
    fresh = ~np.isin(distinct, past.voted, assume_unique=True)
    # In the order of asking, organisation by organisation: the first *places* of each take them.
    order = np.sort(first[fresh])
    owners = order // traffic.questions_per_organisation
    starts = np.searchsorted(owners, owners, side="left")
    taking = asked[order[np.arange(len(order)) - starts < places]]
    past.voted = np.union1d(past.voted, taking)
    past.asked = np.union1d(past.asked, distinct)
    # An organisation words a topic once: in the shared way with the chance whose square is that two share it.
    shared = taking[random.random(len(taking)) < np.sqrt(traffic.key_share)]
    return np.bincount(shared % traffic.topics, minlength=traffic.topics), len(taking)


def _chances(terms: PoolTerms, voters: Int64Array) -> Float64Array:
    """Return each topic's chance of coming out."""
    distinct, inverse = np.unique(voters, return_inverse=True)
    found: Float64Array = np.array([release_chance(terms, int(count)) for count in distinct])[inverse]
    return found


def _hits(traffic: Traffic, measured: Int64Array, known: Int64Array, released: Float64Array) -> tuple[float, float]:
    """Return the shares of *measured* questions that the own cache, and that only the pool, answers."""
    _, first = np.unique(measured, return_index=True)
    repeated = np.ones(len(measured), dtype=bool)
    repeated[first] = False
    own = repeated | np.isin(measured, known)
    chances = released[measured[~own] % traffic.topics]
    return float(own.mean()), float(chances.sum() * traffic.recall / len(measured))
