"""From sealed votes to what comes out: counted, selected under noise, and given a vector. All in memory, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from crypto.similarity import is_matchable
from privacy.mean import noised_mean
from privacy.noise import NoiseSampler
from privacy.selection import select
from privacy.terms import MEAN_COUNT_MIN, PoolTerms
from server.pool.items import Released
from server.pool.tags import open_vote
from server.ports import Float32Matrix, Int8Matrix
from server.reuse.quantise import norms_squared, quantise
from server.store.pool_records import StoredVote
from tenants.sealing import DataKey

#: Texts embedded in one go.
BATCH = 32


@dataclass(slots=True)
class Tally:
    """Distinct voters by key (profile and text), and where means are made, each voter's first vector."""

    counts: dict[str, int] = field(default_factory=dict)
    vectors: dict[str, list[bytes]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Selected:
    """One key that came out: its text and profile, and the noised mean of its voters' vectors, if there is one."""

    text: str
    profile: str
    mean: Int8Matrix | None


def tally(
    votes: Iterable[StoredVote], key: DataKey, voters: Sequence[bytes], *, keys_max: int, with_vectors: bool
) -> Tally:
    """Count the votes of *voters*, each once per key; *votes* come voter by voter, in the order of their places.

    Only the first *keys_max* places of each count, which are those that are paid for: votes may have been taken under
    settings that gave more. Raises `UnsealError` for a vote that does not open: what cannot be counted right is not
    released.
    """
    counted, allowed = Tally(), frozenset(voters)
    of_voter: tuple[bytes, set[str]] = (b"", set())
    for stored in votes:
        if stored.voter not in allowed or stored.place >= keys_max:
            continue
        if stored.voter != of_voter[0]:
            of_voter = (stored.voter, set())
        vote = open_vote(key, stored.voter, stored.sealed)
        name = join_key(vote.profile, vote.text)
        if name in of_voter[1]:
            continue
        of_voter[1].add(name)
        counted.counts[name] = counted.counts.get(name, 0) + 1
        if with_vectors and vote.vector is not None:
            counted.vectors.setdefault(name, []).append(vote.vector)
    return counted


def draw_release(counted: Tally, terms: PoolTerms, noise: NoiseSampler, *, dimension: int) -> list[Selected]:
    """Choose keys under noise, and noise their means: every draw of a release happens here, once.

    A mean is made only where the *noisy* count reaches `MEAN_COUNT_MIN`: the true one is nobody's to know.
    """
    chosen = select(counted.counts, terms, noise)
    multiplier = terms.vector_multiplier_squared_micro
    found: list[Selected] = []
    for name, noisy in chosen.items():
        profile, text = split_key(name)
        mean = None
        if multiplier is not None and noisy >= MEAN_COUNT_MIN:
            mean = _mean(counted.vectors.get(name, []), multiplier, noise, dimension)
        found.append(Selected(text, profile, mean))
    return found


def give_vectors(
    selected: Sequence[Selected],
    embed: Callable[[Sequence[str]], Float32Matrix],
    make_id: Callable[[], int],
    *,
    embedder: str,
) -> list[Released]:
    """Give each its vector: the noised mean where there is one, else its text's own. Raises what *embed* raises.

    A text that has no vector that may be matched is left out, which is a function of that public text alone.
    """
    plain = [one for one in selected if one.mean is None]
    own: dict[tuple[str, str], Int8Matrix] = {}
    for start in range(0, len(plain), BATCH):
        part = plain[start : start + BATCH]
        rows = quantise(embed([one.text for one in part]))
        own |= {(one.profile, one.text): row for one, row in zip(part, rows, strict=True)}
    released: list[Released] = []
    for one in selected:
        vector = own[one.profile, one.text] if one.mean is None else one.mean
        if is_matchable(int(norms_squared(vector[np.newaxis])[0])):
            released.append(Released(make_id(), (one.text,), one.profile, vector.tobytes(), embedder))
    return released


def join_key(profile: str, text: str) -> str:
    """Return the key of *text* under *profile*, whose name holds no line feed."""
    return f"{profile}\n{text}"


def split_key(key: str) -> tuple[str, str]:
    """Return what `join_key` joined."""
    profile, _, text = key.partition("\n")
    return profile, text


def _mean(vectors: Sequence[bytes], multiplier_squared_micro: int, noise: NoiseSampler, dimension: int) -> Int8Matrix:
    # No vector at all is noise alone: that there was none is nobody's to know either. Nor is it that some are of an
    # embedder that was exchanged since: were that an error, a void release would tell of them.
    fitting = [vector for vector in vectors if len(vector) == dimension]
    rows = np.frombuffer(b"".join(fitting), dtype=np.int8).reshape(len(fitting), dimension)
    row: Int8Matrix = quantise(noised_mean(rows, multiplier_squared_micro, noise)[np.newaxis])[0]
    return row
