"""Alembic's entry: reads the tables of `server.store.tables`; given a connection by `server.store.migrate` or a URL."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool

from server.store.tables import metadata

config = context.config


def run_offline() -> None:
    """Write the SQL of the migrations instead of running it (`alembic upgrade head --sql`)."""
    context.configure(
        url=config.get_main_option("sqlalchemy.url"),
        target_metadata=metadata,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Run the migrations on the connection in the attributes, or on one of our own."""
    connection = config.attributes.get("connection")
    if connection is not None:
        _run_on(connection)
        return
    engine = create_engine(config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
    with engine.connect() as own:
        _run_on(own)


def _run_on(connection: object) -> None:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
