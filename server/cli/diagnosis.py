"""`hitproof doctor`: what is wrong with an installation, and how to mend it."""

from __future__ import annotations

import importlib.util
import json
import platform as host
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

import typer

from crypto.errors import Error
from server.cli.context import ConfigOption, DataOption, JsonOption, settings_from
from server.settings import Settings, SettingsError

DISK_FREE_BYTES_MIN: Final = 1 << 30
PYTHON_MIN: Final = (3, 11)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: *mend* says what to do when *ok* is False."""

    check: str
    ok: bool
    found: str
    mend: str = ""


def doctor(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check this installation; exit code 1 when something needs mending."""
    findings: list[Finding] = [_check_python()]
    try:
        settings = settings_from(data, config)
        findings.append(Finding("settings", True, "every key is known and in range"))
    except SettingsError as error:
        findings.append(Finding("settings", False, str(error), "correct that setting"))
        settings = Settings()
    findings += [check(settings) for check in _CHECKS]
    if as_json:
        print(json.dumps({"ok": all(item.ok for item in findings), "checks": [asdict(item) for item in findings]}))
    else:
        for item in findings:
            print(f"{'ok  ' if item.ok else 'MEND'}  {item.check}: {item.found}")
            if not item.ok:
                print(f"      → {item.mend}")
    if not all(item.ok for item in findings):
        raise typer.Exit(1)


def _check_python() -> Finding:
    return Finding(
        "python",
        sys.version_info >= PYTHON_MIN,
        f"{host.python_version()} on {host.system()} {host.machine()}",
        "install Python 3.11 or later",
    )


def _check_faiss(_settings: Settings) -> Finding:
    from server.index.faiss_setup import require_one_faiss

    try:
        found = require_one_faiss()
    except Error as error:
        return Finding(
            "faiss", False, str(error), 'install exactly one: pip install -e ".[cpu]" or pip install -e ".[gpu]"'
        )
    return Finding("faiss", True, str(found))


def _check_torch(_settings: Settings) -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding("torch", False, "not installed", 'pip install -e ".[cpu]"')
    import torch

    where = f"CUDA, {torch.cuda.device_count()} GPU" if torch.cuda.is_available() else "CPU"
    return Finding("torch", True, f"{torch.__version__}, {where}")


def _check_embedder(settings: Settings) -> Finding:
    from crypto.applicability.suites import SUITES
    from server.serving import load_configured_embedder

    try:
        embedder = load_configured_embedder(settings)
        vector = embedder.embed(["is anybody there?"])
    except Error as error:
        return Finding("embedder", False, str(error), "correct the setting `embedder`, or reinstall its package")
    dimension, largest = vector.shape[1], SUITES[-1].size
    unproved = f"; above {largest:,} no hit by meaning can be proved" if dimension > largest else ""
    return Finding("embedder", True, f"{dimension} dimensions, {embedder.digest[:23]}…{unproved}")


def _check_data(settings: Settings) -> Finding:
    from server.datafolder import DataFolder

    folder = DataFolder(settings.data)
    try:
        folder.create()
    except Error as error:
        return Finding("data folder", False, str(error), "choose a folder you may write to with --data")
    free_bytes = shutil.disk_usage(settings.data).free
    if free_bytes < DISK_FREE_BYTES_MIN:
        return Finding(
            "data folder", False, f"{free_bytes >> 20} MiB free", "make room, or choose another disk with --data"
        )
    return Finding("data folder", True, f"{settings.data}, {free_bytes >> 30} GiB free")


def _check_keys(settings: Settings) -> Finding:
    from server.clock import SystemRandom
    from server.datafolder import DataFolder
    from server.keys import open_key_provider

    folder = DataFolder(settings.data)
    try:
        wrapped_under = _wrapping_keys(settings)
        if settings.key_provider == "file" and not folder.key_file.exists() and not wrapped_under:
            return Finding("keys", True, "none yet; the first start makes one")
        provider = open_key_provider(settings, folder, SystemRandom(), wrapped_under=wrapped_under)
        if not provider.is_available() and settings.key_provider != "shamir":
            provider.key_id  # noqa: B018  # it raises the reason
    except Error as error:
        return Finding("keys", False, str(error), "restore the key file, or its mode (chmod 400)")
    if not provider.is_available():
        return Finding("keys", True, "in shares; a gateway starts sealed until they are given")
    return Finding("keys", True, f"{settings.key_provider}, {provider.key_id}")


def _wrapping_keys(settings: Settings) -> frozenset[str]:
    """Return the keys that the store's data keys need; none where there is no store, which is another check's matter."""
    from sqlalchemy.exc import SQLAlchemyError

    from server.store.data_keys import list_wrapping_keys
    from server.store.engines import open_engine

    engine = open_engine(settings.database)
    try:
        with engine.connect() as connection:
            return list_wrapping_keys(connection)
    except SQLAlchemyError:
        return frozenset()
    finally:
        engine.dispose()


def _check_database(settings: Settings) -> Finding:
    from sqlalchemy.exc import SQLAlchemyError

    from server.store.database import open_engine
    from server.store.maintenance import check_file, verify_audit_chain
    from server.store.migrate import current_revision, newest_revision

    engine = open_engine(settings.database)
    try:
        revision, newest = current_revision(engine), newest_revision()
        if revision is None:
            return Finding("database", True, "empty; the first start makes the schema")
        if revision != newest:
            return Finding(
                "database", False, f"schema {revision}, this release wants {newest}", "run: hitproof db upgrade"
            )
        with engine.connect() as connection:
            damage = check_file(connection)
            if damage is not None:
                return Finding("database", False, damage, "restore the database from a backup")
            broken = verify_audit_chain(connection)
        if broken is not None:
            return Finding(
                "database", False, f"the audit log does not fit from row {broken} on", "find out who changed it"
            )
    except SQLAlchemyError as error:
        return Finding("database", False, type(error).__name__, "check the setting `database_url` and that it answers")
    finally:
        engine.dispose()
    return Finding("database", True, f"schema {revision}, audit log intact")


def _check_port(settings: Settings) -> Finding:
    with socket.socket() as probe:
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            return Finding(
                "port",
                False,
                f"{settings.host}:{settings.port}: {error.strerror}",
                "stop what runs there, or use --port",
            )
    return Finding("port", True, f"{settings.host}:{settings.port} is free")


_CHECKS: Final[tuple[Callable[[Settings], Finding], ...]] = (
    _check_faiss,
    _check_torch,
    _check_embedder,
    _check_data,
    _check_keys,
    _check_database,
    _check_port,
)
