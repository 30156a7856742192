"""A publisher's signature is kept only where it is over exactly the model's files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from crypto.canonical import canonical_json
from crypto.errors import VerificationError
from crypto.manifest import model_version
from server.publishing import import_model_signature
from server.runner.demo.engine import load_demo_engine
from server.setup import put_model, put_upstream
from server.store.database import Database, sqlite_url
from server.store.errors import Conflict, NotFound
from server.store.maintenance import list_audit
from server.store.migrate import upgrade
from server.store.platform import PlatformRepository
from server.store.records import ModelRecord, ModelVersionRecord, UpstreamRecord

FOLDER = Path(__file__).parents[2] / "fixtures" / "model_signing"
SIGNATURE = (FOLDER / "demo_model.json").read_bytes()
KEY = (FOLDER / "publisher.pem").read_text()
MANIFEST = load_demo_engine().manifest
VERSION = model_version(MANIFEST)
UNLOADED = "sha256:" + "0" * 64
NOW_MS = 1_790_000_000_000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(sqlite_url(tmp_path / "store.db"))
    upgrade(opened.engine)
    opened.write_now(set_up)
    yield opened
    opened.close()


def set_up(connection: Connection) -> None:
    upstream = UpstreamRecord("local", "runner", "http://127.0.0.1:1", None, True, NOW_MS)
    put_upstream(connection, upstream, actor="cli", now_ms=NOW_MS)
    platform = PlatformRepository(connection)
    for alias, version, manifest in (
        ("demo", VERSION, canonical_json(MANIFEST).decode()),
        ("vendor", UNLOADED, None),
    ):
        model = ModelRecord(alias, "local", alias, None, None, 0, 0, NOW_MS)
        put_model(connection, model, actor="cli", now_ms=NOW_MS)
        platform.activate_version(alias, ModelVersionRecord(version, alias, "active", manifest, NOW_MS))


def import_one(database: Database, version: str = VERSION, **changes: Any) -> None:
    given = {"signature": SIGNATURE, "public_key": KEY} | changes
    database.write_now(lambda c: import_model_signature(c, version, **given, actor="cli", now_ms=NOW_MS))


def kept(database: Database, version: str = VERSION) -> str | None:
    rows = database.read_now(lambda c: PlatformRepository(c).list_model_versions())
    return next(row.publisher for row in rows if row.model_version == version)


def test_a_signature_over_exactly_the_models_files_is_kept(database: Database) -> None:
    import_one(database)
    assert kept(database) == SIGNATURE.decode()
    assert kept(database, UNLOADED) is None


def test_an_imported_signature_leaves_an_audit_row(database: Database) -> None:
    import_one(database)
    newest = database.read_now(lambda c: list_audit(c, tenant=None, after=0, limit=100))[-1]
    assert (newest.action, newest.target) == ("model.sign", VERSION)


def test_a_signature_that_does_not_hold_is_not_kept(database: Database) -> None:
    with pytest.raises(VerificationError):
        import_one(database, signature=SIGNATURE.replace(b"MEQC", b"MEQD"))
    assert kept(database) is None


def test_a_version_that_was_never_seen_is_named(database: Database) -> None:
    with pytest.raises(NotFound, match="model versions"):
        import_one(database, "sha256:" + "1" * 64)


def test_a_version_without_a_manifest_cannot_be_signed(database: Database) -> None:
    with pytest.raises(Conflict, match="manifest"):
        import_one(database, UNLOADED)
