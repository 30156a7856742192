"""How the log's own thread reaches the database: one function at a time, in a transaction or outside of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from server.store.database import Database

Result = TypeVar("Result")


class Transactions(Protocol):
    """Runs functions of a connection and waits for them."""

    def read(self, run: Callable[[Connection], Result]) -> Result:
        """Run *run* outside any transaction."""
        ...

    def write(self, run: Callable[[Connection], Result]) -> Result:
        """Run *run* in a transaction; what it did is durable when this returns."""
        ...


class DirectTransactions:
    """`Transactions` on the calling thread, for the command line: each has a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, run: Callable[[Connection], Result]) -> Result:
        """Run *run* now."""
        return self._database.read_now(run)

    def write(self, run: Callable[[Connection], Result]) -> Result:
        """Run *run* now."""
        return self._database.write_now(run)


class QueuedTransactions:
    """`Transactions` through the queues of a serving process, whose group commit takes turns; not for its event loop."""

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self._database = database
        self._loop = loop

    def read(self, run: Callable[[Connection], Result]) -> Result:
        """Queue *run* among the reads."""
        return asyncio.run_coroutine_threadsafe(self._database.read(run), self._loop).result()

    def write(self, run: Callable[[Connection], Result]) -> Result:
        """Queue *run* for the next commit."""
        return asyncio.run_coroutine_threadsafe(self._database.write(run), self._loop).result()
