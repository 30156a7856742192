"""The database behind a small thread pool: many readers, one writer that commits for many.

The event loop never waits on SQL. Reads run on a few threads that keep their connections; writes queue up for one
thread, which runs whatever queued under one transaction, each write under its own savepoint, and commits once (group
commit). A write's caller hears back only after that commit, so what was acknowledged is durable: SQLite runs with
WAL and synchronous=FULL.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from server.store.engines import open_engine as open_engine
from server.store.engines import sqlite_url as sqlite_url
from server.store.errors import StoreBusy, StoreUnavailable
from server.store.faults import is_connection_lost, is_disk_failure, translate, translated
from server.store.group_commit import Write, deliver, run_batch, take_turn

Result = TypeVar("Result")

WRITES_PER_COMMIT_MAX: Final = 256
WRITE_QUEUE_MAX: Final = 4096
READER_THREADS: Final = 2


class Database:
    """Runs functions of a connection: `read` on a reader thread, `write` in the group commit."""

    def __init__(
        self,
        url: str,
        *,
        reader_threads: int = READER_THREADS,
        write_queue_max: int = WRITE_QUEUE_MAX,
        on_fatal: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.engine = open_engine(url)
        self._local = threading.local()
        self._readers = ThreadPoolExecutor(reader_threads, thread_name_prefix="hitproof-read")
        self._connections: list[Connection] = []
        self._connections_lock = threading.Lock()
        self._writes: queue.Queue[Write[Any] | None] = queue.Queue(write_queue_max)
        self._on_fatal = on_fatal
        self._closed = False
        # Held while a write is queued and while the door is shut, so that none is queued behind the end.
        self._door = threading.Lock()
        self._writer = threading.Thread(target=self._write_until_closed, name="hitproof-write", daemon=True)
        self._writer.start()

    async def read(self, run: Callable[[Connection], Result]) -> Result:
        """Run *run* on a reader thread, outside any transaction: it sees all that was committed before it began."""
        if self._closed:
            raise StoreUnavailable("the database is closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, run)

    async def read_by_key(self, run: Callable[[Connection], Result]) -> Result:
        """Run *run*, which must be one read of one row by its key.

        On SQLite it runs here and now: with WAL a reader waits for nobody, and the way to
        another thread and back costs several times what the read does (docs/explanation/store.md). Elsewhere it is `read`.
        """
        if self.engine.dialect.name == "sqlite" and not self._closed:
            return self._read(run)
        return await self.read(run)

    async def write(self, run: Callable[[Connection], Result]) -> Result:
        """Run *run* in the next group commit and return its result once that is durable.

        Raises `StoreBusy` when too much is queued, `StoreUnavailable` when the commit failed, `Conflict` for a broken
        uniqueness rule, or what *run* raised; then its savepoint was rolled back and the others' writes stand.
        The write goes through even if the caller is cancelled while waiting.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        with self._door:
            if self._closed:
                raise StoreUnavailable("the database is closed")
            try:
                self._writes.put_nowait(Write(run, loop, future))
            except queue.Full:
                raise StoreBusy("too many writes are waiting; try again in a moment") from None
        return await future

    def read_now(self, run: Callable[[Connection], Result]) -> Result:
        """Run *run* on the calling thread; for the command line and start-up, not for the event loop."""
        with translated(), self.engine.connect() as connection:
            return run(connection.execution_options(isolation_level="AUTOCOMMIT"))

    def write_now(self, run: Callable[[Connection], Result]) -> Result:
        """Run *run* in a transaction of its own on the calling thread; for the command line and start-up."""
        with translated(), self.engine.begin() as connection:
            take_turn(connection)
            return run(connection)

    def close(self) -> None:
        """Finish the queued writes and close every connection."""
        with self._door:
            if self._closed:
                return
            self._closed = True
        self._writes.put(None)
        self._writer.join()
        self._readers.shutdown(wait=True)
        for connection in self._connections:
            connection.close()
        self.engine.dispose()

    def _read(self, run: Callable[[Connection], Result]) -> Result:
        try:
            return run(self._reader_connection())
        except Exception as error:
            found = translate(error)
            if found is error:
                raise
            self._discard_reader_connection()
            if not is_connection_lost(error):
                raise found from error
        # The server was restarted since this thread's last read; a read may be done twice.
        with translated():
            return run(self._reader_connection())

    def _reader_connection(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._local.connection = connection
            with self._connections_lock:
                self._connections.append(connection)
        return connection

    def _discard_reader_connection(self) -> None:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            with self._connections_lock:
                self._connections.remove(connection)
            _throw_away(connection)

    def _write_until_closed(self) -> None:
        connection: Connection | None = None
        closing = False
        while not closing:
            batch, closing = self._take_writes()
            if not batch:
                continue
            try:
                connection = self._connection_for_writing(connection)
                outcomes = run_batch(connection, batch)
            except BaseException as error:  # noqa: BLE001  # the writer's edge: every waiting caller must hear of it
                found = translate(error)
                outcomes = [(write, None, found) for write in batch]
                if connection is not None:
                    _throw_away(connection)
                    connection = None
                if self._on_fatal is not None and is_disk_failure(found):
                    self._on_fatal(found)
            deliver(outcomes)
        if connection is not None:
            connection.close()

    def _connection_for_writing(self, kept: Connection | None) -> Connection:
        """Return *kept* if it still lives: a write that has begun is not done twice, so ask before."""
        if kept is not None and kept.dialect.name == "postgresql":
            try:
                kept.exec_driver_sql("SELECT 1")
                kept.rollback()
            except DBAPIError:
                _throw_away(kept)
                kept = None
        return kept or self.engine.connect()

    def _take_writes(self) -> tuple[list[Write[Any]], bool]:
        batch: list[Write[Any]] = []
        item = self._writes.get()
        while True:
            if item is None:
                return batch, True
            batch.append(item)
            if len(batch) >= WRITES_PER_COMMIT_MAX:
                return batch, False
            try:
                item = self._writes.get_nowait()
            except queue.Empty:
                return batch, False


def _throw_away(connection: Connection) -> None:
    with contextlib.suppress(DBAPIError):
        connection.invalidate()
        connection.close()
