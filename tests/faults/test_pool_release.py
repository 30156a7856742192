"""kill -9 in the middle of a release: it comes out whole or is void, is paid for each time, and is never drawn twice."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crypto.release import parse_release
from crypto.spending import parse_spending
from server.store.database import Database, sqlite_url
from server.store.ledger import LedgerRepository
from server.store.platform import PlatformRepository
from server.store.pool import PoolRepository
from server.store.pool_items import PoolItemRepository
from server.store.vote_keys import VoteKeyRepository
from server.store.votes import VoteRepository
from tests.ledger_worlds import check_releases
from tests.pool_houses import EPOCH_S, QUESTION, START_MS, PoolHouse, pool_house

ROOT = Path(__file__).parents[2]
TENANTS = 12
EPOCH = START_MS // (EPOCH_S * 1000)
CLOSED_MS = START_MS + EPOCH_S * 1000
#: Longer than a release may be held by a process that is heard of no more.
LATER_MS = 16 * 60_000

#: Where a process dies, how often it passes there before, and whether it had paid, and come out.
CRASHES = (
    ("pay", 0, False, False),
    ("pay", 11, False, False),
    ("begin commit", 0, False, False),
    ("begun", 0, True, False),
    ("draw", 0, True, False),
    ("drawn", 0, True, False),
    ("written", 0, True, False),
    ("out commit", 0, True, False),
    ("out", 0, True, True),
)


class Gateways:
    """The processes of tests/faults/pool_process.py."""

    def __init__(self, folder: Path, log: Path) -> None:
        self._folder, self._log = folder, log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.pool_process"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def run(self, now_ms: int, crash: str = "never", passing: int = 0) -> tuple[int, int]:
        """Let one start at *now_ms* and perhaps die; return its exit code and how often it drew."""
        assert self._process.stdin is not None and self._process.stdout is not None
        asked = {"folder": str(self._folder), "now_ms": now_ms, "crash": crash, "passing": passing}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        draws = 0
        while "code" not in (told := _read(self._process.stdout.readline())):
            draws += "drawn" in told
        assert told["code"] in (0, -9), self._log.read_text()[-3000:]
        return told["code"], draws

    def close(self) -> None:
        self._process.communicate(timeout=60)


def _read(line: str) -> dict[str, Any]:
    # Log lines of the gateway go to the same place; what is ours is JSON.
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a data folder in whose epoch eleven of twelve organisations asked one question."""

    async def fill() -> None:
        async with pool_house(tmp_path / "house", tenants=TENANTS) as house:
            await house.ask(QUESTION, range(11))
            assert house.votes_of(EPOCH) == 11
            await _settle(house)

    asyncio.run(fill())
    return tmp_path / "house"


async def _settle(house: PoolHouse) -> None:
    await house.gateway.settle()


@pytest.fixture
def gateways(folder: Path, tmp_path: Path) -> Iterator[Gateways]:
    found = Gateways(folder, tmp_path / "errors.log")
    yield found
    found.close()


@pytest.mark.parametrize(("crash", "passing", "paid", "is_out"), CRASHES)
def test_a_release_that_was_killed_comes_out_whole_or_is_void_and_is_paid_for_each_time(
    folder: Path, gateways: Gateways, crash: str, passing: int, paid: bool, is_out: bool
) -> None:
    code, drawn = gateways.run(CLOSED_MS, crash, passing)
    assert code == -9
    before = look(folder)
    assert before["states"] == (["released"] if is_out else ["spending"] if paid else [])
    assert before["spendings"] == (TENANTS if paid else 0)
    assert before["votes"] == (0 if is_out else 11) and before["has_key"] is not is_out
    assert before["items"] == (1 if is_out else 0)

    _, drawn_soon = gateways.run(CLOSED_MS + 1000)
    if paid and not is_out:
        # Whoever paid may still live: nobody else draws, and nobody pays, for a while.
        assert drawn_soon == 0 and look(folder)["states"] == ["spending"]
    _, drawn_later = gateways.run(CLOSED_MS + LATER_MS)
    after = look(folder)
    expected = ["released"] if is_out or not paid else ["void", "released"]
    assert after["states"] == expected
    assert after["spendings"] == TENANTS * len(expected)
    assert (after["votes"], after["has_key"], after["items"], after["epoch"]) == (0, False, 1, "released")
    # Each payment was drawn on once at most, and the one that came out exactly once.
    assert drawn + drawn_soon + drawn_later <= len(expected)
    assert gateways.run(CLOSED_MS + 2 * LATER_MS)[1] == 0


def test_a_process_killed_while_it_voids_leaves_that_to_the_next(folder: Path, gateways: Gateways) -> None:
    assert gateways.run(CLOSED_MS, "drawn")[0] == -9
    assert gateways.run(CLOSED_MS + LATER_MS, "void commit")[0] == -9
    assert look(folder)["states"] == ["spending"]
    assert gateways.run(CLOSED_MS + 2 * LATER_MS)[0] == 0
    assert look(folder)["states"] == ["void", "released"]


def look(folder: Path) -> dict[str, Any]:
    """Say what stands in the database, and hold the ledger and the releases to what an auditor would."""
    database = Database(sqlite_url(folder / "hitproof.db"))
    try:
        return database.read_now(_look)
    finally:
        database.close()


def _look(connection: Any) -> dict[str, Any]:
    pool, votes = PoolRepository(connection), VoteRepository(connection)
    check_releases(connection)
    releases = pool.list_releases()[::-1]
    for row in releases:
        if row.document is not None:
            assert parse_release(row.document.encode()).organisations == TENANTS
    epoch = pool.find_epoch(EPOCH, "pooled")
    items = PoolItemRepository(connection)
    return {
        "states": [row.state for row in releases],
        "spendings": sum(_count_spendings(connection)),
        "votes": votes.count(EPOCH),
        "has_key": VoteKeyRepository(connection).get(EPOCH) is not None,
        "items": sum(items.count_by_state("pooled").values()),
        "epoch": None if epoch is None else epoch.state,
    }


def _count_spendings(connection: Any) -> Iterator[int]:
    ledger = LedgerRepository(connection)
    for organisation in PlatformRepository(connection).list_organisations():
        rows = ledger.list_spendings(organisation.id)
        previous = None
        for number, row in enumerate(rows, start=1):
            spending = parse_spending(row.document.encode())
            assert (spending.number, spending.previous) == (number, previous)
            previous = row.digest
        yield len(rows)
