from __future__ import annotations

import ast
import os
import threading
from pathlib import Path

import pytest

from crypto.ed25519 import verify_signature
from server.clock import SystemRandom
from server.runner.errors import RunnerConfigurationError
from server.runner.signing_key import load_or_create_signing_key
from tests.runner_fakes import FakeRandom

ROOT = Path(__file__).parents[4]


def test_a_missing_key_is_made_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "signing-key"
    key = load_or_create_signing_key(path, FakeRandom())
    assert path.stat().st_mode & 0o777 == 0o400
    assert path.parent.stat().st_mode & 0o077 == 0
    assert len(bytes.fromhex(path.read_text().strip())) == 32
    verify_signature(key.public_key, b"said", key.sign(b"said"))


def test_the_same_file_gives_the_same_key_and_another_file_another(tmp_path: Path) -> None:
    key = load_or_create_signing_key(tmp_path / "a", SystemRandom())
    assert load_or_create_signing_key(tmp_path / "a", SystemRandom()).public_key == key.public_key
    assert load_or_create_signing_key(tmp_path / "b", SystemRandom()).public_key != key.public_key


def test_nothing_but_the_key_is_left_behind(tmp_path: Path) -> None:
    load_or_create_signing_key(tmp_path / "key", FakeRandom())
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_runners_that_start_at_once_end_up_with_one_key(tmp_path: Path) -> None:
    found: list[bytes] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        found.append(load_or_create_signing_key(tmp_path / "key", SystemRandom()).public_key)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o420, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    load_or_create_signing_key(path, FakeRandom())
    path.chmod(mode)
    with pytest.raises(RunnerConfigurationError, match="chmod 400"):
        load_or_create_signing_key(path, FakeRandom())


@pytest.mark.parametrize("text", ["", "ab" * 31, "ab" * 33, "zz" * 32, "ä" * 64, "ab" * 5_000])
def test_a_file_that_holds_no_key_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o400)
    with pytest.raises(RunnerConfigurationError, match="does not hold a signing key"):
        load_or_create_signing_key(path, FakeRandom())
    assert path.read_text() == text


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    load_or_create_signing_key(tmp_path / "key", FakeRandom())
    (tmp_path / "link").symlink_to("key")
    with pytest.raises(RunnerConfigurationError, match="cannot be read"):
        load_or_create_signing_key(tmp_path / "link", FakeRandom())


def test_a_link_that_leads_nowhere_makes_no_key_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(RunnerConfigurationError, match="cannot be read"):
        load_or_create_signing_key(tmp_path / "link", FakeRandom())
    assert not (tmp_path / "elsewhere").exists()


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o400)
    with pytest.raises(RunnerConfigurationError):
        load_or_create_signing_key(tmp_path / "pipe", FakeRandom())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunnerConfigurationError, match="cannot be made"):
        load_or_create_signing_key(tmp_path / "file" / "key", FakeRandom())


def importers_of(module: str) -> set[str]:
    found = set()
    for path in (ROOT / "server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            if module in names:
                found.add(path.relative_to(ROOT).as_posix())
    return found


def test_only_the_runners_own_command_can_reach_its_key() -> None:
    assert importers_of("server.runner.signing_key") == {"server/cli/runner.py"}
