"""`hitproof db`: the schema."""

from __future__ import annotations

from typing import Annotated

import typer

from server.cli.context import ConfigOption, DataOption, JsonOption, print_result, settings_from

app = typer.Typer(help="Bring the database to this release's schema.", no_args_is_help=True)


@app.command("upgrade")
def upgrade_database(
    data: DataOption = None,
    config: ConfigOption = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL instead of running it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the migrations that this database has not seen."""
    from server.datafolder import DataFolder
    from server.store.database import open_engine
    from server.store.migrate import current_revision, upgrade, upgrade_sql

    settings = settings_from(data, config)
    if sql:
        print(upgrade_sql(settings.database))
        return
    DataFolder(settings.data).create()
    engine = open_engine(settings.database)
    before = current_revision(engine)
    upgrade(engine)
    print_result({"before": before, "after": current_revision(engine)}, as_json=as_json)
    engine.dispose()
