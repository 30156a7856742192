"""Simulated organisations for the pool's benches: Zipf-distributed topics from labelled sets, votes, releases, readers.

Topics are the classes of a set that have at least two wordings; the r-th most popular is asked with weight r^-s, each
time in one of its wordings. Everything that decides is the product's: normalisation, gate, anchors' cosine, the tally,
the selection, the noised means and the decision. Noise is drawn by numpy from the same distributions, seeded and fast:
figures come of it, never privacy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from crypto.similarity import threshold_integer
from privacy.gate import refuse
from privacy.terms import PoolTerms
from privacy.text import normalise
from server.pool.anchors import COSINE_TEN_THOUSANDTHS
from server.pool.counting import Tally, draw_release, join_key
from server.reuse.decision import Accept, CandidateView, QueryView, decide
from server.reuse.guards import Facts, facts_of
from server.reuse.policy import ReusePolicy
from server.reuse.quantise import norms_squared, quantise
from tenants.identifiers import EntryId
from tests.bench.quality_sets import load_trial, load_vectors

TOP = 50
PROFILE = "plain"
#: Low enough that every threshold of interest can be judged from one decision.
OPEN_POLICY = ReusePolicy(threshold_ten_thousandths=7_460)


class NumpyNoise:
    """The distributions of `privacy.noise`, from a seeded generator; for measuring only."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def laplace(self, count: int, epsilon_micro: int) -> list[int]:
        """Discrete Laplace: a difference of two geometric numbers."""
        chance = 1.0 - np.exp(-epsilon_micro / 1e6)
        found: list[int] = (self._random.geometric(chance, count) - self._random.geometric(chance, count)).tolist()
        return found

    def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
        """A rounded normal, which at the widths of vectors is the discrete Gaussian to six digits."""
        found: list[int] = np.rint(self._random.normal(0.0, float(sigma_squared) ** 0.5, count)).astype(int).tolist()
        return found


