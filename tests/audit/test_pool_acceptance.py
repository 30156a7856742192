"""Months of organisations that share, from one command to an auditor's verdict: the pool as a newcomer would see it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from crypto.bundle import build_bundle, parse_bundle
from crypto.ed25519 import SigningKey
from server.datafolder import DataFolder
from tests.api.test_quickstart import ask
from tests.audit.test_acceptance import hitproof, verify
from tests.audit.test_install import make_auditor_environment

ORGANISATIONS = 60
START_S = 400


@pytest.fixture(scope="module")
def auditor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_auditor_environment(tmp_path_factory.mktemp("auditor")).parent / "hitproof-verify"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pool") / "data"


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[dict[str, Any]]:
    """A gateway after `hitproof quickstart --organisations 60`: its ready line."""
    command = [sys.executable, "-m", "server.cli", "quickstart", "--data", str(folder), "--port", "0", "--json"]
    with (folder.parent / "stderr.txt").open("w") as log:
        process = subprocess.Popen(
            [*command, "--organisations", str(ORGANISATIONS)], stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, (folder.parent / "stderr.txt").read_text()[-3000:]
    try:
        yield json.loads(line)
    finally:
        process.terminate()
        process.wait(timeout=60)
        process.stdout.close()


@pytest.fixture(scope="module")
def simulation(running: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = running["simulation"]
    return found


@pytest.fixture(scope="module")
def bundle(running: dict[str, Any], simulation: dict[str, Any], folder: Path) -> Path:
    """The last organisation's bundle: it got answers of both modes of the pool, and paid for two releases."""
    path = folder.parent / "bundle.zip"
    found = hitproof(folder, "audit", "export", f"{simulation['organisations'][-1]['name']}/desk", str(path))
    assert (found["spendings"], found["releases"]) == (2, 3)
    return path


def client_of(running: dict[str, Any], organisation: dict[str, Any]) -> OpenAI:
    return OpenAI(base_url=running["url"] + "/v1", api_key=organisation["key"], max_retries=0)


def test_the_simulation_says_that_it_is_one(simulation: dict[str, Any]) -> None:
    assert simulation["label"].startswith("SIMULATION")
    assert len(simulation["organisations"]) == ORGANISATIONS


def test_organisations_got_answers_of_the_pool_to_questions_they_never_asked(simulation: dict[str, Any]) -> None:
    assert simulation["hits"]["pooled"] >= ORGANISATIONS // 2
    assert simulation["hits"]["noised"] == 1
    assert all(hit["receipt"]["grade"] == "attested" for hit in simulation["pool_hits"])


def test_a_client_gets_an_answer_of_the_pool_with_a_receipt_from_the_running_gateway(
    running: dict[str, Any], simulation: dict[str, Any]
) -> None:
    asked_before = {hit["question"] for hit in simulation["pool_hits"] if hit["organisation"] == "simulated-59"}
    with client_of(running, simulation["organisations"][-1]) as client:
        tiers = [ask(client, question).hitproof["tier"] for question in asked_before]
        account = ask(client, next(iter(asked_before))).hitproof
    assert tiers == ["pool"] * len(asked_before) and tiers
    assert account["receipt"]["grade"] == "attested"
    assert "cosine" not in json.dumps({**account, "nearest": None})


def test_publishing_stopped_when_the_budget_was_used_up_and_reading_went_on(
    folder: Path, running: dict[str, Any], simulation: dict[str, Any]
) -> None:
    status = hitproof(folder, "pool", "status")
    states = [epoch["state"] for epoch in status["epochs"] if epoch["state"] != "open"]
    assert sorted(states) == ["exhausted", "released", "released"]
    ledger = hitproof(folder, "privacy", "ledger", "--organisation", simulation["organisations"][5]["name"])
    (organisation,) = ledger["organisations"]
    (period,) = organisation["periods"]
    assert period["is_exhausted"] is True
    assert period["spent"]["epsilon_micro"] == period["budget"]["epsilon_micro"]
    assert [spending["number"] for spending in period["spendings"]] == [1, 2]


def test_the_bundle_verifies_with_its_ledger_under_both_implementations(
    auditor: Path, bundle: Path, running: dict[str, Any]
) -> None:
    code, report = verify(auditor, bundle, running["trust"], "--cross-check", "--max-age", "1h")
    assert code == 0, report
    checks = {check["check"]: check["status"] for check in report["checks"]}
    assert checks["ledger"] == "passed" and checks["receipts"] == "passed" and checks["hits"] == "passed"


@pytest.mark.parametrize("member", ["spendings", "releases"])
def test_a_spending_or_release_that_is_left_out_is_noticed_even_when_the_gateway_signs_the_rest(
    member: str, auditor: Path, bundle: Path, running: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    """The gateway's own key signs what is left, as an operator who wants to hide something would."""
    from dataclasses import replace

    parts = parse_bundle(bundle.read_bytes()).parts
    lines = getattr(parts, member)
    without = replace(parts, **{member: lines[1:]})
    signer = SigningKey(bytes.fromhex(DataFolder(folder).gateway_signing_key_file.read_text().strip()))
    (tmp_path / "less.zip").write_bytes(build_bundle(without, signer))
    assert verify(auditor, tmp_path / "less.zip", running["trust"])[0] == 1


def test_the_votes_and_their_keys_are_gone(folder: Path, running: dict[str, Any], tmp_path: Path) -> None:
    import sqlite3

    for name in ("hitproof.db", "hitproof.db-wal"):
        if (folder / name).exists():
            shutil.copy(folder / name, tmp_path / name)
    with sqlite3.connect(tmp_path / "hitproof.db") as connection:
        open_epoch = connection.execute("SELECT max(epoch) FROM pool_epochs WHERE state = 'open'").fetchone()[0]
        assert connection.execute("SELECT count(*) FROM pool_votes WHERE epoch < ?", (open_epoch,)).fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM vote_keys WHERE epoch < ?", (open_epoch,)).fetchone() == (0,)
