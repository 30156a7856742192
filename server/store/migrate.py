"""Bring a database to the schema of this release, or write the SQL that would."""

from __future__ import annotations

import io
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

import migrations


def upgrade(engine: Engine) -> None:
    """Run every migration that *engine*'s database has not seen."""
    configuration = _configuration(str(engine.url))
    with engine.connect() as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")
        connection.commit()


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
