"""`hitproof quickstart --organisations N`: some months of organisations that share, simulated before the gateway serves.

The simulation is not part of the product: its questions and its moved clock lie in the source tree, under tests/simulation,
and run in a process of their own on the same data folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from crypto.errors import Error
from server.cli.context import say

SOURCE: Final = Path(__file__).resolve().parents[2]
SIMULATION: Final = "tests.simulation"


class SimulationError(Error):
    """The simulation did not come to its end; the message says why."""


def simulate_organisations(data: Path, count: int) -> dict[str, Any]:
    """Simulate *count* organisations on the data folder *data*, or return what an earlier simulation there came to."""
    if not (SOURCE / SIMULATION.replace(".", "/") / "__main__.py").is_file():
        raise SimulationError(
            "the simulation lies in the source tree under tests/simulation, which is not installed here"
        )
    kept = data / "simulation.json"
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return found
    if data.is_dir() and any(data.iterdir()):
        raise SimulationError(f"{data} is in use already; name an empty folder for a simulation: --data FOLDER")
    say(f"SIMULATION: {count} organisations share for some months; every question in it is invented …")
    command = [sys.executable, "-m", SIMULATION, "--data", str(data.resolve()), "--organisations", str(count)]
    done = subprocess.run(command, cwd=SOURCE, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0 or not kept.is_file():
        raise SimulationError("the simulation failed; what it wrote above says why")
    made: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return made
