from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from crypto.errors import VerificationError
from crypto.manifest import SCHEMA
from crypto.model_folder import is_model_folder, read_model_files, verify_model_folder, verify_unchanged

FILES = {"config.json": b"{}", "parts/one.safetensors": b"\x01\x02\x03", "parts/two.safetensors": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def manifest(**changes: Any) -> dict[str, Any]:
    resources = [
        {"name": name, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(FILES.items())
    ]
    rest = dict.fromkeys(("tokenizer", "chat_template", "config", "quantisation", "runtime", "numerics"))
    return {
        "schema": SCHEMA,
        "name": "tiny",
        "resources": resources,
        **rest,
        "weight_commitments": [],
        "openssf_digest": None,
    } | changes


def test_a_folder_with_every_file_is_the_models(folder: Path) -> None:
    assert [file.name for file in verify_model_folder(manifest(), folder)] == sorted(FILES)
    assert is_model_folder(manifest(), folder)


def test_files_are_returned_as_they_were_hashed(folder: Path) -> None:
    assert read_model_files(manifest(), folder, 5) == FILES


def test_files_beyond_the_limit_are_not_read(folder: Path) -> None:
    with pytest.raises(VerificationError, match="larger than 4"):
        read_model_files(manifest(), folder, 4)


def test_files_that_the_manifest_does_not_name_do_not_matter(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    assert is_model_folder(manifest(), folder)


def test_a_changed_byte_is_refused(folder: Path) -> None:
    (folder / "parts/one.safetensors").write_bytes(b"\x01\x02\x04")
    with pytest.raises(VerificationError, match=r"parts/one\.safetensors has another digest") as caught:
        verify_model_folder(manifest(), folder)
    assert caught.value.reason == "replay_failed"
    assert not is_model_folder(manifest(), folder)


def test_a_longer_a_shorter_and_a_missing_file_are_refused(folder: Path) -> None:
    for data in (b"\x01\x02\x03\x04", b"\x01"):
        (folder / "parts/one.safetensors").write_bytes(data)
        with pytest.raises(VerificationError, match="another size"):
            verify_model_folder(manifest(), folder)
    (folder / "parts/one.safetensors").unlink()
    with pytest.raises(VerificationError, match="cannot be read"):
        verify_model_folder(manifest(), folder)


def test_a_pipe_in_place_of_a_file_is_refused_without_waiting(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    with pytest.raises(VerificationError, match="regular"):
        verify_model_folder(manifest(), folder)


def test_a_name_that_leads_out_of_the_folder_is_refused(folder: Path) -> None:
    outside = [{"name": "../secret", "size_bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}]
    with pytest.raises(VerificationError, match="safe relative path"):
        verify_model_folder(manifest(resources=outside), folder)


def test_a_file_replaced_after_hashing_is_noticed(folder: Path) -> None:
    hashed = verify_model_folder(manifest(), folder)
    verify_unchanged(hashed)
    (folder / "new").write_bytes(FILES["config.json"])
    (folder / "new").rename(folder / "config.json")
    with pytest.raises(VerificationError, match="changed while"):
        verify_unchanged(hashed)
