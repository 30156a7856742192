"""Secrets and prompts go where they belong and nowhere else: logs, metrics, errors and other tenants never see them.

Canaries are put into every input; then everything that leaves the process is searched for them. Rows B-33 and B-34.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from server.telemetry import configure_logging
from server.upstream.errors import UpstreamRejected, UpstreamUnavailable
from tests.api.in_process import GENEROUS, InProcess, assert_error, in_process
from tests.fakes import FakeUpstream, Options

CANARY = "canary-5f1c9b"
SECRET = "sk-canary-77aa21"


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Standard error, with the logging of a real process."""
    found = io.StringIO()
    monkeypatch.setattr(sys, "stderr", found)
    configure_logging("json")
    structlog.configure(cache_logger_on_first_use=False)
    for module in list(sys.modules.values()):
        # A logger that another test made speak first still speaks to that test's stream.
        getattr(getattr(module, "log", None), "__dict__", {}).pop("bind", None)
    try:
        yield found
    finally:
        structlog.reset_defaults()


@pytest.fixture
def house(tmp_path: Path, logged: io.StringIO) -> Iterator[InProcess]:
    with in_process(tmp_path, Options(quota=GENEROUS, raise_app_exceptions=False)) as found:
        yield found


def everything_said(house: InProcess, logged: io.StringIO) -> str:
    house.run(house.gateway.settle())
    return logged.getvalue() + house.call("GET", "/metrics", key="").text


def test_no_canary_of_any_input_reaches_logs_metrics_or_error_bodies(house: InProcess, logged: io.StringIO) -> None:
    errors: list[str] = []
    message = {"role": "user", "content": f"What of {CANARY}?"}
    good = {"model": "fake-model", "messages": [{"role": "system", "content": f"You know {CANARY}"}, message]}
    bodies = [
        {**good, "max_tokens": f"{CANARY}"},
        {**good, "temperature": CANARY},
        {**good, "hitproof": {"tags": [f"{CANARY} "]}},
        {**good, "hitproof": {"threshold": CANARY}},
        {**good, "messages": [{"role": CANARY, "content": CANARY}]},
        {**good, "messages": [{"role": "user", "content": [{"type": "text", "text": {"x": CANARY}}]}]},
        {**good, "stop": [CANARY] * 9},
        {**good, "user": CANARY * 100},
        {**good, "metadata": {CANARY * 30: CANARY}},
        {**good, "response_format": CANARY},
    ]
    for body in bodies:
        for path in ("/v1/chat/completions", "/v1/cache/lookup"):
            response = house.call("POST", path, json=body)
            assert response.status_code == 400
            errors.append(response.text)
    raws = (f'{{"a":"{CANARY}"', f'{{"a":"{CANARY}","a":1}}', f'["{CANARY}"]', f'"{CANARY}"', f"{CANARY}")
    errors += [house.call("POST", "/v1/chat/completions", body=raw.encode()).text for raw in raws]
    headers = {"X-Canary": CANARY, "User-Agent": CANARY, "Cookie": CANARY, "Cache-Control": f"max-age={CANARY}"}
    errors.append(house.call("POST", "/v1/chat/completions", json=good, headers=headers).text)
    errors.append(house.call("GET", f"/v1/cache/entries?limit={CANARY}").text)
    errors.append(house.call("GET", f"/v1/cache/entries/{CANARY}").text)
    assert house.call("POST", "/v1/chat/completions", json=good).status_code == 200
    assert house.call("POST", "/v1/chat/completions", json={**good, "stream": True}).status_code == 200
    told = [text for text in errors if CANARY in text]
    assert told == []
    assert CANARY not in everything_said(house, logged)


def test_no_api_key_reaches_logs_metrics_or_answers(house: InProcess, logged: io.StringIO) -> None:
    key = house.gateway.tenants[0].key
    secret = key.rpartition("_")[2][:-6]
    answers = [
        house.chat("Do you know my key?").text,
        house.chat("Do you know my key?", model="unknown").text,
        house.call("GET", "/v1/models", key=key[:-1] + "x").text,
        house.call("GET", f"/v1/models?api_key={key}").text,
        house.call("GET", "/admin/v1/keys").text,
        house.call("GET", "/admin/v1/audit-log").text,
        house.call("POST", "/v1/chat/completions", headers={"X-Key": key}, body=b"{").text,
    ]
    assert all(secret not in text for text in answers)
    assert secret not in everything_said(house, logged)


def test_a_new_key_is_in_its_answer_and_nowhere_else(house: InProcess, logged: io.StringIO) -> None:
    made = house.call("POST", "/admin/v1/keys", json={"label": "new"}).json()
    secret = made["api_key"].rpartition("_")[2]
    listed = house.call("GET", "/admin/v1/keys").text + house.call("GET", "/admin/v1/audit-log?limit=500").text
    assert secret not in listed
    assert secret not in everything_said(house, logged)
    stored = b"".join(path.read_bytes() for path in house.gateway.settings.data.rglob("*") if path.is_file())
    assert secret.encode() not in stored


