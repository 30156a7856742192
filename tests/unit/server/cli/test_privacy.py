"""`hitproof privacy simulate` prints what it computed, labelled as what it is."""

from __future__ import annotations

import json

import pytest

from server.cli import privacy

SMALL = {
    "organisations": 60,
    "questions_per_organisation": 20,
    "topics": 200,
    "zipf": 1.0,
    "key_share": 0.5,
    "recall": 0.5,
    "unit": "question",
    "vector_source": "released_text",
    "epsilon_micro": 0,
    "delta_atto": 0,
    "keys_max": 0,
    "organisations_min": 50,
    "seed": 1,
}


def simulated(capsys: pytest.CaptureFixture[str], **changes: object) -> dict[str, object]:
    privacy.simulate(**{**SMALL, **changes}, as_json=True)  # type: ignore[arg-type]
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_everything_is_one_labelled_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    found = simulated(capsys)
    assert found["label"] == "SIMULATION of synthetic traffic"
    assert found["terms"]["threshold"] == 11  # type: ignore[index]
    assert found["yield"]["released_keys"] > 0  # type: ignore[index]
    assert found["release_chance"]["10"] == 0.1192  # type: ignore[index]


def test_the_organisations_total_stands_beside_what_holds_for_a_question(capsys: pytest.CaptureFixture[str]) -> None:
    found = simulated(capsys)["privacy"]
    assert found["unit_in_a_period"]["epsilon_micro"] == 2_000_000  # type: ignore[index]
    assert found["organisation_in_a_period"]["epsilon_micro"] == 600_000_000  # type: ignore[index]


def test_the_accountants_report_gaussian_terms(capsys: pytest.CaptureFixture[str]) -> None:
    found = simulated(capsys, unit="organisation")["privacy"]
    reported = found["reported_for_the_organisation"]  # type: ignore[index]
    assert reported["label"] == "continuous reference"
    assert 7.0 < reported["exact"] <= reported["prv"] <= reported["rdp"] < 8.5


def test_an_empty_pool_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert "fewer than the 50" in simulated(capsys, organisations=30)["yield"]["empty_because"]  # type: ignore[index]


def test_figures_that_were_never_measured_are_not_made_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privacy.measured.load_reidentification", lambda: ())
    assert simulated(capsys)["noised"]["measured"] is None  # type: ignore[index]


def test_a_person_reads_lines_under_the_same_label(capsys: pytest.CaptureFixture[str]) -> None:
    privacy.simulate(**SMALL, as_json=False)  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "SIMULATION of synthetic traffic"
    assert any(line.startswith("yield:") and "incremental=" in line for line in lines)
