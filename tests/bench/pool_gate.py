"""What the gate of the pool lets through and what it refuses: real questions, random suffixes, searched hubs.

    python -m tests.bench.pool_gate --data DATA [--sets qqp,clinc,banking,stackfaq] [--hubs]

DATA is the folder that `tests/bench/quality.py` takes. Seeds are fixed.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from pathlib import Path

import numpy as np

from privacy.gate import refuse
from privacy.gibberish import is_gibberish
from privacy.hubness import is_hub, measure_crowd
from privacy.letters import COMMON_WORDS
from privacy.text import visible
from tests.bench.quality_sets import load_trial
from tests.suffixes import SUFFIXES

TOKENS = (3, 5, 8, 10, 12, 15, 20)
ATTACKS = 1_500
REFERENCES, HUBS, STEPS, TRIES, HUB_WORDS = 1_500, 6, 60, 24, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default="qqp,clinc,banking,stackfaq")
    parser.add_argument("--hubs", action="store_true")
    arguments = parser.parse_args()
    sets = {name: list(load_trial(name, arguments.data, seed=1).texts) for name in arguments.sets.split(",")}
    for name, texts in sets.items():
        print_passed(name, texts)
    texts = next(iter(sets.values()))
    print_suffixes(texts)
    if arguments.hubs:
        print_hubs(texts)


def print_passed(name: str, texts: list[str]) -> None:
    started = time.perf_counter()
    reasons = Counter(refuse(text) for text in texts)
    each_us = 1e6 * (time.perf_counter() - started) / len(texts)
    readable = sum(not is_gibberish(visible(text)) for text in texts)
    passed = reasons.pop(None, 0)
    refused = ", ".join(f"{reason} {100 * count / len(texts):.2f}" for reason, count in reasons.most_common())
    print(
        f"{name}: {len(texts)} texts, passed {100 * passed / len(texts):.2f} %, not gibberish "
        f"{100 * readable / len(texts):.2f} %, {each_us:.0f} us each; refused in %: {refused}"
    )


def print_suffixes(texts: list[str]) -> None:
    chance = random.Random(3)
    print("suffix", *TOKENS, sep="\t")
    for kind, make in SUFFIXES.items():
        shares = [
            sum(is_gibberish(visible(f"{chance.choice(texts)} {make(chance, tokens)}")) for _ in range(ATTACKS))
            / ATTACKS
            for tokens in TOKENS
        ]
        print(kind, *(f"{100 * share:.1f}" for share in shares), sep="\t")


def print_hubs(texts: list[str]) -> None:
    """Search greedily for texts near to everything, and say which of them the hub test and the gate refuse."""
    from server.embedding.select import load_default_embedder

    embedder = load_default_embedder()
    chance = random.Random(1)
    chosen = chance.sample(texts, 2 * REFERENCES)
    references, others = (np.asarray(embedder.embed(part)) for part in (chosen[:REFERENCES], chosen[REFERENCES:]))
    crowd = measure_crowd(references)
    refused = [is_hub(row @ references.T, crowd) for row in others]
    highest = max((float((row @ references.T).mean()) - crowd.mean) / crowd.deviation for row in others)
    print(f"questions taken for hubs: {sum(refused)} of {len(others)}; furthest {highest:.2f} deviations")
    words = sorted(COMMON_WORDS)
    for _ in range(HUBS):
        best, score = chance.choices(words, k=HUB_WORDS), -1.0
        for _ in range(STEPS):
            tries = []
            for _ in range(TRIES):
                changed = list(best)
                changed[chance.randrange(HUB_WORDS)] = chance.choice(words)
                tries.append(changed)
            means = (np.asarray(embedder.embed([" ".join(row) for row in tries])) @ references.T).mean(1)
            if means.max() > score:
                best, score = tries[int(means.argmax())], float(means.max())
        row = np.asarray(embedder.embed([" ".join(best)]))[0] @ references.T
        deviations = (float(row.mean()) - crowd.mean) / crowd.deviation
        print(f"hub at {deviations:.2f} deviations: refused {is_hub(row, crowd)}, by the gate {refuse(' '.join(best))}")


if __name__ == "__main__":
    main()