def test_prompts_and_answers_stand_nowhere_on_disk_in_clear(house: InProcess) -> None:
    house.chat(f"What stands on disk of {CANARY}?", user=f"user-{CANARY}", metadata={"k": CANARY})
    house.chat(f"What stands on disk of {CANARY}?")
    house.run(house.gateway.settle())
    for path in house.gateway.settings.data.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError(f"wrong key {SECRET} for {CANARY}"),
        UpstreamUnavailable("the upstream 'fake' does not answer", status=500),
        UpstreamRejected("refused", status=401, error={"message": f"Incorrect API key: {SECRET}", "type": "x"}),
        UpstreamRejected("refused", status=403, error={"message": f"key {SECRET} lacks access", "code": SECRET}),
    ],
)
def test_an_upstreams_secrets_reach_no_client(house: InProcess, logged: io.StringIO, fault: Exception) -> None:
    house.gateway.upstream.fault = fault
    for stream in (False, True):
        response = house.chat("What did the upstream say?", stream=stream)
        assert SECRET not in response.text
        assert CANARY not in response.text
        assert "Traceback" not in response.text
    assert "Authorization" not in logged.getvalue()


def test_an_unexpected_fault_is_a_500_that_says_nothing_but_its_request_id(
    house: InProcess, logged: io.StringIO
) -> None:
    house.gateway.upstream.fault = RuntimeError(f"{CANARY}")
    response = house.chat("What broke?")
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert CANARY not in response.text
    assert response.headers["x-request-id"] in logged.getvalue()
    assert "What broke?" not in logged.getvalue()


@pytest.mark.parametrize("path", ["/v1/cache/entries", "/admin/v1/keys"])
def test_an_unexpected_fault_behind_the_framework_has_the_form_of_its_path(
    house: InProcess, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    assert house.call("GET", path).status_code == 200

    async def broken(_run: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(house.gateway.gateway.database, "read", broken)
    response = house.call("GET", path)
    assert_error(response, 500)
    assert CANARY not in response.text
    assert response.headers["x-request-id"] in logged.getvalue()


def test_every_log_line_is_one_json_object_whatever_clients_send(house: InProcess, logged: io.StringIO) -> None:
    forged = '\n{"level":"info","event":"forged"}\n\r\x1b[31m'
    house.gateway.upstream.fault = RuntimeError(f"broken {forged}")
    house.chat(f"Log this: {forged}", model="fake-model", user=forged)
    house.chat("x", headers={"User-Agent": 'a\\n{"event":"forged"}'})
    house.gateway.upstream.fault = None
    house.chat("x", model='{"event":"forged"}')
    lines = [json.loads(line) for line in logged.getvalue().splitlines() if line]
    assert lines
    assert all(line["event"] != "forged" for line in lines)


def test_one_tenants_words_are_in_no_answer_to_another(house: InProcess) -> None:
    mine, theirs = house.gateway.tenants
    text = f"please tell me how very deep the blue mountain lake of {CANARY} really is"
    house.chat(text, hitproof={"tags": [CANARY]})
    house.call("POST", "/admin/v1/keys", json={"label": CANARY})
    house.run(house.gateway.settle())
    near = text.replace(CANARY, "nobody")
    answers = [
        house.chat(near, key=theirs.key).text,
        house.chat(near, key=theirs.key, stream=True).text,
        house.call("GET", "/v1/cache/entries", key=theirs.key).text,
        house.call("GET", f"/v1/cache/entries?tag={CANARY}", key=theirs.key).text,
        house.call("GET", "/v1/cache/stats", key=theirs.key).text,
        house.call("GET", "/admin/v1/keys", key=theirs.key).text,
        house.call("GET", "/admin/v1/audit-log", key=theirs.key).text,
        house.call("GET", "/admin/v1/tenants", key=theirs.key).text,
        house.call("POST", "/v1/cache/lookup", key=theirs.key, json={
            "model": "fake-model", "messages": [{"role": "user", "content": near}]}).text,
        house.call("GET", "/metrics", key="").text,
        house.call("GET", "/readyz", key="").text,
    ]  # fmt: skip
    assert all(CANARY not in text and mine.id not in text for text in answers)


def test_a_payload_in_an_answer_is_stored_and_given_back_inert(house: InProcess) -> None:
    payload = "<script>alert(1)</script> ![x](https://evil.example/?q=) =cmd|'/C calc'!A0 \x1b]0;x\x07"
    upstream: FakeUpstream = house.gateway.upstream
    upstream.answer = lambda _request: payload
    house.chat("What is the payload here?")
    again = house.chat("What is the payload here?")
    assert again.json()["hitproof"]["outcome"] == "hit"
    assert again.json()["choices"][0]["message"]["content"] == payload
    assert again.headers["content-type"] == "application/json"
    assert again.headers["x-content-type-options"] == "nosniff"
