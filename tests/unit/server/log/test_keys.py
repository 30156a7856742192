"""The log's key and name: made once, then held to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto.bodies import Erasure
from crypto.ed25519 import verify_signature
from server.datafolder import DataFolderError
from server.log.bodies import append_body
from server.log.errors import LogError, LogRefusal
from server.log.keys import ensure_log_key, get_log_key, load_log_signer, load_signing_key, vkey_text
from server.store.database import Database, sqlite_url
from server.store.migrate import upgrade
from tests.fakes import SeededRandom


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(sqlite_url(tmp_path / "store.db"))
    upgrade(found.engine)
    yield found
    found.close()


def test_a_signing_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first = load_signing_key(tmp_path / "key", SeededRandom(1))
    again = load_signing_key(tmp_path / "key", SeededRandom(2))
    assert first.public_key == again.public_key
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o400
    verify_signature(first.public_key, b"message", again.sign(b"message"))


def test_a_damaged_key_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("ab\n")
    with pytest.raises(DataFolderError, match="restore it"):
        load_signing_key(tmp_path / "key", SeededRandom())
    assert (tmp_path / "key").read_text() == "ab\n"


def test_the_log_is_named_after_its_key_unless_somebody_names_it(database: Database, tmp_path: Path) -> None:
    found = database.write_now(lambda c: ensure_log_key(c, tmp_path / "key", SeededRandom(), origin=""))
    signer = load_signing_key(tmp_path / "key", SeededRandom())
    assert found.name == "hitproof.local/" + signer.key_id[:16]
    assert found.public_key == signer.public_key
    assert database.read_now(get_log_key) == found
    assert vkey_text(found).startswith(found.name + "+")


def test_a_second_machine_takes_the_logs_key_from_the_database_and_makes_none(
    database: Database, tmp_path: Path
) -> None:
    first = database.write_now(lambda c: ensure_log_key(c, tmp_path / "key", SeededRandom(1), origin="log.example/a"))
    other = database.write_now(lambda c: ensure_log_key(c, tmp_path / "other", SeededRandom(2), origin=""))
    assert first == other
    assert not (tmp_path / "other").exists()
    assert load_log_signer(tmp_path / "other", SeededRandom(2), first, origin="") is None


def test_another_key_or_name_is_refused(database: Database, tmp_path: Path) -> None:
    found = database.write_now(lambda c: ensure_log_key(c, tmp_path / "key", SeededRandom(1), origin="log.example/a"))
    load_signing_key(tmp_path / "other", SeededRandom(2))
    for path, origin, reason in (("key", "log.example/b", "origin_changed"), ("other", "", "key_changed")):
        with pytest.raises(LogRefusal) as refusal:
            load_log_signer(tmp_path / path, SeededRandom(), found, origin=origin)
        assert refusal.value.reason == reason
    assert load_log_signer(tmp_path / "key", SeededRandom(), found, origin="log.example/a") is not None


def test_nothing_is_said_in_the_logs_name_before_it_has_a_key(database: Database) -> None:
    body = Erasure(at_ms=1, nonce=bytes(32), tenant="0" * 32)
    with pytest.raises(LogError, match="no log yet"):
        database.write_now(lambda c: append_body(c, body, tenant=None))
