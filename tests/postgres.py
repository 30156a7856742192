"""A private PostgreSQL server for one test session: its own folder, a Unix socket, no network, no durability.

The server comes from Debian's package `postgresql` (`.ci/run` installs it). Without it the tests that need it fail.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

START_S = 60
USER = "hitproof"


@dataclass(slots=True)
class PostgresServer:
    """A running server; each test takes a database of its own."""

    folder: Path
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def url(self, name: str) -> str:
        """Return the SQLAlchemy URL of the database *name*."""
        return f"postgresql://{USER}@/{name}?host={self.folder}"

    @contextlib.contextmanager
    def database(self, *, template: str = "template0") -> Iterator[str]:
        """Make a database like *template*, yield its name, and drop it with whoever is still connected."""
        name = f"test_{next(self._numbers)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'")
        try:
            yield name
        finally:
            self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def make_template(self) -> str:
        """Make an empty database that stays as long as the server, to be filled once and copied often."""
        name = f"template_{next(self._numbers)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        return name

    def end_connections(self, name: str) -> None:
        """Cut every connection to the database *name*, as a restart of the server does."""
        self._run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

    def _run(self, statement: str) -> None:
        where = {"host": str(self.folder), "user": USER, "dbname": "postgres"}
        with psycopg.connect(**where, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute(statement)  # type: ignore[call-overload]


@contextlib.contextmanager
def private_server() -> Iterator[PostgresServer]:
    """Start a server and stop it again; fails where PostgreSQL is not installed."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="hitproof-pg-"))
    data = folder / "data"
    owner = _owner(folder)
    try:
        _call([programs / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"], owner, folder)
        options = f"-k {folder} -c listen_addresses='' -c fsync=off -c full_page_writes=off -c max_connections=50"
        start = [
            programs / "pg_ctl",
            "-D",
            data,
            "-w",
            "-t",
            str(START_S),
            "-l",
            folder / "log",
            "-o",
            options,
            "start",
        ]
        _call(start, owner, folder)
        try:
            yield PostgresServer(folder)
        finally:
            _call([programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], owner, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if found and (found[-1] / "initdb").exists():
        return found[-1]
    beside = shutil.which("initdb")
    if beside is None:
        raise RuntimeError("PostgreSQL is not installed; run: apt-get install postgresql")
    return Path(beside).resolve().parent


def _owner(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it runs as the user that its package made, who gets the folder."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _call(command: list[Any], owner: dict[str, Any], folder: Path) -> None:
    # A file, not a pipe: the server inherits it and would keep a pipe open for ever.
    with (folder / "output").open("a") as output:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
            **owner,
        )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{(folder / 'output').read_text()[-2000:]}")
