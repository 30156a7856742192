"""The data folder: paths, closed secrets, one process at a time."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from server.datafolder import DataFolder, DataFolderError, read_or_create_secret, write_secret
from tests.fakes import SeededRandom


def test_everything_lies_below_the_root(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    for path in (
        folder.database,
        folder.key_file,
        folder.new_key_file,
        folder.old_key_file("kek-0123456789abcdef"),
        folder.pepper_file,
        folder.runner_token_file,
        folder.platform_key_file,
        folder.quickstart_file,
    ):
        assert path.is_relative_to(tmp_path / "data")


def test_making_it_twice_is_fine_and_keys_are_closed_to_others(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "deep" / "data")
    folder.create()
    folder.create()
    assert stat.S_IMODE((folder.root / "keys").stat().st_mode) == 0o700


def test_a_folder_that_is_made_is_closed_to_others(tmp_path: Path) -> None:
    DataFolder(tmp_path / "new").create()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFolderError, match="choose another with --data"):
        DataFolder(tmp_path / "file" / "data").create()


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    held = folder.lock()
    with pytest.raises(DataFolderError, match="another hitproof runs on"):
        folder.lock()
    held.close()
    folder.lock().close()


def test_the_lock_of_a_killed_process_is_gone(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from server.datafolder import DataFolder; "
        "held = DataFolder(Path(sys.argv[1])).lock(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment, check=False)
    assert killed.returncode == -9
    DataFolder(tmp_path).lock().close()


def test_a_folder_that_is_not_there_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="cannot be locked"):
        DataFolder(tmp_path / "missing").lock()


def test_a_secret_is_made_once_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    made = read_or_create_secret(path, SeededRandom(1))
    assert len(made) == 32
    assert read_or_create_secret(path, SeededRandom(2)) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o400


def test_a_secret_is_never_written_over_another(tmp_path: Path) -> None:
    write_secret(tmp_path / "secret", "first")
    with pytest.raises(FileExistsError):
        write_secret(tmp_path / "secret", "second")
    assert (tmp_path / "secret").read_text() == "first"


@pytest.mark.parametrize("content", ["", "zz", "00" * 31, "00" * 33, "\xff"])
def test_a_damaged_secret_is_refused_rather_than_made_anew(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataFolderError, match="restore it"):
        read_or_create_secret(path, SeededRandom(1))
    assert path.read_bytes() == content.encode("latin-1")