@dataclass(slots=True)
class Corpus:
    """A labelled set: texts, classes, quantised vectors (n, d) with |v|², and the rows of every topic."""

    name: str
    texts: tuple[str, ...]
    classes: np.ndarray
    vectors: np.ndarray
    norms: np.ndarray
    topics: list[np.ndarray]
    spelled: list[str]
    facts: dict[str, Facts] = field(default_factory=dict)
    refused: dict[str, bool] = field(default_factory=dict)

    def halves(self, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Deal topics into one half to choose numbers on and one to report from."""
        order = np.random.default_rng([seed, 2]).permutation(len(self.topics))
        middle = len(order) // 2
        return [self.topics[at] for at in order[:middle]], [self.topics[at] for at in order[middle:]]

    def facts_of(self, text: str) -> Facts:
        """Return the facts of *text*, taken once."""
        return self.facts.setdefault(text, facts_of(text)) if text not in self.facts else self.facts[text]

    def is_refused(self, text: str) -> bool:
        """Say whether the gate refuses *text*, asked once."""
        if text not in self.refused:
            self.refused[text] = refuse(text) is not None
        return self.refused[text]


def load_corpus(name: str, data: Path, work: Path, seed: int = 7) -> Corpus:
    """Read and embed the set *name*."""
    trial = load_trial(name, data, seed)
    vectors = quantise(load_vectors(trial, work))
    order = np.argsort(trial.classes, kind="stable")
    _, starts = np.unique(trial.classes[order], return_index=True)
    topics = [rows for rows in np.split(order, starts[1:]) if len(rows) >= 2 and trial.classes[rows[0]] >= 0]
    spelled = [normalise(text) for text in trial.texts]
    return Corpus(trial.name, trial.texts, trial.classes, vectors, norms_squared(vectors), topics, spelled)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Who asks how much."""

    organisations: int
    questions: int = 40
    epochs: int = 3
    zipf: float = 1.0
    anchors: float = 0.25


@dataclass(slots=True)
class Released:
    """What came out: its text, class, the text's own vector and the vector it is found by."""

    texts: list[str]
    classes: list[int]
    own: np.ndarray
    found_by: np.ndarray
    means: int


def ask(topics: list[np.ndarray], traffic: Traffic, random: np.random.Generator) -> np.ndarray:
    """Return one epoch's questions: rows of the corpus, shape (organisations, questions)."""
    weights = np.arange(1, len(topics) + 1, dtype=float) ** -traffic.zipf
    chosen = random.choice(len(topics), (traffic.organisations, traffic.questions), p=weights / weights.sum())
    sizes = np.array([len(rows) for rows in topics])
    wording = (random.random(chosen.shape) * sizes[chosen]).astype(int)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    found: np.ndarray = np.concatenate(topics)[starts[chosen] + wording]
    return found


class Period:
    """One budget period of simulated votes; `release` after every epoch, whose texts are anchors of the next."""

    def __init__(
        self,
        corpus: Corpus,
        topics: list[np.ndarray],
        traffic: Traffic,
        embed: Callable[[list[str]], np.ndarray],
        seed: int,
    ) -> None:
        self.corpus, self.topics, self.traffic, self._embed = corpus, topics, traffic, embed
        self._random = np.random.default_rng([seed, 3])
        rows = np.concatenate(topics)
        listed = self._random.permutation(rows)[: round(traffic.anchors * len(rows))]
        self._anchors = [corpus.spelled[row] for row in listed]
        self._anchor_vectors = corpus.vectors[listed].astype(np.float32)
        self._class_of = {corpus.spelled[row]: int(corpus.classes[row]) for row in rows}
        self.asked = [ask(topics, traffic, self._random) for _ in range(traffic.epochs)]
        self.read = ask(topics, traffic, self._random)

    def run(self, terms: PoolTerms, noise: NumpyNoise) -> Released:
        """Vote and release epoch by epoch; return everything that came out, each text once."""
        anchors, anchor_vectors = list(self._anchors), self._anchor_vectors
        seen: list[set[str]] = [set() for _ in range(self.traffic.organisations)]
        texts: dict[str, np.ndarray | None] = {}
        for rows in self.asked:
            counted = self._tally(rows, terms, seen, anchors, anchor_vectors)
            fresh = draw_release(counted, terms, noise, dimension=self.corpus.vectors.shape[1])
            new = [one for one in fresh if one.text not in texts]
            texts |= {one.text: one.mean for one in new}
            if new:
                anchors += [one.text for one in new]
                vectors = quantise(self._embed([one.text for one in new])).astype(np.float32)
                anchor_vectors = np.concatenate((anchor_vectors, vectors))
        names = list(texts)
        own = quantise(self._embed(names)) if names else self.corpus.vectors[:0]
        found_by = own.copy()
        for at, name in enumerate(names):
            mean = texts[name]
            if mean is not None:
                found_by[at] = mean
        means = sum(mean is not None for mean in texts.values())
        return Released(names, [self._class_of[name] for name in names], own, found_by, means)

    def _tally(
        self, rows: np.ndarray, terms: PoolTerms, seen: list[set[str]], anchors: list[str], anchor_vectors: np.ndarray
    ) -> Tally:
        corpus, counted = self.corpus, Tally()
        keys = self._keys(np.unique(rows), anchors, anchor_vectors)
        for organisation, asked in enumerate(rows.tolist()):
            places, voted = 0, set()
            for row in asked:
                text = corpus.spelled[row]
                if text in seen[organisation] or corpus.is_refused(text) or places >= terms.keys_max:
                    continue
                seen[organisation].add(text)
                places += 1
                name = join_key(PROFILE, keys[row])
                if name not in voted:
                    voted.add(name)
                    counted.counts[name] = counted.counts.get(name, 0) + 1
                    counted.vectors.setdefault(name, []).append(corpus.vectors[row].tobytes())
        return counted

    def _keys(self, rows: np.ndarray, anchors: list[str], anchor_vectors: np.ndarray) -> dict[int, str]:
        corpus = self.corpus
        if not len(anchors):
            return {row: corpus.spelled[row] for row in rows.tolist()}
        keys = {}
        for start in range(0, len(rows), 512):
            part = rows[start : start + 512]
            products = corpus.vectors[part].astype(np.float32) @ anchor_vectors.T
            lengths = np.sqrt(corpus.norms[part].astype(float))[:, None] * np.linalg.norm(anchor_vectors, axis=1)
            best = products.argmax(1)
            near = products[np.arange(len(part)), best] / lengths[np.arange(len(part)), best]
            for row, at, cosine in zip(part.tolist(), best.tolist(), near.tolist(), strict=True):
                is_near = cosine * 10_000 >= COSINE_TEN_THOUSANDTHS
                keys[row] = anchors[at] if is_near else corpus.spelled[row]
        return keys


@dataclass(frozen=True, slots=True)
class Readings:
    """Questions of one more epoch that an organisation's own earlier ones would not answer, and what the pool found.

    *scores* is the exact product with the released text decided for, or -1; *tens* the |q|²; *right* whether it has the
    question's class; *weights* how many organisations asked it.
    """

    scores: np.ndarray
    norms: np.ndarray
    right: np.ndarray
    weights: np.ndarray
    own_share: float

    def at(self, threshold: int) -> tuple[float, float, int]:
        """Return hit rate, precision (1 without hits) and the number of hits at a cosine in ten-thousandths."""
        bounds = np.array([threshold_integer(threshold, int(norm)) for norm in self.norms])
        hits = self.scores >= bounds
        count = int(self.weights[hits].sum())
        right = int(self.weights[hits & self.right].sum())
        return count / max(1, int(self.weights.sum())), right / count if count else 1.0, count


def read(period: Period, released: Released, *, by_mean: bool) -> Readings:
    """Put the reading epoch's questions to what was released: the nearest 50, then the decision about their texts."""
    corpus = period.corpus
    classes = corpus.classes[period.read]
    before = [set(np.concatenate([rows[o] for rows in period.asked]).tolist()) for o in range(len(classes))]
    own = np.zeros(period.read.shape, bool)
    for organisation, earlier in enumerate(before):
        known = {int(corpus.classes[row]) for row in earlier}
        for at, label in enumerate(classes[organisation].tolist()):
            own[organisation, at] = label in known
            known.add(label)
    rows, weights = np.unique(period.read[~own], return_counts=True)
    scores, right = np.full(len(rows), -1, np.int64), np.zeros(len(rows), bool)
    found_by = (released.found_by if by_mean else released.own).astype(np.float32)
    norms = norms_squared(released.own) if len(released.own) else np.empty(0, np.int64)
    for at, row in enumerate(rows.tolist()):
        if not len(found_by):
            break
        query = corpus.vectors[row]
        nearest = np.argsort(-(found_by @ query.astype(np.float32)), kind="stable")[:TOP]
        products = released.own[nearest].astype(np.int64) @ query.astype(np.int64)
        views = [
            CandidateView(EntryId(place + 1), product, int(norms[place]), corpus.facts_of(released.texts[place]))
            for place, product in zip(nearest.tolist(), products.tolist(), strict=True)
        ]
        verdict = decide(QueryView(int(corpus.norms[row]), corpus.facts_of(corpus.texts[row])), views, OPEN_POLICY)
        if isinstance(verdict, Accept):
            scores[at] = verdict.score
            right[at] = released.classes[verdict.candidate.entry_id - 1] == corpus.classes[row]
    return Readings(scores, corpus.norms[rows], right, weights, float(own.mean()))


def caching_embed(dimension: int = 384) -> Callable[[list[str]], np.ndarray]:
    """Return the product's embedder, which remembers what it embedded."""
    from server.embedding.select import load_default_embedder

    embedder, known = load_default_embedder(), dict[str, np.ndarray]()

    def embed(texts: list[str]) -> np.ndarray:
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        for start in range(0, len(missing), 32):
            part = missing[start : start + 32]
            known.update(zip(part, embedder.embed(part), strict=True))
        return np.stack([known[text] for text in texts]) if texts else np.empty((0, dimension), np.float32)

    return embed
