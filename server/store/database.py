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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import NullPool

from server.store.errors import Conflict, StoreBusy, StoreUnavailable

Result = TypeVar("Result")

WRITES_PER_COMMIT_MAX: Final = 256
WRITE_QUEUE_MAX: Final = 4096
READER_THREADS: Final = 2
#: The advisory lock that stands for "I am writing" on PostgreSQL; any number will do, but always the same.
WRITE_LOCK: Final = 0x6869_7470_726F_6F66


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy URL of the SQLite file at *path*."""
    return f"sqlite:///{path}"


def open_engine(url: str) -> Engine:
    """Open *url* with the settings that durability and concurrency rest on; connections are kept by our own threads."""
    engine = create_engine(url, poolclass=NullPool, insertmanyvalues_page_size=500)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction handling breaks savepoints; we send BEGIN ourselves.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "busy_timeout=5000",
        "foreign_keys=ON",
        "cache_size=-65536",
        "mmap_size=268435456",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    # A reader never writes, so it takes no lock: each of its statements sees the last commit.
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@dataclass(slots=True)
class _Write(Generic[Result]):
    """One queued write, and where its result goes."""

    run: Callable[[Connection], Result]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Result]


class Database:
    """Runs functions of a connection: `read` on a reader thread, `write` in the group commit."""

    def __init__(
        self,
        url: str,
        *,
        reader_threads: int = READER_THREADS,
        on_fatal: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.engine = open_engine(url)
        self._local = threading.local()
        self._readers = ThreadPoolExecutor(reader_threads, thread_name_prefix="hitproof-read")
        self._connections: list[Connection] = []
        self._connections_lock = threading.Lock()
        self._writes: queue.Queue[_Write[Any] | None] = queue.Queue(WRITE_QUEUE_MAX)
        self._on_fatal = on_fatal
        self._closed = False
        self._writer = threading.Thread(target=self._write_until_closed, name="hitproof-write", daemon=True)
        self._writer.start()

    async def read(self, run: Callable[[Connection], Result]) -> Result:
        """Run *run* on a reader thread, outside any transaction: it sees all that was committed before it began."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, run)

    async def write(self, run: Callable[[Connection], Result]) -> Result:
        """Run *run* in the next group commit and return its result once that is durable.

        Raises `StoreBusy` when too much is queued, `StoreUnavailable` when the commit failed, `Conflict` for a broken
        uniqueness rule, or what *run* raised; then its savepoint was rolled back and the others' writes stand.
        The write goes through even if the caller is cancelled while waiting.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        if self._closed:
            raise StoreUnavailable("the database is closed")
        try:
            self._writes.put_nowait(_Write(run, loop, future))
        except queue.Full:
            raise StoreBusy("too many writes are waiting; try again in a moment") from None
        return await future

    def read_now(self, run: Callable[[Connection], Result]) -> Result:
        """Run *run* on the calling thread; for the command line and start-up, not for the event loop."""
        with self._translated(), self.engine.connect() as connection:
            return run(connection.execution_options(isolation_level="AUTOCOMMIT"))

    def write_now(self, run: Callable[[Connection], Result]) -> Result:
        """Run *run* in a transaction of its own on the calling thread; for the command line and start-up."""
        with self._translated(), self.engine.begin() as connection:
            _take_turn(connection)
            return run(connection)

    def close(self) -> None:
        """Finish the queued writes and close every connection."""
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
            with self._translated():
                return run(self._reader_connection())
        except StoreUnavailable:
            self._discard_reader_connection()
            raise

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
            with contextlib.suppress(DBAPIError):
                connection.invalidate()
                connection.close()

    def _write_until_closed(self) -> None:
        connection: Connection | None = None
        closing = False
        while not closing:
            batch, closing = self._take_writes()
            if not batch:
                continue
            try:
                with self._translated():
                    connection = connection or self.engine.connect()
                    outcomes = _run_batch(connection, batch)
            except BaseException as error:  # noqa: BLE001  # the writer's edge: every waiting caller must hear of it
                outcomes = [(write, None, error) for write in batch]
                if connection is not None:
                    with contextlib.suppress(DBAPIError):
                        connection.invalidate()
                        connection.close()
                    connection = None
                if self._on_fatal is not None and _is_disk_failure(error):
                    self._on_fatal(error)
            _deliver(outcomes)
        if connection is not None:
            connection.close()

    def _take_writes(self) -> tuple[list[_Write[Any]], bool]:
        batch: list[_Write[Any]] = []
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

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise Conflict("something of that name exists already") from error
        except DBAPIError as error:
            raise StoreUnavailable("the database does not answer; nothing was changed") from error


_Outcome = tuple[_Write[Any], Any, BaseException | None]


def _run_batch(connection: Connection, batch: list[_Write[Any]]) -> list[_Outcome]:
    outcomes: list[_Outcome] = []
    with connection.begin():
        _take_turn(connection)
        for write in batch:
            try:
                with connection.begin_nested():
                    outcomes.append((write, write.run(connection), None))
            except IntegrityError as error:
                conflict = Conflict("something of that name exists already")
                conflict.__cause__ = error
                outcomes.append((write, None, conflict))
            except OperationalError:
                raise
            except Exception as error:  # noqa: BLE001  # the writer's edge: one caller's mistake must not fail the others
                outcomes.append((write, None, error))
    return outcomes


def _take_turn(connection: Connection) -> None:
    """Let one process write at a time, so that feed and audit rows become visible in the order of their numbers.

    SQLite does so by itself (BEGIN IMMEDIATE).
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITE_LOCK})


def _deliver(outcomes: list[_Outcome]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
    for outcome in outcomes:
        by_loop.setdefault(outcome[0].loop, []).append(outcome)
    for loop, group in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed while its write was being made durable
            loop.call_soon_threadsafe(_settle, group)


def _settle(outcomes: list[_Outcome]) -> None:
    for write, result, error in outcomes:
        if write.future.done():
            continue
        if error is None:
            write.future.set_result(result)
        else:
            write.future.set_exception(error)


def _is_disk_failure(error: BaseException) -> bool:
    """After a failed fsync nobody knows what reached the disk (Rebello et al., ATC 2020): do not go on."""
    text = str(error.__cause__ or error).lower()
    return "disk i/o error" in text or "input/output error" in text
