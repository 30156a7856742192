"""The key file: made durably once, read only when nobody else could have read it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tenants.errors import KeyFormError, SealedError
from tenants.key_files import create_key_file, read_key_file
from tenants.key_providers import FileKeyProvider
from tests.unit.tenants.fakes import CountingRandom


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "kek"
    create_key_file(path, CountingRandom())
    return path


def test_a_made_file_reads_back_as_the_key_that_was_drawn(key_file: Path) -> None:
    assert read_key_file(key_file).secret == CountingRandom().token_bytes(32)


def test_a_made_file_is_closed_to_everybody_else(key_file: Path) -> None:
    assert key_file.stat().st_mode & 0o7777 == 0o400


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        create_key_file(tmp_path / "kek", CountingRandom())
    finally:
        os.umask(before)
    assert (tmp_path / "kek").stat().st_mode & 0o7777 == 0o400


def test_a_key_file_is_never_overwritten(key_file: Path) -> None:
    before = key_file.read_bytes()
    with pytest.raises(KeyFormError, match="never overwritten"):
        create_key_file(key_file, CountingRandom("another"))
    assert key_file.read_bytes() == before


def test_a_dangling_link_is_not_followed_when_making_a_key(tmp_path: Path) -> None:
    (tmp_path / "kek").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFormError):
        create_key_file(tmp_path / "kek", CountingRandom())
    assert not (tmp_path / "elsewhere").exists()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFormError, match="choose another path"):
        create_key_file(tmp_path / "none" / "kek", CountingRandom())


def test_a_full_disk_leaves_no_half_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(KeyFormError, match="No space left"):
        create_key_file(tmp_path / "kek", CountingRandom())
    assert list(tmp_path.iterdir()) == []


def test_file_and_folder_are_synced_before_the_key_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def watch(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr("os.fsync", watch)
    create_key_file(tmp_path / "kek", CountingRandom())
    assert synced == [str(tmp_path / "kek"), str(tmp_path)]


@pytest.mark.parametrize("mode", [0o600, 0o440, 0o404, 0o444, 0o640, 0o644, 0o666, 0o500, 0o4400])
def test_any_other_mode_is_refused_with_the_command_that_mends_it(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(SealedError, match=f"chmod 0400 {key_file}"):
        read_key_file(key_file)


def test_a_symbolic_link_is_refused(key_file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(key_file)
    with pytest.raises(SealedError, match="symbolic link"):
        read_key_file(link)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SealedError, match="regular file"):
        read_key_file(tmp_path)


def test_a_pipe_is_refused_without_waiting_on_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o400)
    with pytest.raises(SealedError, match="regular file"):
        read_key_file(tmp_path / "pipe")


def test_a_file_of_another_user_is_refused(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if key_file.stat().st_uid == 0:
        # Files of root are trusted by everybody, so as root the file is given away first.
        os.chown(key_file, 12345, -1)
    else:
        monkeypatch.setattr("os.geteuid", lambda: 12345)
    with pytest.raises(SealedError, match="another user"):
        read_key_file(key_file)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SealedError, match=f"no key file at {tmp_path / 'kek'}"):
        read_key_file(tmp_path / "kek")


@pytest.mark.parametrize("content", [b"", b"\n", b"abc", b"zz" * 32, b"\xff" * 64, b"12" * 31, b"12" * 5000])
def test_other_content_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "kek"
    path.write_bytes(content)
    path.chmod(0o400)
    provider = FileKeyProvider(path)
    assert not provider.is_available()
    with pytest.raises(SealedError, match=f"the key file {path} does not hold 64 hexadecimal digits") as refusal:
        _ = provider.key_id
    assert b"12121212" not in str(refusal.value).encode()
