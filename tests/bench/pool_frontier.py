"""What noise on single entries costs and protects: recall, hits and re-identification per ε, on labelled questions.

    python -m tests.bench.pool_frontier --data DATA --work WORK [--entries 10000] [--json FILE]

Mode `noised`: every entry is one question of QQP's development half, its int8 embedding under the discrete Gaussian of
`privacy.mean` (replacement, δ = 10^-6), found by the nearest 50 and decided against one public alias: another wording of
its class. Asked are a third wording of entries that have one, and as many questions that match nothing. The dictionary
attack guesses the hidden question among all entries' questions: the exact text is one of 10,000. `dp_mean`: 19 voters
said the released text, one said it otherwise; the attacker knows the text, takes its direction out, and guesses the
other wording. Noise is numpy's, seeded: figures come of it, never privacy.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from crypto.similarity import threshold_integer
from privacy.bounds import least_epsilon
from privacy.calibration import multiplier_squared_micro_for
from privacy.mean import REPLACEMENT_SENSITIVITY_SQUARED, SUM_SENSITIVITY_SQUARED
from server.reuse.decision import Accept, CandidateView, QueryView, decide
from server.reuse.policy import ReusePolicy
from server.reuse.quantise import quantise
from tenants.identifiers import EntryId
from tests.bench.pool_worlds import TOP, Corpus, load_corpus

#: Where precision among hard negatives is looked at, without noise.
THRESHOLDS = (9_400, 9_500, 9_600, 9_700, 9_800, 9_900)
EPSILONS_MILLI = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000)
MEAN_EPSILONS_MILLI = (1_000, 2_000, 4_000, 8_000)
NOISED_DELTA_ATTO = 10**12
MEAN_DELTA_ATTO = 10**10
VOTERS = (20, 50)
BLOCK = 1_000


def noised(vectors: np.ndarray, sensitivity_squared: int, multiplier: int, random: np.random.Generator) -> np.ndarray:
    """Return quantised directions of integer rows under noise, as the product stores them."""
    sigma = (sensitivity_squared * multiplier / 1e6) ** 0.5
    exact = vectors.astype(np.float64) + np.rint(random.normal(0.0, sigma, vectors.shape))
    return quantise((exact / np.linalg.norm(exact, axis=1, keepdims=True)).astype(np.float32))


def best_rows(rows: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Return the *k* best rows of each query, best first."""
    wide, found = rows.astype(np.float32), []
    for start in range(0, len(queries), BLOCK):
        products = queries[start : start + BLOCK].astype(np.float32) @ wide.T
        top = np.argpartition(-products, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(products, top, 1), axis=1, kind="stable")
        found.append(np.take_along_axis(top, order, 1))
    return np.concatenate(found)


class Entries:
    """Hidden questions, a public alias of each, and who asks."""

    def __init__(self, corpus: Corpus, count: int, seed: int) -> None:
        random = np.random.default_rng([seed, 5])
        self.corpus = corpus
        full = [random.permutation(rows) for rows in corpus.topics if len(rows) >= 3]
        pairs = [random.permutation(rows) for rows in corpus.topics if len(rows) == 2]
        self.matched = len(full)
        chosen = (full + pairs)[:count]
        self.hidden = np.array([rows[0] for rows in chosen])
        self.alias = np.array([rows[1] for rows in chosen])
        self.asked = np.array([rows[2] for rows in chosen[: self.matched]])
        alone = np.setdiff1d(np.arange(len(corpus.texts)), np.concatenate(corpus.topics))
        # The dictionary and the index are filled up with questions that nobody else words otherwise.
        fill = random.permutation(alone)
        wanted = max(0, count - len(chosen))
        self.hidden = np.concatenate((self.hidden, fill[:wanted]))
        self.alias = np.concatenate((self.alias, fill[:wanted]))
        self.unmatched = fill[wanted : wanted + self.matched]

    def measure(self, vectors: np.ndarray, threshold: int) -> dict[str, float]:
        """Return recall, hits and re-identification when entries are found by *vectors*."""
        corpus, count = self.corpus, self.matched
        queries = np.concatenate((self.asked, self.unmatched))
        top = best_rows(vectors, corpus.vectors[queries], 100)
        position = top[:count] == np.arange(count)[:, None]
        hits = right = 0
        policy = ReusePolicy(threshold_ten_thousandths=threshold)
        for at, (query, places) in enumerate(zip(queries.tolist(), top[:, :TOP], strict=True)):
            vector, norm = corpus.vectors[query].astype(np.int64), int(corpus.norms[query])
            alias = self.alias[places]
            products = corpus.vectors[alias].astype(np.int64) @ vector
            if int(products.max()) < threshold_integer(threshold, norm):
                continue
            views = [
                CandidateView(EntryId(place + 1), product, int(corpus.norms[row]), corpus.facts_of(corpus.texts[row]))
                for place, row, product in zip(places.tolist(), alias.tolist(), products.tolist(), strict=True)
            ]
            verdict = decide(QueryView(norm, corpus.facts_of(corpus.texts[query])), views, policy)
            if isinstance(verdict, Accept):
                hits += 1
                right += at < count and verdict.candidate.entry_id == at + 1
        guesses = best_rows(corpus.vectors[self.hidden], vectors, 1)[:, 0]
        return {
            "found": float(position[:, 0].mean()),
            "top_10": float(position[:, :10].any(1).mean()),
            "top_50": float(position[:, :TOP].any(1).mean()),
            "top_100": float(position.any(1).mean()),
            "hit_rate": hits / count,
            "precision": right / hits if hits else 1.0,
            "reidentified": float((guesses == np.arange(len(guesses))).mean()),
        }


