from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from server.runner.errors import ModelFolderError
from server.runner.manifest_files import hash_folder, refuse_changed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    (model / "parts").mkdir(parents=True)
    (model / "parts" / "b.safetensors").write_bytes(b"weights")
    (model / "config.json").write_bytes(b"{}")
    return model


def test_files_are_listed_by_name_with_size_and_digest(folder: Path) -> None:
    found = [file.as_resource() for file in hash_folder(folder)]
    assert found == [
        {"name": "config.json", "size_bytes": 2, "sha256": hashlib.sha256(b"{}").hexdigest()},
        {"name": "parts/b.safetensors", "size_bytes": 7, "sha256": hashlib.sha256(b"weights").hexdigest()},
    ]


def test_files_that_are_never_read_are_not_listed(folder: Path) -> None:
    before = hash_folder(folder)
    for name in ("pytorch_model.bin", "model.pt", "modeling.py", "README.md", ".gitattributes"):
        (folder / name).write_bytes(b"x")
    (folder / ".git").mkdir()
    (folder / ".git" / "a.json").write_bytes(b"{}")
    assert hash_folder(folder) == before


def test_a_folder_with_pickled_weights_only_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    (tmp_path / "config.json").write_bytes(b"{}")
    with pytest.raises(ModelFolderError, match=r"no \.safetensors"):
        hash_folder(tmp_path)


def test_a_link_to_a_file_is_refused(folder: Path) -> None:
    (folder / "vocab.json").symlink_to(folder / "config.json")
    with pytest.raises(ModelFolderError, match=r"vocab\.json .* is a link"):
        hash_folder(folder)


def test_a_link_to_a_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (folder / "more").symlink_to(tmp_path / "other")
    with pytest.raises(ModelFolderError, match="is a link"):
        hash_folder(folder)


def test_a_link_to_the_model_itself_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ModelFolderError, match="links are not followed"):
        hash_folder(tmp_path / "link")


def test_a_missing_folder_and_a_file_are_refused(folder: Path) -> None:
    for path in (folder / "none", folder / "config.json"):
        with pytest.raises(ModelFolderError, match="is not a folder"):
            hash_folder(path)


def test_a_pipe_is_refused_and_does_not_hold_us_up(folder: Path) -> None:
    os.mkfifo(folder / "vocab.txt")
    with pytest.raises(ModelFolderError, match="not a regular file"):
        hash_folder(folder)


@pytest.mark.parametrize("name", ["-a.json", "a b.json", "ä.json", "x" * 201 + ".json"])
def test_a_name_that_a_manifest_cannot_carry_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"{}")
    with pytest.raises(ModelFolderError, match="cannot carry"):
        hash_folder(folder)


def test_a_nest_of_folders_is_refused(folder: Path) -> None:
    deep = folder / "a" / "b" / "c" / "d" / "e"
    deep.mkdir(parents=True)
    with pytest.raises(ModelFolderError, match="nests deeper"):
        hash_folder(folder)


def test_an_untouched_folder_passes_the_second_look(folder: Path) -> None:
    refuse_changed(folder, hash_folder(folder))


def test_a_file_changed_while_loading_is_noticed(folder: Path) -> None:
    files = hash_folder(folder)
    (folder / "config.json").write_bytes(b"[]")
    os.utime(folder / "config.json", ns=(0, 0))
    with pytest.raises(ModelFolderError, match=r"config\.json changed"):
        refuse_changed(folder, files)


def test_a_file_that_came_while_loading_is_noticed(folder: Path) -> None:
    files = hash_folder(folder)
    (folder / "generation_config.json").write_bytes(b"{}")
    with pytest.raises(ModelFolderError, match="came to"):
        refuse_changed(folder, files)
