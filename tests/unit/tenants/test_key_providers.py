"""Key providers: sealed until the key is there, and never anything but that key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from crypto.canonical import digest_fields
from tenants.errors import KeyFormError, SealedError
from tenants.identifiers import TenantId
from tenants.key_files import create_key_file
from tenants.key_providers import (
    EnvironmentKeyProvider,
    FileKeyProvider,
    KeyProvider,
    RotatingKeyProvider,
    ShamirKeyProvider,
    rewrap,
)
from tenants.key_shares import split_key
from tenants.key_wrapping import KeyEncryptionKey
from tests.unit.tenants.fakes import CountingRandom

SECRET = CountingRandom().token_bytes(32)
DATA_KEY = CountingRandom("data key").token_bytes(32)
TENANT = TenantId("ten_a")


def from_file(folder: Path) -> KeyProvider:
    create_key_file(folder / "kek", CountingRandom())
    return FileKeyProvider(folder / "kek")


def from_environment(folder: Path) -> KeyProvider:
    return EnvironmentKeyProvider("KEK", {"KEK": SECRET.hex()})


def from_shares(folder: Path) -> KeyProvider:
    provider = ShamirKeyProvider()
    for text in split_key(SECRET, 2, 3)[1:]:
        provider.give(text)
    return provider


def rotating(folder: Path) -> KeyProvider:
    return RotatingKeyProvider(from_environment(folder), environment(b"previous"))


def environment(seed: bytes) -> EnvironmentKeyProvider:
    return EnvironmentKeyProvider("KEK", {"KEK": digest_fields("test/kek/v1", seed).hex()})


AVAILABLE: dict[str, Callable[[Path], KeyProvider]] = {
    "file": from_file,
    "environment": from_environment,
    "shares": from_shares,
    "rotating": rotating,
}
SEALED: dict[str, Callable[[Path], KeyProvider]] = {
    "file": lambda folder: FileKeyProvider(folder / "none"),
    "environment, unset": lambda folder: EnvironmentKeyProvider("KEK", {}),
    "environment, empty": lambda folder: EnvironmentKeyProvider("KEK", {"KEK": ""}),
    "environment, wrong": lambda folder: EnvironmentKeyProvider("KEK", {"KEK": "secret"}),
    "shares": lambda folder: ShamirKeyProvider(),
    "rotating": lambda folder: RotatingKeyProvider(ShamirKeyProvider(), environment(b"previous")),
}


@pytest.mark.parametrize("name", AVAILABLE)
def test_a_provider_unwraps_what_it_wrapped(name: str, tmp_path: Path) -> None:
    provider = AVAILABLE[name](tmp_path)
    assert provider.is_available()
    assert provider.unwrap(provider.wrap(DATA_KEY, tenant=TENANT, epoch=1), tenant=TENANT, epoch=1) == DATA_KEY


@pytest.mark.parametrize("name", AVAILABLE)
def test_where_the_key_lies_changes_neither_its_name_nor_what_it_opens(name: str, tmp_path: Path) -> None:
    provider, plain = AVAILABLE[name](tmp_path), KeyEncryptionKey(SECRET)
    assert provider.key_id == plain.key_id
    assert provider.unwrap(plain.wrap(DATA_KEY, tenant=TENANT, epoch=1), tenant=TENANT, epoch=1) == DATA_KEY


@pytest.mark.parametrize("name", AVAILABLE)
def test_a_provider_refuses_a_moved_data_key(name: str, tmp_path: Path) -> None:
    provider = AVAILABLE[name](tmp_path)
    wrapped = provider.wrap(DATA_KEY, tenant=TENANT, epoch=1)
    with pytest.raises(SealedError):
        provider.unwrap(wrapped, tenant=TenantId("ten_b"), epoch=1)
    with pytest.raises(SealedError):
        provider.unwrap(wrapped, tenant=TENANT, epoch=2)


@pytest.mark.parametrize("name", SEALED)
def test_a_provider_without_its_key_does_nothing(name: str, tmp_path: Path) -> None:
    provider = SEALED[name](tmp_path)
    assert not provider.is_available()
    wrapped = KeyEncryptionKey(SECRET).wrap(DATA_KEY, tenant=TENANT, epoch=1)
    for use in (
        lambda: provider.key_id,
        lambda: provider.wrap(DATA_KEY, tenant=TENANT, epoch=1),
        lambda: provider.unwrap(wrapped, tenant=TENANT, epoch=1),
    ):
        with pytest.raises(SealedError):
            use()


def test_a_file_that_appears_later_opens_the_provider(tmp_path: Path) -> None:
    provider = FileKeyProvider(tmp_path / "kek")
    assert not provider.is_available()
    create_key_file(tmp_path / "kek", CountingRandom())
    assert provider.is_available()


def test_sealing_forgets_a_key_that_is_gone_from_its_place(tmp_path: Path) -> None:
    create_key_file(tmp_path / "kek", CountingRandom())
    provider = FileKeyProvider(tmp_path / "kek")
    assert provider.is_available()
    (tmp_path / "kek").unlink()
    assert provider.is_available()
    provider.seal()
    assert not provider.is_available()


def test_the_variable_is_named_and_its_content_is_not() -> None:
    with pytest.raises(SealedError, match="HITPROOF_KEK") as refusal:
        _ = EnvironmentKeyProvider("HITPROOF_KEK", {"HITPROOF_KEK": "hunter2"}).key_id
    assert "hunter2" not in str(refusal.value)


def test_shares_open_at_the_threshold_and_not_before() -> None:
    provider, shares = ShamirKeyProvider(), split_key(SECRET, 3, 5)
    assert (provider.progress.given, provider.progress.needed) == (0, None)
    for given, text in enumerate(shares[1:3], start=1):
        progress = provider.give(text)
        assert (progress.given, progress.needed, progress.is_open) == (given, 3, False)
        assert not provider.is_available()
    assert provider.give(shares[4]).is_open
    assert provider.is_available()
    assert provider.progress.is_open


def test_a_sealed_provider_says_how_many_shares_are_missing() -> None:
    provider = ShamirKeyProvider()
    provider.give(split_key(SECRET, 3, 5)[0])
    with pytest.raises(SealedError, match="give 2 more"):
        _ = provider.key_id


def test_a_share_given_twice_is_refused_and_counted_once() -> None:
    provider, shares = ShamirKeyProvider(), split_key(SECRET, 2, 3)
    provider.give(shares[0])
    with pytest.raises(KeyFormError, match="share 1 was given already"):
        provider.give(shares[0])
    assert provider.progress.given == 1
    assert provider.give(shares[1]).is_open


def test_a_share_of_another_split_is_refused_and_the_others_stay() -> None:
    provider, shares, others = ShamirKeyProvider(), split_key(SECRET, 2, 3), split_key(SECRET, 2, 3)
    provider.give(shares[0])
    with pytest.raises(KeyFormError, match="another set"):
        provider.give(others[1])
    assert provider.give(shares[1]).is_open


def test_a_share_of_another_key_is_refused_when_the_key_is_known() -> None:
    provider = ShamirKeyProvider(expected_key_id=KeyEncryptionKey(SECRET).key_id)
    with pytest.raises(KeyFormError, match="the store needs"):
        provider.give(split_key(DATA_KEY, 2, 3)[0])
    for text in split_key(SECRET, 2, 3)[:2]:
        provider.give(text)
    assert provider.is_available()


def test_a_forged_share_with_a_good_checksum_opens_nothing_and_drops_all() -> None:
    provider, shares = ShamirKeyProvider(), split_key(SECRET, 2, 3)
    *head, _share, _checksum = shares[1].split("_")
    body = "_".join([*head, "ab" * 32])
    forged = f"{body}_{digest_fields('hitproof/share-checksum/v1', body.encode())[:4].hex()}"
    provider.give(shares[0])
    with pytest.raises(KeyFormError, match="forged"):
        provider.give(forged)
    assert not provider.is_available()
    assert provider.progress.given == 0
    for text in shares[:2]:
        provider.give(text)
    assert provider.is_available()


def test_an_open_provider_takes_further_shares_calmly() -> None:
    provider, shares = ShamirKeyProvider(), split_key(SECRET, 2, 3)
    for text in shares:
        assert provider.give(text).needed == 2
    assert provider.key_id == KeyEncryptionKey(SECRET).key_id


def test_sealing_forgets_shares_and_key() -> None:
    provider, shares = ShamirKeyProvider(), split_key(SECRET, 2, 3)
    for text in shares[:2]:
        provider.give(text)
    provider.seal()
    assert not provider.is_available()
    assert provider.progress.given == 0
    provider.give(shares[0])
    provider.seal()
    assert not provider.give(shares[1]).is_open


def test_rewrapping_moves_a_data_key_to_the_new_key() -> None:
    old, new = environment(b"old"), environment(b"new")
    wrapped = rewrap(old, new, old.wrap(DATA_KEY, tenant=TENANT, epoch=4), tenant=TENANT, epoch=4)
    assert new.unwrap(wrapped, tenant=TENANT, epoch=4) == DATA_KEY
    with pytest.raises(SealedError):
        old.unwrap(wrapped, tenant=TENANT, epoch=4)


def test_rewrapping_refuses_a_moved_data_key() -> None:
    old, new = environment(b"old"), environment(b"new")
    with pytest.raises(SealedError):
        rewrap(old, new, old.wrap(DATA_KEY, tenant=TENANT, epoch=4), tenant=TenantId("ten_b"), epoch=4)


def test_during_a_rotation_both_keys_open_and_the_new_one_wraps() -> None:
    old, new = environment(b"old"), environment(b"new")
    both = RotatingKeyProvider(new, old)
    assert both.unwrap(old.wrap(DATA_KEY, tenant=TENANT, epoch=1), tenant=TENANT, epoch=1) == DATA_KEY
    assert both.key_id == new.key_id
    assert new.unwrap(both.wrap(DATA_KEY, tenant=TENANT, epoch=1), tenant=TENANT, epoch=1) == DATA_KEY


def test_during_a_rotation_a_third_key_is_named() -> None:
    third = environment(b"third")
    with pytest.raises(SealedError, match=third.key_id):
        RotatingKeyProvider(environment(b"new"), environment(b"old")).unwrap(
            third.wrap(DATA_KEY, tenant=TENANT, epoch=1), tenant=TENANT, epoch=1
        )


def test_a_previous_key_that_is_gone_does_not_hide_the_reason() -> None:
    new = environment(b"new")
    with pytest.raises(SealedError, match=new.key_id):
        RotatingKeyProvider(new, ShamirKeyProvider()).unwrap(
            environment(b"old").wrap(DATA_KEY, tenant=TENANT, epoch=1), tenant=TENANT, epoch=1
        )
