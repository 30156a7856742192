"""The command line's edge: what goes wrong is one line that names what to change."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.cli import main


def test_a_file_that_is_not_there_is_one_line_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "policy.json"
    words = ["hitproof", "policy", "set", "a/tenant", f"@{missing}", "--data", str(tmp_path / "data")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"hitproof: {missing}: No such file or directory\n"
