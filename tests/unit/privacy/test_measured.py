"""Measured figures are read as they are, or it is said that there are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from privacy.errors import PrivacyError
from privacy.measured import Reidentification, load_reidentification

ROW = {"epsilon_milli": 8000, "dictionary": 10_000, "reidentified": 0.01, "found": 0.003}


def test_figures_come_back_by_epsilon(tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    rows = [{**ROW, "epsilon_milli": 64_000, "reidentified": 0.39}, ROW]
    file.write_text(json.dumps({"measured_by": "a command", "reidentification": rows}))
    found = load_reidentification(file)
    assert found[0] == Reidentification(8000, 10_000, 0.01, 0.003)
    assert [row.epsilon_milli for row in found] == [8000, 64_000]


def test_without_a_file_there_are_no_figures(tmp_path: Path) -> None:
    assert load_reidentification(tmp_path / "measured.json") == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"reidentification": [{}]}', '{"reidentification": [1]}'])
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "measured.json"
    file.write_text(text)
    with pytest.raises(PrivacyError):
        load_reidentification(file)
