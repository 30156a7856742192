"""The demo model's files on disk are what its manifest names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crypto.model_folder import is_model_folder
from server.cli import main
from server.runner.demo.engine import load_demo_engine


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["hitproof", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    code = ended.value.code
    assert isinstance(code, int)
    return code


def test_the_demo_models_files_are_those_of_its_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    assert run(monkeypatch, "model", "files", str(folder), "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert is_model_folder(load_demo_engine().manifest, folder)


def test_a_folder_with_something_in_it_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("x")
    assert run(monkeypatch, "model", "files", str(tmp_path)) == 1
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_signature_for_a_version_that_was_never_seen_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fixtures = Path(__file__).parents[3] / "fixtures" / "model_signing"
    assert run(monkeypatch, "db", "upgrade", "--data", str(tmp_path / "data")) == 0
    capsys.readouterr()
    words = ["model", "import-signature", "sha256:" + "0" * 64, str(fixtures / "demo_model.json")]
    words += ["--publisher-key", str(fixtures / "publisher.pem"), "--data", str(tmp_path / "data")]
    assert run(monkeypatch, *words) == 1
    assert "no such model version" in capsys.readouterr().err
