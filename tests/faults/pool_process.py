"""Gateways that release an epoch and may be killed; a line of JSON says on which folder, at what time, and where to die.

Each is forked from here, so that a start costs milliseconds. Every draw of noise goes out on a line, before there is
anything to show for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from server.pool.release import PoolReleaser
from server.pool.writer import ReleaseWriter
from server.store.ledger import LedgerRepository
from server.store.vote_keys import VoteKeyRepository
from tests.faults.forking import fork_for_each_line
from tests.faults.log_process import Killer
from tests.pool_houses import KnownNoise, pool_house


class ToldNoise(KnownNoise):
    """Says on standard output that it was drawn, and may be where the process ends."""

    def __init__(self, killer: Killer) -> None:
        super().__init__()
        self._killer = killer

    def laplace(self, count: int, epsilon_micro: int) -> list[int]:
        self._killer.at("draw")
        print(json.dumps({"drawn": count}), flush=True)
        found = super().laplace(count, epsilon_micro)
        self._killer.at("drawn")
        return found

    def gaussian(self, count: int, sigma_squared: Fraction) -> list[int]:
        raise AssertionError("this pool makes no means")


def arm(killer: Killer) -> None:
    """Put the points where a process may die into the product's own steps."""
    LedgerRepository.spend = behind(LedgerRepository.spend, killer, "pay")  # type: ignore[method-assign]
    ReleaseWriter.begin = behind(ReleaseWriter.begin, killer, "begin commit")  # type: ignore[method-assign]
    ReleaseWriter.persist = behind(ReleaseWriter.persist, killer, "written")  # type: ignore[method-assign]
    ReleaseWriter.void = behind(ReleaseWriter.void, killer, "void commit")  # type: ignore[method-assign]
    VoteKeyRepository.destroy = behind(VoteKeyRepository.destroy, killer, "out commit")  # type: ignore[method-assign]
    draw, finish = PoolReleaser._draw, PoolReleaser._draw_and_persist

    def drawing(self: PoolReleaser, *arguments: Any) -> Any:
        killer.at("begun")
        return draw(self, *arguments)

    async def finishing(self: PoolReleaser, *arguments: Any) -> Any:
        ended = await finish(self, *arguments)
        killer.at("out")
        return ended

    PoolReleaser._draw = drawing  # type: ignore[method-assign]
    PoolReleaser._draw_and_persist = finishing  # type: ignore[method-assign]


def behind(method: Callable[..., Any], killer: Killer, name: str) -> Callable[..., Any]:
    """Return *method* with the point *name* behind it."""

    def called(*arguments: Any, **options: Any) -> Any:
        found = method(*arguments, **options)
        killer.at(name)
        return found

    return called


async def serve(folder: Path, now_ms: int, noise: ToldNoise) -> None:
    """Start a gateway, which does at once what is due, and end it in order."""
    async with pool_house(folder, now_ms=now_ms, noise=noise):
        pass


def work(asked: dict[str, Any]) -> None:
    """Start a gateway as *asked*, to be killed where it says."""
    killer = Killer(asked["crash"], asked["passing"])
    arm(killer)
    asyncio.run(serve(Path(asked["folder"]), asked["now_ms"], ToldNoise(killer)))


if __name__ == "__main__":
    fork_for_each_line(work)
