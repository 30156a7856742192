"""`hitproof cache invalidate|stats|export|import`: a tenant's entries from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from sqlalchemy import Connection

from server.cli.context import ACTOR, ConfigOption, DataOption, JsonOption, opened, print_result, settings_from
from server.cli.exporting import CacheCommandError, exported_lines
from server.cli.naming import TenantArgument, find_tenant_id

app = typer.Typer(help="A tenant's entries.", no_args_is_help=True)


@app.command("invalidate")
def invalidate(
    tenant: TenantArgument,
    entry: Annotated[str | None, typer.Option(help="One entry, ent_…")] = None,
    tag: Annotated[str | None, typer.Option(help="All entries with this tag.")] = None,
    model_version: Annotated[str | None, typer.Option(help="All entries of this model version.")] = None,
    older_than_s: Annotated[int | None, typer.Option(min=0, help="All entries older than so many seconds.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All entries.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; otherwise only count.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove entries; without --yes it only says how many that would be."""
    from server.identifiers import parse_entry_id
    from server.store.entries import EntryRepository, Selection
    from server.store.maintenance import AuditEvent, append_audit

    given = [value for value in (entry, tag, model_version, older_than_s) if value is not None]
    if everything == bool(given):
        raise CacheCommandError("name what to remove: --entry, --tag, --model-version or --older-than-s, or else --all")
    chosen = None if entry is None else parse_entry_id(entry)
    if entry is not None and chosen is None:
        raise CacheCommandError(f"{entry!r} is no entry; they look like ent_0123456789abc")
    with opened(settings_from(data, config)) as store:
        now_ms = store.clock.now_ms()
        conditions = {"entry": entry, "tag": tag, "model_version": model_version, "older_than_s": older_than_s}
        detail = {"all": everything, **{name: value for name, value in conditions.items() if value is not None}}
        selection = Selection(
            chosen, tag, model_version, None if older_than_s is None else now_ms - older_than_s * 1000, everything
        )

        def run(connection: Connection) -> int:
            identifier = find_tenant_id(connection, tenant)
            repository = EntryRepository(connection, identifier)
            if not yes:
                return repository.count(selection)
            event = AuditEvent(ACTOR, identifier, "cache.invalidate", identifier, detail)
            append_audit(connection, event, at_ms=now_ms)
            return repository.delete(selection, at_ms=now_ms)

        count = store.database.write_now(run)
        print_result({"tenant": tenant, "dry_run": not yes, "entries": count}, as_json=as_json)


@app.command("stats")
def show_stats(
    tenant: TenantArgument, data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show what a tenant's cache holds and has saved."""
    from server.store.entries import EntryRepository
    from server.store.lookups import LookupRepository

    with opened(settings_from(data, config)) as store:

        def load(connection: Connection) -> dict[str, Any]:
            identifier = find_tenant_id(connection, tenant)
            entries, size_bytes = EntryRepository(connection, identifier).totals()
            rows = LookupRepository(connection, identifier).sum_usage(since_day="")
            requests = sum(row.requests for row in rows)
            hits = sum(row.requests for row in rows if row.outcome == "hit")
            return {
                "tenant": tenant,
                "entries": entries,
                "bytes": size_bytes,
                "requests": requests,
                "hits": hits,
                "saved_tokens": sum(row.saved_prompt_tokens + row.saved_output_tokens for row in rows),
                "saved_micro_currency": sum(row.saved_micro for row in rows),
            }

        print_result(store.database.read_now(load), as_json=as_json)


@app.command("export")
def export_entries(
    tenant: TenantArgument,
    file: Annotated[Path, typer.Argument(help="Where to write; one JSON object per line, in clear.")],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a tenant's live entries, opened, to a file that only its owner can read."""
    import os

    with opened(settings_from(data, config)) as store:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        count = 0
        with os.fdopen(descriptor, "wb") as handle:
            for line in exported_lines(store, store.database.read_now(lambda c: find_tenant_id(c, tenant))):
                handle.write(orjson.dumps(line) + b"\n")
                count += 1
        print_result({"tenant": tenant, "entries": count, "file": str(file)}, as_json=as_json)


@app.command("import")
def import_entries(
    tenant: TenantArgument,
    file: Annotated[Path, typer.Argument(help="What `cache export` wrote.")],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Store the entries of an export; they are the importer's word, `declared`, whatever they were before."""
    from server.cli.importing import import_lines

    with opened(settings_from(data, config)) as store:
        identifier = store.database.read_now(lambda c: find_tenant_id(c, tenant))
        with file.open("rb") as handle:
            count = import_lines(store, identifier, handle)
        print_result({"tenant": tenant, "entries": count}, as_json=as_json)
