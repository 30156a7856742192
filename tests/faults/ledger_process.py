"""Processes that pay for releases and may be killed; a line of JSON says on which database, how often, and where to die.

Each child is forked from here, declares void what the one before left unfinished, and goes on. Every draw of noise goes out
on a line, before there is anything to show for it.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection

from server.store.database import Database
from server.store.errors import BudgetExhausted
from server.store.pool import PoolRepository
from server.store.pool_records import StoredRelease
from tests.faults.forking import fork_for_each_line
from tests.faults.log_process import Killer
from tests.ledger_worlds import begin, finish, spend

VOTERS = 3
#: How many releases one period's budget holds (`tests.ledger_worlds.BUDGET`).
PER_PERIOD = 3


def release_until_stopped(url: str, rounds: int, crash: str, passing: int) -> None:
    """Void what was left, then pay for *rounds* releases and bring them out; die at the operation named *crash*."""
    killer = Killer(crash, passing)
    database = Database(url)
    left = database.read_now(lambda c: PoolRepository(c).find_spending())
    if left is not None:
        run(database, killer, "void", lambda c: finish(c, left, void=True))
    for _ in range(rounds):
        found = run(database, killer, "pay", lambda c: pay(c, killer))
        killer.at("draw")
        print(json.dumps({"drawn": found.number}), flush=True)
        killer.at("drawn")
        run(database, killer, "out", lambda c, found=found: finish(c, found, holder="child"))
    database.close()


def run(database: Database, killer: Killer, name: str, work: Any) -> Any:
    """One transaction that reports that it is about to commit, and that it has."""

    def report(connection: Connection) -> Any:
        found = work(connection)
        killer.at(f"{name} commit")
        return found

    done = database.write_now(report)
    killer.at(f"{name} committed")
    return done


def pay(connection: Connection, killer: Killer) -> StoredRelease:
    """Begin a release and let everybody pay for it, in the first period that still holds it."""
    newest = PoolRepository(connection).latest()
    found = begin(connection, epoch=0 if newest is None else newest.epoch + 1, holder="child")
    for voter in range(VOTERS):
        killer.at("pay")
        for in_period in range(found.number // PER_PERIOD + 1):
            try:
                spend(connection, voter, release=found.number, in_period=in_period)
                break
            except BudgetExhausted:
                continue
    return found


if __name__ == "__main__":
    fork_for_each_line(lambda asked: release_until_stopped(**asked))
