"""What only one database can show: SQLite's settings, a failing disk, a lock that another process holds."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from server.store import engines
from server.store.database import Database, sqlite_url
from server.store.engines import open_engine
from server.store.errors import Conflict, StoreBusy, StoreError, StoreUnavailable
from server.store.migrate import upgrade
from server.store.platform import PlatformRepository


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = Database(sqlite_url(path))
    upgrade(opened.engine)
    yield opened
    opened.close()


def pragma(name: str) -> Any:
    return lambda connection: connection.execute(text(f"PRAGMA {name}")).scalar_one()


@pytest.mark.parametrize(
    ("name", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 5000)]
)
def test_every_connection_is_durable(database: Database, name: str, value: Any) -> None:
    async def both() -> tuple[Any, Any]:
        return await database.read(pragma(name)), await database.write(pragma(name))

    assert asyncio.run(both()) == (value, value)
    assert database.read_now(pragma(name)) == value
    assert database.write_now(pragma(name)) == value


def test_a_failing_disk_is_reported_once_and_every_waiting_write_hears_of_it(path: Path) -> None:
    fatal: list[BaseException] = []
    database = Database(sqlite_url(path), on_fatal=fatal.append)
    upgrade(database.engine)

    def fails(_connection: Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async def work() -> list[Any]:
        writes = [database.write(lambda c: PlatformRepository(c).set_meta("before", "1")), database.write(fails)]
        return await asyncio.gather(*writes, return_exceptions=True)

    results = asyncio.run(work())
    assert isinstance(results[1], StoreUnavailable)
    assert len(fatal) == 1
    database.close()


def test_a_batch_that_a_database_error_spoils_is_acknowledged_to_nobody(database: Database) -> None:
    def fails(_connection: Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async def work() -> list[Any]:
        begun, hold = threading.Event(), threading.Event()

        def first(_connection: Connection) -> None:
            begun.set()
            assert hold.wait(60)

        held = asyncio.ensure_future(database.write(first))
        assert await asyncio.to_thread(begun.wait, 60), "the writer did not take the first alone"
        batch = [
            asyncio.ensure_future(database.write(run))
            for run in (lambda c: PlatformRepository(c).set_meta("a", "1"), fails)
        ]
        await asyncio.sleep(0)
        hold.set()
        await held
        return await asyncio.gather(*batch, return_exceptions=True)

    results = asyncio.run(work())
    assert [type(result) for result in results] == [StoreUnavailable, StoreUnavailable]
    assert database.read_now(lambda c: PlatformRepository(c).get_meta("a")) is None
    asyncio.run(database.write(lambda c: PlatformRepository(c).set_meta("b", "2")))
    assert database.read_now(lambda c: PlatformRepository(c).get_meta("b")) == "2"


def test_a_lock_held_by_another_process_makes_a_write_busy_and_no_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_PRAGMAS", (*engines._PRAGMAS, "busy_timeout=50"))
    database = Database(sqlite_url(path))
    upgrade(database.engine)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def work() -> Any:
        with pytest.raises(StoreBusy):
            await database.write(lambda c: PlatformRepository(c).set_meta("a", "1"))
        assert await database.read_by_key(lambda c: PlatformRepository(c).get_meta("a")) is None
        other.execute("ROLLBACK")
        await database.write(lambda c: PlatformRepository(c).set_meta("a", "2"))
        return await database.read(lambda c: PlatformRepository(c).get_meta("a"))

    assert asyncio.run(work()) == "2"
    other.close()
    database.close()


def test_a_missing_tenant_is_a_conflict_and_not_a_crash(database: Database) -> None:
    insert = text("INSERT INTO usage VALUES ('ten_none', 'd', 'k', 'm', 'hit', '', 1, 1, 1, 1, 1)")
    with pytest.raises(Conflict):
        database.write_now(lambda c: c.execute(insert))


def test_a_read_that_cannot_be_done_says_so_and_the_next_one_works(database: Database) -> None:
    async def work() -> Any:
        with pytest.raises(StoreUnavailable):
            await database.read(lambda c: c.execute(text("SELECT * FROM nowhere")))
        return await database.read(pragma("foreign_keys"))

    assert asyncio.run(work()) == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "is not a URL"),
        ("mysql://host/name", "SQLite or PostgreSQL"),
        ("oracle+cx_oracle://host/name", "SQLite or PostgreSQL"),
    ],
)
def test_a_url_that_cannot_be_used_says_what_to_write(url: str, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        open_engine(url)


@pytest.mark.parametrize("url", ["postgresql://u@h/n", "postgresql+psycopg://u@h/n"])
def test_postgresql_is_spoken_with_one_driver(url: str) -> None:
    assert open_engine(url).url.drivername == "postgresql+psycopg"


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"postgresql://nobody@/none?host={tmp_path}")
    with pytest.raises(StoreUnavailable):
        asyncio.run(database.read(lambda c: c.execute(text("SELECT 1"))))
    with pytest.raises(StoreUnavailable):
        asyncio.run(database.write(lambda c: c.execute(text("SELECT 1"))))
    database.close()


def test_the_values_of_a_failed_statement_stay_out_of_the_error(database: Database) -> None:
    with pytest.raises(IntegrityError) as raised, database.engine.connect() as connection:
        connection.execute(text("INSERT INTO organisations (id) VALUES (:id)"), {"id": "a canary"})
    assert "a canary" not in str(raised.value)
