"""What every command shares: the flags, the settings they make, an open data folder, and how results are printed."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, TypeAlias

import typer

from server.clock import SystemClock, SystemRandom
from server.datafolder import DataFolder, read_or_create_secret
from server.erasing import reapply_erasures
from server.erasures import Erasures
from server.keys import open_key_provider
from server.log.keys import ensure_log_key, find_log_key
from server.settings import Settings, load_settings
from server.store.data_keys import list_wrapping_keys
from server.store.database import Database
from server.store.migrate import upgrade
from tenants.key_providers import KeyProvider

DataOption: TypeAlias = Annotated[Path | None, typer.Option("--data", help="Data folder.", show_default="data")]
ConfigOption: TypeAlias = Annotated[Path | None, typer.Option("--config", help="TOML file with settings.")]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")]

#: Who the command line acts as in the audit log.
ACTOR = "cli"


@dataclass(frozen=True, slots=True)
class Opened:
    """An open data folder: its settings, store and secrets."""

    settings: Settings
    folder: DataFolder
    database: Database
    provider: KeyProvider
    pepper: bytes
    clock: SystemClock
    random: SystemRandom


def settings_from(data: Path | None, config: Path | None, **overrides: Any) -> Settings:
    """Make settings from flags, environment and file."""
    return load_settings(config, overrides={"data": data, **overrides})


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Opened]:
    """Open the data folder, bringing its schema up to this release, and close it again."""
    folder, random = DataFolder(settings.data), SystemRandom()
    folder.create()
    pepper = read_or_create_secret(folder.pepper_file, random)
    database = Database(settings.database)
    try:
        upgrade(database.engine)
        wrapped_under = database.read_now(list_wrapping_keys)
        provider = open_key_provider(settings, folder, random, wrapped_under=wrapped_under)
        clock = SystemClock()
        _prepare_proofs(settings, folder, database, random)
        # Before anything is read: a restored database may hold tenants that were erased after it was copied.
        erasures = Erasures(folder.erasures_file)
        reapply_erasures(database, erasures, provider=provider, now_ms=clock.now_ms(), random=random)
        yield Opened(settings, folder, database, provider, pepper, clock, random)
    finally:
        database.close()


def _prepare_proofs(settings: Settings, folder: DataFolder, database: Database, random: SystemRandom) -> None:
    """Make sure that there is a log to write to, whichever command is the first on this database."""
    if database.read_now(find_log_key) is None:
        path = folder.log_signing_key_file
        database.write_now(lambda c: ensure_log_key(c, path, random, origin=settings.log_origin))


@contextlib.contextmanager
def locked(settings: Settings) -> Iterator[IO[str]]:
    """Hold the data folder for a serving process."""
    folder = DataFolder(settings.data)
    folder.create()
    handle = folder.lock()
    try:
        yield handle
    finally:
        handle.close()


def print_result(value: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print *value* as one JSON line, or as lines that a person reads."""
    if as_json:
        print(json.dumps(value), flush=True)
        return
    rows = [value] if isinstance(value, Mapping) else value
    for row in rows:
        print("  ".join(f"{name}={found}" for name, found in row.items()), flush=True)


def say(text: str) -> None:
    """Tell the person what is going on, on standard error, so that standard output stays for results."""
    print(text, file=sys.stderr, flush=True)
