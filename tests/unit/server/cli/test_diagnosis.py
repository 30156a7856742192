"""`hitproof doctor`: what it says of an embedder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli import app
from tests.fakes import WordEmbedder


@pytest.mark.parametrize(("dimension", "is_provable"), [(2_048, True), (3_072, False)])
def test_it_says_when_hits_of_this_embedder_cannot_be_proved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dimension: int, is_provable: bool
) -> None:
    embedder = WordEmbedder()
    embedder.dimension = dimension
    monkeypatch.setattr("server.serving.load_configured_embedder", lambda _: embedder)
    done = CliRunner().invoke(app, ["doctor", "--data", str(tmp_path), "--json"])
    found = next(one for one in json.loads(done.stdout)["checks"] if one["check"] == "embedder")
    assert found["ok"] and f"{dimension} dimensions" in found["found"]
    assert ("no hit by meaning can be proved" not in found["found"]) is is_provable
