"""`hitproof kek` as an operator types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crypto.errors import Error
from server.cli import app
from server.datafolder import DataFolder
from server.store.database import Database, sqlite_url
from server.store.maintenance import list_audit
from tenants.errors import KeyFormError
from tenants.key_files import read_key_file
from tenants.key_shares import combine_shares, parse_share


def hitproof(folder: Path, *words: str, given: str | None = None) -> str:
    """Run a command on *folder* and return what it printed; its error is raised."""
    done = CliRunner().invoke(app, [*words, "--data", str(folder), "--json"], input=given)
    if isinstance(done.exception, Error):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    hitproof(tmp_path, "org", "create", "org")
    hitproof(tmp_path, "tenant", "create", "org", "tenant")
    return tmp_path


def test_rotating_prints_the_new_keys_name_and_not_the_key(folder: Path) -> None:
    printed = hitproof(folder, "kek", "rotate")
    done = json.loads(printed)
    key = read_key_file(DataFolder(folder).key_file)
    assert done["key"] == key.key_id
    assert done["rewrapped"] == 1
    assert [Path(path).exists() for path in done["old_keys"]] == [True]
    assert key.secret.hex() not in printed


def test_nothing_is_rotated_under_a_running_gateway(folder: Path) -> None:
    before = read_key_file(DataFolder(folder).key_file)
    held = DataFolder(folder).lock()
    with pytest.raises(Error, match="another hitproof runs on"):
        hitproof(folder, "kek", "rotate")
    held.close()
    assert read_key_file(DataFolder(folder).key_file) == before


def test_a_key_is_split_printed_once_and_joined_again(folder: Path) -> None:
    key = read_key_file(DataFolder(folder).key_file)
    done = json.loads(hitproof(folder, "kek", "split", "--threshold", "2", "--shares", "3"))
    assert combine_shares([parse_share(text) for text in done["shares"][1:]]) == key
    DataFolder(folder).key_file.unlink()
    joined = json.loads(hitproof(folder, "kek", "join", given="\n".join(done["shares"][:2]) + "\n"))
    assert joined["key"] == key.key_id
    assert read_key_file(DataFolder(folder).key_file) == key


def test_the_audit_log_knows_of_a_split_and_no_share(folder: Path) -> None:
    done = json.loads(hitproof(folder, "kek", "split", "--threshold", "2", "--shares", "2"))
    database = Database(sqlite_url(DataFolder(folder).database))
    last = database.read_now(lambda c: list_audit(c, tenant=None, after=0, limit=100))[-1]
    database.close()
    assert last.action == "kek.split"
    assert all(share.split("_")[-2] not in repr(last) for share in done["shares"])


def test_joining_never_writes_over_a_key(folder: Path) -> None:
    done = json.loads(hitproof(folder, "kek", "split", "--threshold", "2", "--shares", "2"))
    with pytest.raises(KeyFormError, match="never overwritten"):
        hitproof(folder, "kek", "join", given="\n".join(done["shares"]) + "\n")


@pytest.mark.parametrize(("threshold", "shares"), [("1", "2"), ("3", "2"), ("2", "33")])
def test_a_split_that_protects_nothing_is_refused(folder: Path, threshold: str, shares: str) -> None:
    with pytest.raises(KeyFormError):
        hitproof(folder, "kek", "split", "--threshold", threshold, "--shares", shares)