def measure_means(corpus: Corpus, dictionary: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """Return how often the one voter who worded a question otherwise is named, per ε of the vector and voters."""
    random = np.random.default_rng([seed, 6])
    unit = corpus.vectors / np.sqrt(corpus.norms.astype(float))[:, None]
    pairs = []
    for rows in corpus.topics:
        cosine = float(unit[rows[0]] @ unit[rows[1]])
        if 0.90 <= cosine < 0.995:
            pairs.append((rows[0], rows[1]))
    texts, victims = (np.array(side) for side in zip(*pairs, strict=True))
    candidates = np.concatenate((victims, np.setdiff1d(dictionary, np.concatenate((texts, victims)))))[
        : len(dictionary)
    ]
    publics, others = unit[texts], unit[candidates]
    shared = publics @ others.T
    # What is left of a candidate without the public text's direction; that of the remainder is 0 already.
    lengths = np.sqrt(np.maximum(1.0 - shared * shared, 1e-12))
    found = []
    for voters in VOTERS:
        sums = (voters - 1) * corpus.vectors[texts].astype(np.int64) + corpus.vectors[victims].astype(np.int64)
        for epsilon in (*MEAN_EPSILONS_MILLI, 0):
            multiplier = multiplier_squared_micro_for(epsilon * 1000, MEAN_DELTA_ATTO) if epsilon else 0
            means = noised(sums, SUM_SENSITIVITY_SQUARED, multiplier, random) if epsilon else sums
            wide = means.astype(np.float64)
            rest = wide - (wide * publics).sum(1, keepdims=True) * publics
            guesses = ((rest @ others.T) / lengths).argmax(1)
            right = int((guesses == np.arange(len(texts))).sum())
            row = {"epsilon_milli": epsilon, "voters": voters, "dictionary": len(candidates), "victims": len(texts)}
            found.append({**row, "reidentified": right / len(texts)})
    return found


def measure(data: Path, work: Path, threshold: int, count: int, seed: int) -> dict[str, Any]:
    """Return rows per ε of single entries, rows of means, and the bound that no mechanism passes."""
    corpus = load_corpus("qqp", data, work)
    entries = Entries(corpus, count, seed)
    vectors = corpus.vectors[entries.hidden]
    random = np.random.default_rng([seed, 7])
    rows = []
    for epsilon in EPSILONS_MILLI:
        multiplier = multiplier_squared_micro_for(epsilon * 1000, NOISED_DELTA_ATTO)
        found = entries.measure(noised(vectors, REPLACEMENT_SENSITIVITY_SQUARED, multiplier, random), threshold)
        rows.append({"epsilon_milli": epsilon, "dictionary": len(vectors), **found})
    return {
        "entries": len(vectors),
        "asked": entries.matched,
        "threshold": threshold,
        "least_epsilon_99": least_epsilon(len(vectors), 0.99),
        "clean": entries.measure(vectors, threshold),
        "clean_at": [{"threshold": at, **entries.measure(vectors, at)} for at in THRESHOLDS],
        "noised": rows,
        "dp_mean": measure_means(corpus, entries.hidden, seed),
    }


def markdown(found: dict[str, Any]) -> str:
    """Return the tables of the documentation."""
    lines = [
        "| ε of one entry | first of all | in the first 10 | in the first 50 | hits | precision | re-identified |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in [*found["noised"], {"epsilon_milli": None, **found["clean"]}]:
        label = "no noise" if row["epsilon_milli"] is None else f"{row['epsilon_milli'] / 1000:g}"
        cells = " | ".join(f"{row[name]:.3f}" for name in ("found", "top_10", "top_50", "hit_rate", "precision"))
        lines.append(f"| {label} | {cells} | {row['reidentified']:.3f} |")
    lines += ["", "| cosine, no noise | hits | precision |", "|---|---|---|"]
    for row in found["clean_at"]:
        lines.append(f"| {row['threshold'] / 10_000:.2f} | {row['hit_rate']:.3f} | {row['precision']:.3f} |")
    lines += ["", "| ε of the mean | voters | the one other wording named |", "|---|---|---|"]
    for row in found["dp_mean"]:
        label = f"{row['epsilon_milli'] / 1000:g}" if row["epsilon_milli"] else "no noise"
        lines.append(f"| {label} | {row['voters']} | {row['reidentified']:.4f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threshold", type=int, default=9_000)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = measure(options.data, options.work, options.threshold, options.entries, options.seed)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(markdown(found))


if __name__ == "__main__":
    main()
