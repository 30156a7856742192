"""Which provider the settings open, and with which older keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.datafolder import DataFolder
from server.keys import find_shamir_provider, open_key_provider
from server.settings import load_settings
from tenants.errors import KeyFormError, SealedError
from tenants.identifiers import TenantId
from tenants.key_files import create_key_file, read_key_file
from tenants.key_providers import FileKeyProvider, KeyProvider
from tenants.key_shares import split_key
from tests.fakes import SeededRandom

TENANT = TenantId("ten_a")
SECRET = bytes(range(32))


def open_provider(folder: Path, *wrapped_under: str, **settings: Any) -> KeyProvider:
    data = DataFolder(folder)
    data.create()
    loaded = load_settings(environ={}, overrides={"data": folder, **settings})
    return open_key_provider(loaded, data, SeededRandom(7), wrapped_under=wrapped_under)


def opens(provider: KeyProvider, wrapped: bytes) -> bool:
    try:
        return provider.unwrap(wrapped, tenant=TENANT, epoch=1) == SECRET
    except SealedError:
        return False


def test_a_new_store_gets_a_key_file(tmp_path: Path) -> None:
    provider = open_provider(tmp_path)
    assert read_key_file(tmp_path / "keys" / "kek").key_id == provider.key_id


def test_a_lost_key_file_is_never_replaced(tmp_path: Path) -> None:
    provider = open_provider(tmp_path, "kek-0123456789abcdef")
    assert not (tmp_path / "keys" / "kek").exists()
    assert not provider.is_available()
    with pytest.raises(SealedError, match="restore it"):
        provider.wrap(SECRET, tenant=TENANT, epoch=1)


def test_a_key_file_put_back_opens_a_running_process(tmp_path: Path) -> None:
    provider = open_provider(tmp_path, "kek-0123456789abcdef")
    assert not provider.is_available()
    create_key_file(tmp_path / "keys" / "kek", SeededRandom(1))
    assert provider.is_available()


def test_the_key_may_stand_in_a_variable_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", SECRET.hex())
    provider = open_provider(tmp_path, key_provider="env", key_variable="SOME_KEY")
    assert provider.is_available()
    assert not (tmp_path / "keys" / "kek").exists()
    monkeypatch.delenv("SOME_KEY")
    assert not open_provider(tmp_path, key_provider="env", key_variable="SOME_KEY").is_available()


def test_a_store_in_shares_starts_sealed_and_opens_with_enough_of_them(tmp_path: Path) -> None:
    shares = split_key(SECRET, 2, 3)
    provider = open_provider(tmp_path, key_provider="shamir")
    assert not provider.is_available()
    shamir = find_shamir_provider(provider)
    assert shamir is not None
    assert shamir.give(shares[0]).is_open is False
    assert shamir.give(shares[2]).is_open is True
    assert provider.is_available()


def test_shares_of_another_key_than_the_stores_are_refused(tmp_path: Path) -> None:
    shamir = find_shamir_provider(open_provider(tmp_path, "kek-0123456789abcdef", key_provider="shamir"))
    assert shamir is not None
    with pytest.raises(KeyFormError, match="kek-0123456789abcdef"):
        shamir.give(split_key(SECRET, 2, 3)[0])


@pytest.mark.parametrize("kind", ["file", "shamir"])
def test_a_previous_key_opens_what_it_wrapped_and_wraps_nothing_new(tmp_path: Path, kind: str) -> None:
    create_key_file(tmp_path / "previous", SeededRandom(1))
    previous = FileKeyProvider(tmp_path / "previous")
    old = previous.wrap(SECRET, tenant=TENANT, epoch=1)
    provider = open_provider(tmp_path, key_provider=kind, previous_key_file=tmp_path / "previous")
    shamir = find_shamir_provider(provider)
    if shamir is not None:
        for share in split_key(SECRET, 2, 2):
            shamir.give(share)
    assert opens(provider, old)
    new = provider.wrap(SECRET, tenant=TENANT, epoch=1)
    assert opens(provider, new)
    assert not opens(previous, new)


def test_an_old_key_beside_the_new_one_is_found_while_data_keys_need_it(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    create_key_file(tmp_path / "old", SeededRandom(1))
    old = FileKeyProvider(tmp_path / "old")
    (tmp_path / "old").rename(DataFolder(tmp_path).old_key_file(old.key_id))
    create_key_file(tmp_path / "keys" / "kek", SeededRandom(2))
    assert old.key_id  # read before it moved
    wrapped = FileKeyProvider(DataFolder(tmp_path).old_key_file(old.key_id)).wrap(SECRET, tenant=TENANT, epoch=1)
    assert opens(open_provider(tmp_path, old.key_id), wrapped)
    assert not opens(open_provider(tmp_path), wrapped)


def test_a_name_from_a_row_that_is_no_name_leads_to_no_file(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    create_key_file(tmp_path / "keys" / "kek", SeededRandom(2))
    create_key_file(tmp_path / "elsewhere.old", SeededRandom(1))
    stray = FileKeyProvider(tmp_path / "elsewhere.old").wrap(SECRET, tenant=TENANT, epoch=1)
    assert not opens(open_provider(tmp_path, "x/../../elsewhere"), stray)
