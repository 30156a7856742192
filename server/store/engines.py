"""Open a database with the settings that durability and concurrency rest on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from server.store.errors import StoreError

#: How long a process waits for another one's write, and PostgreSQL for a connection, before the caller hears of it.
BUSY_TIMEOUT_MS: Final = 5_000
CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_MS: Final = 30_000

_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    f"busy_timeout={BUSY_TIMEOUT_MS}",
    "foreign_keys=ON",
    "cache_size=-65536",
    "mmap_size=268435456",
)


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy URL of the SQLite file at *path*."""
    return f"sqlite:///{path}"


def open_engine(url: str) -> Engine:
    """Open *url*, of SQLite or PostgreSQL; connections are kept by our own threads. Raises `StoreError`.

    The values of a statement that fails stay out of the error, and so out of the log.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError("database_url is not a URL; write sqlite:///FILE or postgresql://USER@HOST/NAME") from None
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        engine = create_engine(parsed, poolclass=NullPool, hide_parameters=True, insertmanyvalues_page_size=500)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
        return engine
    if kind != "postgresql":
        raise StoreError(f"database_url names {kind!r}; hitproof keeps its state in SQLite or PostgreSQL")
    try:
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
            },
        )
    except ModuleNotFoundError:
        raise StoreError('PostgreSQL needs its driver; run: pip install "psycopg[binary]>=3.2"') from None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction handling breaks savepoints; we send BEGIN ourselves.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    # A reader never writes, so it takes no lock: each of its statements sees the last commit.
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
