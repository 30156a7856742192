"""Run the simulation on an empty data folder: `python -m tests.simulation --data FOLDER --organisations 60`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
from pathlib import Path

import structlog

from server.clock import SystemClock
from server.telemetry import configure_logging
from tests.simulation.organisations import simulate


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--organisations", type=int, default=60)
    arguments.add_argument("--seed", type=int, default=20261124)
    given = arguments.parse_args()
    configure_logging("console")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    told = asyncio.run(simulate(given.data, given.organisations, given.seed, real_now_ms=SystemClock().now_ms()))
    (given.data / "simulation.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
