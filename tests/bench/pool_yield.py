"""What a pool yields by organisations and ε: the simulation of `hitproof privacy simulate` over a grid. Prints Markdown.

    python -m tests.bench.pool_yield [--json FILE]

SIMULATION of synthetic traffic: nothing here was asked by anybody.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from privacy.terms import pool_terms
from privacy.yield_simulation import Traffic, simulate

ORGANISATIONS = (50, 100, 200, 500, 1_000, 2_000)
QUESTION_EPSILONS_MILLI = (500, 1_000, 2_000, 4_000, 8_000)
ORGANISATION_EPSILONS_MILLI = (4_000, 8_000)
#: The organisations that are there, and no more, so that small pools show what they would give.
MIN = 2


def measure(seed: int) -> list[dict[str, Any]]:
    """Return rows: unit, ε, organisations, and the shares of questions answered."""
    rows = []
    for unit, epsilons in (("question", QUESTION_EPSILONS_MILLI), ("organisation", ORGANISATION_EPSILONS_MILLI)):
        for epsilon in epsilons:
            terms = pool_terms(unit=unit, epsilon_micro=epsilon * 1000, organisations_min=MIN)
            for count in ORGANISATIONS:
                found = simulate(Traffic(count), terms, seed)
                row = {"unit": unit, "epsilon_milli": epsilon, "threshold": terms.threshold, "organisations": count}
                rows.append({**row, "own": found.own, "incremental": found.incremental, "newcomer": found.newcomer})
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the table of the documentation."""
    lines = ["| unit | ε | T | " + " | ".join(f"{count:,}" for count in ORGANISATIONS) + " |"]
    lines.append("|---" * (3 + len(ORGANISATIONS)) + "|")
    for start in range(0, len(rows), len(ORGANISATIONS)):
        part = rows[start : start + len(ORGANISATIONS)]
        cells = " | ".join(f"{row['incremental']:.4f}" for row in part)
        head = part[0]
        lines.append(f"| {head['unit']} | {head['epsilon_milli'] / 1000:g} | {head['threshold']} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = measure(options.seed)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(markdown(rows))


if __name__ == "__main__":
    main()
