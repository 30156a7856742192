"""Migrations: from nothing to exactly the tables of `server.store.tables`, on both databases, run or written down."""

from __future__ import annotations

import ast
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect

from server.store.engines import open_engine, sqlite_url
from server.store.errors import UnknownSchema
from server.store.migrate import _configuration, current_revision, newest_revision, upgrade, upgrade_sql
from server.store.tables import metadata

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Empty:
    """An empty database."""

    url: str
    engine: Engine

    def run_script(self, script: str) -> None:
        """Run *script* as an operator would, with the database's own client."""
        if self.engine.dialect.name == "sqlite":
            connection = sqlite3.connect(self.engine.url.database or "")
            connection.executescript(script)
            connection.close()
            return
        with psycopg.connect(self.url, autocommit=True) as server:
            server.execute(script)  # type: ignore[call-overload]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Empty]:
    if request.param == "sqlite":
        url = sqlite_url(tmp_path / "store.db")
        engine = open_engine(url)
        yield Empty(url, engine)
        engine.dispose()
        return
    server = request.getfixturevalue("postgres")
    with server.database() as name:
        engine = open_engine(server.url(name))
        yield Empty(server.url(name), engine)
        engine.dispose()


def differences(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))


def shape(engine: Engine) -> dict[str, Any]:
    """Everything about the tables that the two ways to make them could make differently."""
    found = inspect(engine)
    return {
        name: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(name)],
            sorted(_plain(index) for index in found.get_indexes(name)),
            str(found.get_pk_constraint(name)),
            sorted(str(key) for key in found.get_foreign_keys(name)),
            sorted(str(key) for key in found.get_unique_constraints(name)),
        )
        for name in sorted(found.get_table_names())
    }


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return str({key: _plain(found) for key, found in sorted(value.items())})
    return str(value)


def test_upgrading_an_empty_database_makes_exactly_our_tables(empty: Empty) -> None:
    assert current_revision(empty.engine) is None
    upgrade(empty.engine)
    assert differences(empty.engine) == []
    assert set(inspect(empty.engine).get_table_names()) == {*metadata.tables, "alembic_version"}
    assert current_revision(empty.engine) == newest_revision()


def test_a_table_that_no_migration_makes_would_be_seen(empty: Empty) -> None:
    upgrade(empty.engine)
    empty.run_script("ALTER TABLE meta ADD COLUMN surplus TEXT; DROP INDEX ix_lookups_expires_at_ms;")
    assert len(differences(empty.engine)) == 2


def test_upgrading_twice_changes_nothing(empty: Empty) -> None:
    upgrade(empty.engine)
    before = shape(empty.engine)
    upgrade(empty.engine)
    assert shape(empty.engine) == before


def test_the_script_written_offline_makes_the_same(empty: Empty) -> None:
    empty.run_script(upgrade_sql(empty.url))
    assert differences(empty.engine) == []
    assert current_revision(empty.engine) == newest_revision()
    by_script = shape(empty.engine)
    command.downgrade(_attached(empty), "base")
    upgrade(empty.engine)
    assert shape(empty.engine) == by_script


def test_a_partial_index_keeps_live_keys_unique_however_it_was_made(empty: Empty) -> None:
    upgrade(empty.engine)
    indexes = {index["name"]: index for index in inspect(empty.engine).get_indexes("entries")}
    found = indexes["uq_entries_live_exact_key"]
    assert found["unique"]
    assert "live" in _plain(found["dialect_options"])


def test_a_database_of_a_newer_release_is_refused_and_left_as_it_is(empty: Empty) -> None:
    upgrade(empty.engine)
    empty.run_script("UPDATE alembic_version SET version_num = 'from-the-future'")
    with pytest.raises(UnknownSchema, match=r"from-the-future.*install that release again, or restore"):
        upgrade(empty.engine)
    assert current_revision(empty.engine) == "from-the-future"


def test_going_back_leaves_nothing_behind(empty: Empty) -> None:
    upgrade(empty.engine)
    command.downgrade(_attached(empty), "base")
    assert set(inspect(empty.engine).get_table_names()) == {"alembic_version"}


def is_undone(source: str) -> bool:
    """Whether a revision's `downgrade` does or raises something."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == "downgrade":
            return any(not _is_idle(statement) for statement in node.body)
    return False


def _is_idle(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass | ast.Return)


def test_every_revision_can_be_undone_or_says_why_not() -> None:
    paths = sorted((ROOT / "migrations" / "versions").glob("*.py"))
    assert paths
    for path in paths:
        assert is_undone(path.read_text(encoding="utf-8")), f"{path}: write a downgrade, or raise why there is none"


@pytest.mark.parametrize(
    "source",
    ["def upgrade(): run()", "def downgrade():\n    pass", "def downgrade():\n    'Nothing.'\n    return None"],
)
def test_a_revision_that_cannot_be_undone_would_be_seen(source: str) -> None:
    assert not is_undone(source)


def _attached(empty: Empty) -> Any:
    return _configuration(empty.url)
