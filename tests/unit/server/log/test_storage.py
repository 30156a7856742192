"""The folder behind the log: durable in the right order, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto.checkpoint import Checkpoint
from server.log.disk import FILE_BYTES_MAX, RealDisk
from server.log.errors import LogRefusal
from server.log.state import load_state, save_state
from server.log.storage import DirectoryStorage
from tests.volatile_disk import PowerLoss, VolatileDisk


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    storage = DirectoryStorage(tmp_path)
    storage.write({"a": b"1", "deep/er/b": b"2"})
    storage.write({"a": b"3"})
    assert (storage.read("a"), storage.read("deep/er/b"), storage.read("c")) == (b"3", b"2", None)
    assert storage.list_folder("deep") == ["er"]
    assert storage.list_folder("nowhere") == []
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "deep", "er"]


def test_contents_are_synced_before_names_and_names_before_it_returns() -> None:
    disk = VolatileDisk(Path("/log"))
    DirectoryStorage(disk.root, disk).write({"tile/b": b"2"})
    assert disk.operations == [
        "make tile/",
        "sync log/",
        "write b.new",
        "sync b.new",
        "rename b",
        "sync tile/",
    ]


def test_a_power_cut_leaves_the_old_file_or_the_new_one_and_never_a_piece() -> None:
    fuse = 0
    while True:
        disk = VolatileDisk(Path("/log"))
        storage = DirectoryStorage(disk.root, disk)
        storage.write({"state": b"the old one"})
        disk.fuse = len(disk.operations) + fuse
        try:
            storage.write({"state": b"the new one, longer"})
        except PowerLoss:
            for seed in range(20):
                found = DirectoryStorage(disk.root, disk.after_power_loss(seed)).read("state")
                assert found in (b"the old one", b"the new one, longer")
            fuse += 1
            continue
        assert DirectoryStorage(disk.root, disk.after_power_loss(None)).read("state") == b"the new one, longer"
        break
    assert fuse == 4


def test_a_folder_that_is_no_longer_needed_goes(tmp_path: Path) -> None:
    storage = DirectoryStorage(tmp_path)
    storage.write({"tile/0/000.p/1": b"1", "tile/0/000.p/2": b"2"})
    storage.remove_folder("tile/0/000.p")
    storage.remove_folder("tile/0/001.p")
    assert storage.list_folder("tile/0") == []


def test_a_file_that_is_larger_than_any_of_ours_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(bytes(FILE_BYTES_MAX + 1))
    with pytest.raises(OSError, match="too large"):
        RealDisk().read(tmp_path / "state")


STATE = Checkpoint("log.example/test", 7, bytes(32))


def test_the_state_grows_and_never_goes_back(tmp_path: Path) -> None:
    storage = DirectoryStorage(tmp_path)
    assert load_state(storage) is None
    save_state(storage, STATE)
    save_state(storage, STATE)
    assert load_state(storage) == STATE
    for other in (
        Checkpoint("log.example/test", 6, bytes(32)),
        Checkpoint("log.example/test", 7, b"1" * 32),
        Checkpoint("log.example/other", 8, bytes(32)),
    ):
        with pytest.raises(LogRefusal):
            save_state(storage, other)
    save_state(storage, Checkpoint("log.example/test", 8, b"1" * 32))
    assert load_state(storage) == Checkpoint("log.example/test", 8, b"1" * 32)


def test_a_state_that_was_changed_in_form_is_refused(tmp_path: Path) -> None:
    storage = DirectoryStorage(tmp_path)
    body = STATE.body.encode()
    for data in (b"", body[:-1], body + b"\n", body.replace(b"\n7\n", b"\n07\n"), body.replace(b"A=", b"B="), b"\xff"):
        storage.write({"state": data})
        with pytest.raises(LogRefusal) as refusal:
            load_state(storage)
        assert refusal.value.reason == "state_damaged"
