"""How often a hit by meaning is wrong: our decision against static cosine thresholds, on the same stores and questions.

    python tests/bench/quality.py --data DIR --work DIR --out FOLDER [--sets qqp,clinc,banking,stackfaq] [--seed 7]

Per set, questions are dealt into two halves by class. The first half chooses one number, the threshold; everything
reported comes from the second. `ours` is `server.reuse.decision.decide` itself, with the default guards, on quantised
vectors; a peer is the nearest neighbour by float cosine at its documented default. Writes quality.json and quality.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from quality_sets import Trial, load_trial, load_vectors  # noqa: E402

from server.reuse.decision import Accept, CandidateView, QueryView, decide  # noqa: E402
from server.reuse.guards import doubts, facts_of  # noqa: E402
from server.reuse.policy import DEFAULT_POLICY, ReusePolicy  # noqa: E402
from server.reuse.quantise import norms_squared, quantise  # noqa: E402
from tenants.identifiers import EntryId  # noqa: E402

#: Documented default thresholds of other caches, as cosines (docs/explanation/reuse-decision.md, "Peers").
PEERS = {"GPTCache": 6_000, "LiteLLM, LangChain, vCache static": 8_000, "RedisVL": 9_000}
GRID = tuple(range(DEFAULT_POLICY.threshold_ten_thousandths + 350, 7_450, -50))
PEER_GRID = (*range(9_900, 5_950, -50),)
CANDIDATES = 8
CONTRAST = Path(__file__).resolve().parents[1] / "fixtures" / "contrast_pairs.json"
#: The calibration half must hit this often, so that the other half still hits in one of twenty questions.
CALIBRATION_HIT_RATE_MIN = 0.08
PEER_HIT_RATE_MIN = 0.02
HIT_RATE_MIN = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """Right, wrong and missed questions; out-of-scope ones among the wrong."""

    asked: int
    right: int
    wrong: int

    @property
    def hit_rate(self) -> float:
        """Hits per question."""
        return (self.right + self.wrong) / self.asked

    @property
    def wrong_share(self) -> float:
        """Wrong hits per hit; 0 where nothing hit."""
        return self.wrong / max(1, self.right + self.wrong)

    def to_json(self) -> dict[str, object]:
        """Return counts, shares and the Clopper-Pearson interval of the wrong share."""
        return {
            "asked": self.asked,
            "right": self.right,
            "wrong": self.wrong,
            "hit_rate": round(self.hit_rate, 5),
            "wrong_per_hit": round(self.wrong_share, 5),
            "wrong_per_hit_95": [round(bound, 5) for bound in interval(self.wrong, self.right + self.wrong)],
        }


def interval(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a proportion."""
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, total - count + 1))
    high = 1.0 if count >= total else float(beta.ppf(1 - tail, count + 1, total - count))
    return low, high


