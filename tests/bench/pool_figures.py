"""All figures of docs/privacy.md by one command: measures, draws the plots, writes the table that the product ships.

    python -m tests.bench.pool_figures --data DATA [--work FOLDER] [--redraw]

DATA holds the labelled sets (tests/bench/quality_sets.py), FOLDER keeps embeddings and results (the temporary folder
where none is named); `--redraw` takes the results kept there instead of measuring again, about ten minutes. Writes
docs/images/pool-*.svg and privacy/measured.json, and prints the tables of docs/privacy.md as Markdown.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import pool_frontier, pool_quality, pool_yield
from tests.bench.svg_plot import Line, Plot, draw

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
MEASURED = ROOT / "privacy" / "measured.json"
SETS, ORGANISATIONS, SEED, ENTRIES = ["qqp", "banking", "stackfaq"], [60, 300, 1_000], 7, 10_000


def quality_plot(found: dict[str, Any]) -> Plot:
    """Hits against ε, one line for each set and number of organisations, where it is not nothing."""
    series: dict[str, list[tuple[float, float]]] = {}
    for row in found["rows"]:
        if row["source"] == "released_text":
            name = f"{row['set']}, {row['organisations']:,} organisations"
            series.setdefault(name, []).append((row["epsilon_milli"] / 1000, row["hit_rate"]))
    lines = [Line(name, points) for name, points in series.items() if max(y for _, y in points) >= 0.05]
    return Plot(
        f"Pooled: hits that only the pool gives, at cosine {found['threshold'] / 10_000:.3f}",
        "ε for one question and period (δ = 10⁻⁸)",
        "share of questions",
        lines,
        upright=((2.0, "default"),),
    )


def frontier_plot(found: dict[str, Any]) -> Plot:
    """Recall of single noised entries, with what no mechanism can pass. Raises where a measurement passes it."""
    rows, entries = found["noised"], found["entries"]
    for row in rows:
        for name, k in (("found", 1), ("top_10", 10), ("top_50", 50), ("top_100", 100)):
            reachable = bound(row["epsilon_milli"] / 1000, k, entries)
            if row[name] > reachable + 3 * math.sqrt(reachable * (1 - reachable) / found["asked"]) + 0.005:
                raise SystemExit(f"{name} at ε = {row['epsilon_milli']}e-3 passes the bound: the measurement is wrong")
    lines = [
        Line("in the first 50 found", [(row["epsilon_milli"] / 1000, row["top_50"]) for row in rows]),
        Line("first of all found", [(row["epsilon_milli"] / 1000, row["found"]) for row in rows]),
        Line("hit (50, then its alias)", [(row["epsilon_milli"] / 1000, row["hit_rate"]) for row in rows]),
        Line("question re-identified", [(row["epsilon_milli"] / 1000, row["reidentified"]) for row in rows]),
        *(
            Line(
                f"no mechanism beyond: first {k}",
                [(row["epsilon_milli"] / 1000, bound(row["epsilon_milli"] / 1000, k, entries)) for row in rows],
                dashed=True,
            )
            for k in (1, 50)
        ),
    ]
    return Plot(
        f"Noised: one of {entries:,} entries, found and re-identified",
        "ε of one entry (δ = 10⁻⁶)",
        "share of questions with a match",
        lines,
        upright=((8.0, "cap"), (found["least_epsilon_99"], "bound at precision .99")),
    )


def bound(epsilon: float, k: int, entries: int) -> float:
    """Return the most that recall among the first *k* can be: k·e^ε / N (δ apart), which is `privacy.bounds` turned."""
    return min(1.0, k / entries * math.exp(min(epsilon, 50.0)))


def yield_plot(rows: list[dict[str, Any]]) -> Plot:
    """Simulated incremental hits against organisations."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        name = f"unit {row['unit']}, ε = {row['epsilon_milli'] / 1000:g}"
        lines.setdefault(name, []).append((row["organisations"], row["incremental"]))
    return Plot(
        "SIMULATION: hits beyond an organisation's own cache",
        "organisations",
        "share of all questions",
        [Line(name, points, dashed=name.startswith("unit organisation")) for name, points in lines.items()],
        up_max=0.5,
        upright=((50.0, "least"),),
    )


def measured(found: dict[str, Any]) -> dict[str, Any]:
    """Return the form of `privacy.measured`."""
    names = ("epsilon_milli", "dictionary", "reidentified", "found", "top_50", "hit_rate", "precision")
    rows = [{name: _short(row[name]) for name in names} for row in found["noised"]]
    means = [{name: _short(value) for name, value in row.items()} for row in found["dp_mean"]]
    return {"measured_by": "python -m tests.bench.pool_figures", "reidentification": rows, "dp_mean": means}


def _short(value: float) -> float:
    return round(value, 4)


def kept(path: Path, redraw: bool, make: Callable[[], Any]) -> Any:
    """Return what *path* keeps when only drawing, else measure and keep it."""
    if not (redraw and path.exists()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(make(), indent=1), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "hitproof-pool-figures")
    parser.add_argument("--redraw", action="store_true")
    options = parser.parse_args()
    data, work, redraw = options.data, options.work, options.redraw
    quality = kept(work / "quality.json", redraw, lambda: pool_quality.measure(data, work, SETS, ORGANISATIONS, SEED))
    frontier = kept(
        work / "frontier.json",
        redraw,
        lambda: pool_frontier.measure(data, work, quality["threshold"], ENTRIES, SEED),
    )
    simulated = kept(work / "yield.json", redraw, lambda: pool_yield.measure(SEED))
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, plot in (
        ("pool-quality", quality_plot(quality)),
        ("pool-frontier", frontier_plot(frontier)),
        ("pool-yield", yield_plot(simulated)),
    ):
        (IMAGES / f"{name}.svg").write_text(draw(plot), encoding="utf-8")
    MEASURED.write_text(json.dumps(measured(frontier), indent=1) + "\n", encoding="utf-8")
    for table in (pool_quality.markdown(quality), pool_frontier.markdown(frontier), pool_yield.markdown(simulated)):
        print(table, end="\n\n")


if __name__ == "__main__":
    main()
