"""kill -9 in the middle of paying for a release: nothing of it stands or all of it does, and nothing is drawn twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.store.database import Database, sqlite_url
from server.store.ledger import LedgerRepository
from server.store.migrate import upgrade
from server.store.pool import PoolRepository
from tests.faults.ledger_process import VOTERS
from tests.ledger_worlds import LedgerWorld, check_ledger, check_releases, finish

ROOT = Path(__file__).parents[2]

#: Where a process dies, and how often it passes there before.
CRASHES = (
    ("pay", 0),
    ("pay", 1),
    ("pay", 5),
    ("pay commit", 0),
    ("pay commit", 1),
    ("pay committed", 0),
    ("draw", 1),
    ("drawn", 0),
    ("out commit", 0),
    ("out commit", 1),
    ("out committed", 0),
    ("pay committed", 1),
    ("void commit", 0),
    ("void committed", 0),
)


class Payers:
    """The processes of tests/faults/ledger_process.py."""

    def __init__(self, url: str, log: Path) -> None:
        self._url, self._log = url, log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.ledger_process"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def run(self, rounds: int, crash: str = "never", passing: int = 0) -> tuple[int, list[int]]:
        """Let one live and perhaps die; return its exit code and the releases whose noise it drew."""
        assert self._process.stdin is not None and self._process.stdout is not None
        asked = {"url": self._url, "rounds": rounds, "crash": crash, "passing": passing}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        drawn: list[int] = []
        while "code" not in (told := json.loads(self._process.stdout.readline())):
            drawn.append(told["drawn"])
        assert told["code"] in (0, -9), self._log.read_text()[-2000:]
        return told["code"], drawn

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LedgerWorld]:
    database = Database(sqlite_url(tmp_path / "store.db"))
    upgrade(database.engine)
    yield LedgerWorld(database, tmp_path / "log-key", VOTERS).prepare()
    database.close()


@pytest.fixture
def payers(tmp_path: Path) -> Iterator[Payers]:
    found = Payers(sqlite_url(tmp_path / "store.db"), tmp_path / "errors")
    yield found
    found.close()


def test_a_killed_payment_leaves_all_or_nothing_and_no_noise_is_drawn_twice(world: LedgerWorld, payers: Payers) -> None:
    """One ledger through all crash points, each met by a real kill -9; whoever comes next declares void what was left."""
    drawn: list[int] = []
    kills = 0
    for crash, passing in CRASHES:
        before = world.run(lambda c: check_ledger(c, range(VOTERS)))
        code, numbers = payers.run(3, crash, passing)
        kills += code == -9
        drawn += numbers
        after = world.run(lambda c: check_ledger(c, range(VOTERS)))
        assert (after - before) % VOTERS == 0, "some paid for a release that others did not"
        world.run(check_releases)
        paid = world.run(lambda c: {row.number for row in PoolRepository(c).list_releases(limit=1_000)})
        assert set(numbers) <= paid, "noise was drawn that nobody had paid for"
    assert kills == len(CRASHES)
    assert len(drawn) == len(set(drawn)), "noise was drawn twice on one payment"
    states = {row.number: row.state for row in world.run(lambda c: PoolRepository(c).list_releases(limit=1_000))}
    left = [number for number, state in states.items() if state == "spending"]
    assert left in ([], [max(states)])
    assert "void" in states.values() and "released" in states.values()
    counts = [world.run(lambda c, n=n: LedgerRepository(c).count_of_release(n)) for n in states]
    assert set(counts) == {VOTERS}, "void or not, every release that is there was paid for by all"


def test_what_was_paid_for_and_drawn_and_lost_is_void_and_paid_anew(world: LedgerWorld, payers: Payers) -> None:
    code, drawn = payers.run(1, "drawn")
    assert (code, drawn) == (-9, [1])
    left = world.run(lambda c: PoolRepository(c).find_spending())
    assert left is not None
    world.run(lambda c: finish(c, left, void=True))
    code, drawn = payers.run(1)
    assert (code, drawn) == (0, [2])
    assert world.run(lambda c: check_ledger(c, range(VOTERS))) == 2 * VOTERS
    assert [row.state for row in world.run(lambda c: PoolRepository(c).list_releases())] == ["released", "void"]