class Bench:
    """One trial with its candidates: the nearest stored texts of each question, by integer product and by cosine."""

    def __init__(self, trial: Trial, vectors: np.ndarray) -> None:
        self.trial = trial
        quantised = quantise(vectors)
        self.norms = norms_squared(quantised)
        # Integer-valued float32 products are exact (crypto/similarity.py), so this is the integer search.
        wide = quantised.astype(np.float32)
        stored, asked = trial.stored, trial.asked
        self.nearest = np.empty((len(asked), CANDIDATES), np.int64)
        self.products = np.empty((len(asked), CANDIDATES), np.int64)
        self.peer_nearest = np.empty(len(asked), np.int64)
        self.peer_cosine = np.empty(len(asked), np.float32)
        for start in range(0, len(asked), 512):
            rows = asked[start : start + 512]
            products = wide[rows] @ wide[stored].T
            best = np.argsort(-products, axis=1, kind="stable")[:, :CANDIDATES]
            self.nearest[start : start + 512] = stored[best]
            self.products[start : start + 512] = np.take_along_axis(products, best, 1)
            cosines = vectors[rows] @ vectors[stored].T
            top = cosines.argmax(1)
            self.peer_nearest[start : start + 512] = stored[top]
            self.peer_cosine[start : start + 512] = cosines[np.arange(len(rows)), top]
        self.facts = {row: facts_of(trial.texts[row]) for row in {*asked.tolist(), *self.nearest.ravel().tolist()}}

    def is_right(self, question: int, answer: int) -> bool:
        """Say whether the stored text *answer* serves the text *question*; an out-of-scope question has no answer."""
        label = self.trial.classes[question]
        return bool(label >= 0 and label == self.trial.classes[answer])

    def halves(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Deal questions into two halves, a class going to one half whole; out-of-scope texts go one by one."""
        labels = self.trial.classes[self.trial.asked].copy()
        unlabelled = labels < 0
        labels[unlabelled] = labels.max() + 1 + np.arange(unlabelled.sum())
        names = np.unique(labels)
        first = np.random.default_rng([seed, 1]).permutation(names)[: len(names) // 2]
        chosen = np.isin(labels, first)
        return np.flatnonzero(chosen), np.flatnonzero(~chosen)

    def ours(self, places: np.ndarray, policy: ReusePolicy) -> Outcome:
        """Put the questions at *places* to the decision under *policy*."""
        right = wrong = 0
        for place in places.tolist():
            question = int(self.trial.asked[place])
            candidates = [
                CandidateView(EntryId(row), product, int(self.norms[row]), self.facts[row])
                for row, product in zip(self.nearest[place].tolist(), self.products[place].tolist(), strict=True)
            ]
            decision = decide(QueryView(int(self.norms[question]), self.facts[question]), candidates, policy)
            if isinstance(decision, Accept):
                if self.is_right(question, decision.candidate.entry_id):
                    right += 1
                else:
                    wrong += 1
        return Outcome(len(places), right, wrong)

    def peer(self, places: np.ndarray, threshold: int) -> Outcome:
        """Put the questions at *places* to a static float cosine threshold on the nearest neighbour."""
        hits = [place for place in places.tolist() if self.peer_cosine[place] * 10_000 >= threshold]
        right = sum(self.is_right(int(self.trial.asked[place]), int(self.peer_nearest[place])) for place in hits)
        return Outcome(len(places), right, len(hits) - right)


def policy_at(threshold: int, guards: tuple[str, ...] = DEFAULT_POLICY.guards) -> ReusePolicy:
    """Return the default policy with another threshold."""
    return ReusePolicy(threshold_ten_thousandths=threshold, guards=guards)


def calibrate(bench: Bench, places: np.ndarray) -> int:
    """Choose the threshold whose wrong share has the lowest 95 % upper bound among those that hit often enough."""
    best: tuple[float, int] | None = None
    for threshold in GRID:
        outcome = bench.ours(places, policy_at(threshold))
        if outcome.hit_rate >= CALIBRATION_HIT_RATE_MIN:
            bound = interval(outcome.wrong, outcome.wrong + outcome.right)[1]
            best = min(best or (2.0, 0), (bound, threshold))
            if threshold < 8_500:
                break
    return GRID[-1] if best is None else best[1]


def run(trial: Trial, vectors: np.ndarray, seed: int) -> dict[str, object]:
    """Calibrate on one half, report on the other."""
    bench = Bench(trial, vectors)
    calibration, report = bench.halves(seed)
    threshold = calibrate(bench, calibration)
    ours = bench.ours(report, policy_at(threshold))
    peers = {name: bench.peer(report, default) for name, default in PEERS.items()}
    # Nothing is lower than none: against a peer without a wrong hit, none of ours may be wrong either.
    beaten = {
        name: ours.wrong_share < peer.wrong_share or ours.wrong == peer.wrong == 0
        for name, peer in peers.items()
        if peer.hit_rate >= PEER_HIT_RATE_MIN
    }
    return {
        "set": trial.name,
        "stored": len(trial.stored),
        "asked": len(report),
        "threshold": threshold,
        "ours": ours.to_json(),
        "ours_at_default": bench.ours(report, DEFAULT_POLICY).to_json(),
        "ours_without_guards": bench.ours(report, policy_at(threshold, ())).to_json(),
        "peers": {name: {"threshold": PEERS[name], **peer.to_json()} for name, peer in peers.items()},
        "beaten": beaten,
        "holds": all(beaten.values()) and ours.hit_rate >= HIT_RATE_MIN,
        "speed": speed(trial.texts),
        "curve_ours": [{"threshold": at, **bench.ours(report, policy_at(at)).to_json()} for at in GRID],
        "curve_static": [{"threshold": at, **bench.peer(report, at).to_json()} for at in PEER_GRID],
    }


def contrast(threshold: int) -> dict[str, object]:
    """Put our own contrast pairs to the decision: how many wrong ones are served, and how many harmless ones."""
    from server.embedding.select import load_default_embedder

    pairs = json.loads(CONTRAST.read_text(encoding="utf-8"))
    texts = [text for kind in pairs.values() for pair in kind for text in pair]
    vectors = quantise(load_default_embedder().embed(texts))
    norms = norms_squared(vectors)
    wide = vectors.astype(np.int64)
    counts: dict[str, list[int]] = {}
    row = 0
    for kind, several in pairs.items():
        counts[kind] = [len(several), 0, 0]
        for left, right in several:
            candidate = CandidateView(EntryId(1), int(wide[row] @ wide[row + 1]), int(norms[row + 1]), facts_of(right))
            query = QueryView(int(norms[row]), facts_of(left))
            for place, guards in ((1, ()), (2, DEFAULT_POLICY.guards)):
                counts[kind][place] += isinstance(decide(query, [candidate], policy_at(threshold, guards)), Accept)
            row += 2
    return {"threshold": threshold, "pairs_served_without_guards_served": counts}


def speed(texts: tuple[str, ...]) -> dict[str, float]:
    """Measure the CPU of the guards in microseconds: facts per text, doubts per pair, best of five rounds."""
    sample = texts[:2_000]
    best = {"facts_us": float("inf"), "doubts_us": float("inf")}
    for _ in range(5):
        start = time.process_time()
        taken = [facts_of(text) for text in sample]
        middle = time.process_time()
        for left, right in pairwise(taken):
            doubts(left, right)
        end = time.process_time()
        best["facts_us"] = min(best["facts_us"], (middle - start) / len(sample) * 1e6)
        best["doubts_us"] = min(best["doubts_us"], (end - middle) / len(sample) * 1e6)
    return {name: round(value, 1) for name, value in best.items()}


def markdown(results: list[dict[str, Any]]) -> str:
    """Render the results as the tables of the documentation."""
    lines = ["| set | rule | cosine | hit rate | wrong / hits | wrong per hit [95 %] |", "|---|---|---|---|---|---|"]
    for result in results:
        rows = [
            ("ours, calibrated", result["threshold"], result["ours"]),
            ("ours, shipped default", DEFAULT_POLICY.threshold_ten_thousandths, result["ours_at_default"]),
            ("ours, calibrated, no guards", result["threshold"], result["ours_without_guards"]),
            *((name, peer["threshold"], peer) for name, peer in result["peers"].items()),
        ]
        for name, threshold, row in rows:
            hits = row["right"] + row["wrong"]
            low, high = row["wrong_per_hit_95"]
            lines.append(
                f"| {result['set']} | {name} | {threshold / 10_000:.3f} | {row['hit_rate']:.3f} "
                f"| {row['wrong']} / {hits} | {row['wrong_per_hit']:.4f} [{low:.4f}, {high:.4f}] |"
            )
    lines += ["", "Wrong per hit at equal hit rate (ours / static cosine):", ""]
    rates = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4)
    lines += ["| set | " + " | ".join(f"{rate:.0%} hits" for rate in rates) + " |", "|---" * (len(rates) + 1) + "|"]
    for result in results:
        cells = [
            " / ".join(_at_rate(result[curve], rate) for curve in ("curve_ours", "curve_static")) for rate in rates
        ]
        lines.append(f"| {result['set']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _at_rate(curve: list[dict[str, Any]], rate: float) -> str:
    """Return the wrong share at the strictest threshold that hits at least *rate*."""
    for point in curve:
        if point["hit_rate"] >= rate:
            return f"{point['wrong_per_hit']:.3f}"
    return "–"


def main() -> int:
    """Run the bench; the exit code is 0 exactly when every set holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", default="qqp,clinc,banking,stackfaq")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    results = []
    for name in options.sets.split(","):
        trial = load_trial(name, options.data, options.seed)
        results.append(run(trial, load_vectors(trial, options.work), options.seed))
        print(f"{name}: {'holds' if results[-1]['holds'] else 'DOES NOT HOLD'}", file=sys.stderr)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "quality.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    (options.out / "quality.md").write_text(markdown(results), encoding="utf-8")
    print(markdown(results))
    pairs = [contrast(threshold) for threshold in (8_000, 9_000, DEFAULT_POLICY.threshold_ten_thousandths)]
    (options.out / "contrast.json").write_text(json.dumps(pairs, indent=1), encoding="utf-8")
    for row in pairs:
        print(json.dumps(row))
    for result in results:
        print(result["set"], json.dumps(result["speed"]))
    return 0 if all(result["holds"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
