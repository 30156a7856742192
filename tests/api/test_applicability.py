"""Applicability over HTTP: proofs of hits by meaning, made when they are wanted, and what is said where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto.canonical import parse_canonical_json
from crypto.tlog_proof import parse_tlog_proof
from server.ports import JsonObject
from tests.api.in_process import GENEROUS, InProcess, in_process
from tests.fakes import Options

QUESTION = "Which lantern hangs over the northern gate of the harbour?"
ALIKE = "Which lantern hangs over the northern gate of our harbour?"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[InProcess]:
    settings = {"log_sequencer": True, "log_interval_s": 0.05}
    with in_process(tmp_path, Options(quota=GENEROUS, settings=settings)) as running:
        yield running


def asked(house: InProcess, text: str = QUESTION, **fields: object) -> JsonObject:
    account: JsonObject = house.chat(text, **fields).json()["hitproof"]
    return account


def hit_by_meaning(house: InProcess) -> str:
    asked(house)
    account = asked(house, ALIKE)
    assert (account["outcome"], account["tier"]) == ("hit", "private"), account
    found: str = account["hit"]
    return found


def wait_for_file(house: InProcess, hit: str, *, key: str | None = None) -> str:
    for _ in range(200):
        answer = house.call("GET", f"/v1/hits/{hit}/proof?applicability=1", key=key)
        if answer.status_code == 200:
            return answer.text
        assert answer.status_code == 202, answer.text
        house.run(asyncio.sleep(0.05))
    raise AssertionError(answer.text)


def shown_in(file: str) -> JsonObject:
    extra = parse_tlog_proof(file).extra
    assert extra is not None
    value = parse_canonical_json(extra)
    assert isinstance(value, dict)
    found = value["applicability"]
    assert isinstance(found, dict)
    return dict(found)


def test_a_hit_by_meaning_is_proved_when_somebody_asks(house: InProcess) -> None:
    hit = hit_by_meaning(house)
    shown = shown_in(wait_for_file(house, hit))
    assert len(shown["proof"]) == 832 and len(shown["well_formedness"]) == 1152
    assert shown["query"] is not None
