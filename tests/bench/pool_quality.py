"""Hits of the pool against ε, by simulated organisations on labelled sets: released texts, noised means. Prints Markdown.

    python -m tests.bench.pool_quality --data DATA --work WORK [--sets qqp,banking,stackfaq] [--organisations 300]

Half of a set's topics choose the threshold: the lowest at which at least 99 % of hits are right, at ε = 2, with released
texts. All that is reported comes from the other half, in worlds of its own. A hit is counted only where an organisation's
own earlier questions of the same topic would not have answered. Terms are the defaults of
unit `question` but for ε; three epochs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from privacy.terms import pool_terms
from tests.bench.pool_worlds import Corpus, NumpyNoise, Period, Traffic, caching_embed, load_corpus, read

EPSILONS_MILLI = (500, 1_000, 2_000, 4_000, 8_000)
GRID = tuple(range(7_500, 9_950, 50))
PRECISION = 0.99
#: Fewer hits than this say nothing about a precision of 99 %.
HITS_MIN = 200

Embed: TypeAlias = Callable[[list[str]], np.ndarray]


def calibrate(corpus: Corpus, organisations: int, embed: Embed, seed: int) -> dict[str, Any]:
    """Choose a set's threshold on the half of its topics that nothing is reported from."""
    development, _ = corpus.halves(seed)
    period = Period(corpus, development, traffic_of(corpus, organisations), embed, seed)
    readings = read(period, period.run(pool_terms(unit="question"), NumpyNoise(seed)), by_mean=False)
    curve = [(at, *readings.at(at)) for at in GRID]
    passing = [at for at, _, precision, hits in curve if precision >= PRECISION and hits >= HITS_MIN]
    chosen = min(
        (at for at in passing if all(at2 in passing for at2 in GRID if at < at2 <= max(passing))), default=None
    )
    return {"set": corpus.name, "topics": len(development), "threshold": chosen, "curve": curve}


def report(corpus: Corpus, organisations: int, threshold: int, embed: Embed, seed: int) -> list[dict[str, Any]]:
    """Measure on the other half, at every ε and with both vector sources."""
    _, topics = corpus.halves(seed)
    traffic = traffic_of(corpus, organisations)
    period = Period(corpus, topics, traffic, embed, seed + 1)
    rows: list[dict[str, Any]] = []
    for epsilon in EPSILONS_MILLI:
        for source in ("released_text", "dp_mean"):
            terms = pool_terms(unit="question", epsilon_micro=epsilon * 1000, vector_source=source)
            released = period.run(terms, NumpyNoise(seed + epsilon))
            found = read(period, released, by_mean=source == "dp_mean")
            rate, precision, hits = found.at(threshold)
            row = {"set": corpus.name, "organisations": organisations, "topics": len(topics), "source": source}
            row |= {"epsilon_milli": epsilon, "votes": terms.threshold, "released": len(released.texts)}
            row |= {"means": released.means, "hit_rate": rate, "precision": precision, "hits": hits}
            rows.append(row | {"own": found.own_share, "cosine": threshold})
    return rows


def traffic_of(corpus: Corpus, organisations: int) -> Traffic:
    """Return the traffic: 40 questions an epoch, and 10 where a set has so few topics that 40 would ask them all."""
    return Traffic(organisations, questions=40 if len(corpus.topics) > 1_000 else 10)


def markdown(found: dict[str, Any]) -> str:
    """Return the tables of the documentation."""
    lines = ["| set | topics to choose on | cosine for 99 % | hits there | precision there |", "|---|---|---|---|---|"]
    for one in found["calibration"]:
        place = next(point for point in one["curve"] if point[0] == (one["threshold"] or GRID[-1]))
        label = "none" if one["threshold"] is None else f"{one['threshold'] / 10_000:.3f}"
        lines.append(f"| {one['set']} | {one['topics']} | {label} | {place[1]:.4f} | {place[2]:.4f} |")
    lines += [
        "",
        f"At the highest of them, {found['threshold'] / 10_000:.3f}, on the other topics:",
        "",
        "| set, organisations | ε | T | released: texts (means) | hits: text / mean | precision: text / mean |",
        "|---|---|---|---|---|---|",
    ]
    rows = found["rows"]
    for text, mean in zip(rows[::2], rows[1::2], strict=True):
        lines.append(
            f"| {text['set']}, {text['organisations']} | {text['epsilon_milli'] / 1000:g} | {text['votes']} "
            f"| {text['released']} ({mean['means']}) | {text['hit_rate']:.4f} / {mean['hit_rate']:.4f} "
            f"| {text['precision']:.4f} / {mean['precision']:.4f} |"
        )
    return "\n".join(lines)


def measure(data: Path, work: Path, sets: list[str], organisations: list[int], seed: int) -> dict[str, Any]:
    """Choose a threshold per set, and report every set and number of organisations at the highest of them."""
    embed = caching_embed()
    corpora = [load_corpus(name, data, work) for name in sets]
    chosen = [calibrate(corpus, max(organisations), embed, seed) for corpus in corpora]
    threshold = max(one["threshold"] or GRID[-1] for one in chosen)
    rows = [
        row for corpus in corpora for count in organisations for row in report(corpus, count, threshold, embed, seed)
    ]
    return {"threshold": threshold, "calibration": chosen, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sets", default="qqp,banking,stackfaq")
    parser.add_argument("--organisations", default="60,300,1000")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    counts = [int(count) for count in options.organisations.split(",")]
    results = measure(options.data, options.work, options.sets.split(","), counts, options.seed)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(markdown(results))


if __name__ == "__main__":
    main()
