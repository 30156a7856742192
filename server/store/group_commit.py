"""Run a batch of writes under one transaction, so that one sync to disk serves them all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

from sqlalchemy import Connection, text

from server.store.faults import is_databases_own, translate

Result = TypeVar("Result")

#: The advisory lock that stands for "I am writing" on PostgreSQL; any number will do, but always the same.
WRITE_LOCK: Final = 0x6869_7470_726F_6F66


@dataclass(frozen=True, slots=True)
class Write(Generic[Result]):
    """One queued write, and where its result goes."""

    run: Callable[[Connection], Result]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Result]


#: A write, its result, and what it raised instead.
Outcome: TypeAlias = tuple[Write[Any], Any, BaseException | None]


def run_batch(connection: Connection, batch: list[Write[Any]]) -> list[Outcome]:
    """Run *batch* and commit; raises, with nothing committed, when the database itself failed.

    A write that raises is rolled back alone. One that is alone needs no savepoint: the transaction is one.
    """
    with connection.begin() as transaction:
        take_turn(connection)
        if len(batch) == 1:
            outcomes = [_attempt(connection, batch[0])]
            if outcomes[0][2] is not None:
                transaction.rollback()
            return outcomes
        # Straight to the driver: a savepoint through SQLAlchemy costs as much as the write that it guards.
        cursor = connection.connection.cursor()
        outcomes = []
        for write in batch:
            cursor.execute("SAVEPOINT one_write")
            outcome = _attempt(connection, write)
            if outcome[2] is not None:
                cursor.execute("ROLLBACK TO SAVEPOINT one_write")
            cursor.execute("RELEASE SAVEPOINT one_write")
            outcomes.append(outcome)
        cursor.close()
    return outcomes


def take_turn(connection: Connection) -> None:
    """Let one process write at a time, so that feed and audit rows become visible in the order of their numbers.

    SQLite does so by itself (BEGIN IMMEDIATE).
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITE_LOCK})


def deliver(outcomes: list[Outcome]) -> None:
    """Hand each outcome to the loop whose caller waits for it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
    for outcome in outcomes:
        by_loop.setdefault(outcome[0].loop, []).append(outcome)
    for loop, group in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed while its write was being made durable
            loop.call_soon_threadsafe(_settle, group)


def _attempt(connection: Connection, write: Write[Any]) -> Outcome:
    try:
        return write, write.run(connection), None
    except Exception as error:
        if is_databases_own(error):
            raise
        return write, None, translate(error)


def _settle(outcomes: list[Outcome]) -> None:
    for write, result, error in outcomes:
        if write.future.done():
            continue
        if error is None:
            write.future.set_result(result)
        else:
            write.future.set_exception(error)
