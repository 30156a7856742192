from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from server.cli import app
from server.pool.errors import PoolError


def call(folder: Path, *arguments: str, models: str = "") -> Any:
    environment = {"HITPROOF_POOL_MODELS": models} if models else {}
    done = CliRunner().invoke(app, ["pool", *arguments, "--data", str(folder), "--json"], env=environment)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_a_pool_that_is_off_says_so(tmp_path: Path) -> None:
    status = call(tmp_path, "status")
    assert not status["enabled"] and status["is_empty"]
    assert status["why"] == "the pool is off: no model is named in pool_models"


def test_the_status_names_the_terms_and_what_they_mean_for_an_organisation(tmp_path: Path) -> None:
    terms = call(tmp_path, "status", models="m")["terms"]
    assert (terms["unit"], terms["threshold"], terms["epsilon_micro"]) == ("question", 11, 2_000_000)
    charged = terms["charges"][0]["keys_max"] * terms["epsilon_micro"] * 3
    assert terms["guarantee_of_organisation"]["epsilon_micro"] == charged
    assert terms["guarantee_of_budget"]["epsilon_micro"] > charged


def test_a_profile_is_made_once_and_keeps_its_meaning(tmp_path: Path) -> None:
    system = tmp_path / "system.txt"
    system.write_text("Answer in one sentence.")
    data = tmp_path / "data"
    call(data, "profile", "add", "brief", "--system", str(system), "--parameters", '{"temperature": 0}')
    with pytest.raises(Exception, match="exists"):
        call(data, "profile", "add", "brief")
    assert call(data, "profile", "list") == [
        {"name": "brief", "system": "Answer in one sentence.", "parameters": {"temperature": 0}},
        {"name": "plain", "system": None, "parameters": {}},
    ]


def test_nothing_is_released_where_the_pool_is_off(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="the pool is off"):
        call(tmp_path, "release")
