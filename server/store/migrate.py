"""Bring a database to the schema of this release, or write the SQL that would."""

from __future__ import annotations

import io
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

import migrations
from server.store.errors import UnknownSchema
from server.store.faults import translated
from server.store.group_commit import take_turn


def upgrade(engine: Engine) -> None:
    """Run every migration that *engine*'s database has not seen, all in one transaction.

    Raises `UnknownSchema` for a database that a newer release made, and then changes nothing.
    """
    configuration = _configuration(str(engine.url))
    with translated(), engine.connect() as connection:
        _prepare(connection)
        with connection.begin():
            # Two processes that start at once take turns; the second finds nothing left to do.
            take_turn(connection)
            _refuse_unknown(configuration, MigrationContext.configure(connection).get_current_heads())
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "head")


def _prepare(connection: Connection) -> None:
    # SQLite changes a table by making it anew, and dropping the old one would delete whatever refers to it.
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA foreign_keys=OFF")
    else:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.commit()


def _refuse_unknown(configuration: Config, heads: tuple[str, ...]) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(configuration).walk_revisions()}
    for head in heads:
        if head not in known:
            raise UnknownSchema(
                f"the database is at revision {head}, which this release does not know: a newer one made it; "
                "install that release again, or restore the backup from before it"
            )


def upgrade_sql(url: str) -> str:
    """Return the SQL that takes an empty database of *url*'s kind to this release."""
    configuration = _configuration(url)
    configuration.output_buffer = io.StringIO()
    command.upgrade(configuration, "head", sql=True)
    return configuration.output_buffer.getvalue()


def current_revision(engine: Engine) -> str | None:
    """Return the revision that the database is at, None for one that was never migrated."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str:
    """Return the revision of this release."""
    head = ScriptDirectory.from_config(_configuration("sqlite://")).get_current_head()
    if head is None:
        raise RuntimeError("the migrations folder holds no revision")
    return head


def _configuration(url: str) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(migrations.__file__).parent))
    configuration.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return configuration
