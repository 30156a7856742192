"""The runner's HTTP, asked by httpx2 without a network, and over loopback where leaving matters."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from crypto.errors import EncodingError
from crypto.manifest import model_version
from server.runner.app import create_runner_app
from server.runner.engine import Generated, GenerationRequest, Piece
from server.runner.errors import RequestTooLong, RunnerConfigurationError
from server.runner.limits import RunnerLimits
from tests.runner_fakes import MANIFEST, TOKEN, EchoEngine, FakeClock, FakeRandom, served

REQUEST: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "one two three"}]}
HEADERS = {"authorization": f"Bearer {TOKEN}"}


def app_of(*engines: Any, limits: RunnerLimits | None = None) -> Starlette:
    return create_runner_app(
        engines or [EchoEngine()], token=TOKEN, clock=FakeClock(), random_source=FakeRandom(), limits=limits
    )


def ask(method: str, path: str, *, app: Starlette | None = None, **options: Any) -> httpx2.Response:
    async def run() -> httpx2.Response:
        transport = httpx2.ASGITransport(app or app_of())
        async with httpx2.AsyncClient(transport=transport, base_url="http://runner.test") as client:
            return await client.request(method, path, **{"headers": HEADERS} | options)

    return asyncio.run(run())


def complete(app: Starlette | None = None, **fields: Any) -> httpx2.Response:
    return ask("POST", "/v1/chat/completions", app=app, json=REQUEST | fields)


def chunks_of(response: httpx2.Response) -> list[dict[str, Any]]:
    events = response.text.removesuffix("\n\n").split("\n\n")
    assert events[-1] == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in events[:-1]]


SAID = {
    "protocol": "hitproof/runner/v1",
    "model_version": model_version(MANIFEST),
    "prompt_token_ids": [7, 8],
    "output_token_ids": [0, 1, 2],
    "parameters": {"temperature": "None"},
    "statement": None,
    "openings": None,
}
USAGE = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}


def test_a_whole_answer_has_the_shape_of_the_api_and_its_provenance() -> None:
    body = complete().json()
    assert body.pop("id").startswith("chatcmpl-")
    assert body == {
        "object": "chat.completion",
        "created": 1_000,
        "model": "echo",
        "system_fingerprint": "fp_" + model_version(MANIFEST)[7:23],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "one two three", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
        "hitproof_runner": SAID,
    }


def test_a_stream_says_the_same_in_chunks() -> None:
    response = complete(stream=True)
    chunks = chunks_of(response)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    assert "".join(delta.get("content", "") for delta in deltas) == "one two three"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert [chunk.get("hitproof_runner") for chunk in chunks] == [None] * (len(chunks) - 1) + [SAID]
    assert not any("usage" in chunk for chunk in chunks)


def test_usage_comes_in_a_last_chunk_without_choices_where_it_is_asked_for() -> None:
    *chunks, last = chunks_of(complete(stream=True, stream_options={"include_usage": True}))
    assert (last["choices"], last["usage"], last["hitproof_runner"]) == ([], USAGE, SAID)
    assert all(chunk["usage"] is None and "hitproof_runner" not in chunk for chunk in chunks)


def test_a_limit_on_tokens_ends_the_answer_for_length() -> None:
    choice = complete(max_tokens=2).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("one two", "length")


def test_models_and_manifests_are_listed() -> None:
    app = app_of(EchoEngine(), EchoEngine("other"))
    assert [model["id"] for model in ask("GET", "/v1/models", app=app).json()["data"]] == ["echo", "other"]
    listed = ask("GET", "/runner/v1/manifests", app=app).json()
    assert listed["protocol"] == "hitproof/runner/v1"
    assert listed["models"][0] == {"name": "echo", "model_version": model_version(MANIFEST), "manifest": MANIFEST}


PATHS = [
    ("GET", "/v1/models"),
    ("GET", "/runner/v1/manifests"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/runner/v1/embedding-statements"),
]
WRONG = ["", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \xff"]


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("authorization", WRONG)
def test_no_path_opens_to_a_wrong_token(method: str, path: str, authorization: str) -> None:
    engine = EchoEngine()
    headers = {"authorization": authorization.encode("latin-1")}
    response = ask(method, path, app=app_of(engine), headers=headers, json=REQUEST)
    assert response.status_code == 401
    assert response.json()["error"]["type"] == "authentication_error"
    assert engine.asked == []


def test_health_needs_no_token_and_tells_nothing() -> None:
    assert ask("GET", "/healthz", headers={}).json() == {"status": "ok"}


BODIES = [
    b"",
    b"[]",
    b"{",
    b'"x"',
    b"\xff",
    b'{"model": "a", "model": "b"}',
    b'{"a": NaN}',
    b'{"a":' * 50 + b"1" + b"}" * 50,
]


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_is_no_json_object_is_a_bad_request(body: bytes) -> None:
    response = ask("POST", "/v1/chat/completions", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_a_long_body_is_a_bad_request() -> None:
    response = complete(app_of(limits=RunnerLimits(body_bytes_max=500)), user="x" * 500)
    assert response.status_code == 400
    assert "longer than 500 bytes" in response.json()["error"]["message"]


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_wrong_with_a_request_is_said_before_a_stream_begins(stream: bool) -> None:
    response = complete(stream=stream, temperature=7)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "temperature"


@pytest.mark.parametrize("stream", [True, False])
def test_an_unknown_model_is_not_found(stream: bool) -> None:
    assert complete(stream=stream, model="none").status_code == 404


class Failing(EchoEngine):
    def __init__(self, error: Exception, after: int) -> None:
        super().__init__()
        self._error, self._after = error, after

    def generate(self, request: GenerationRequest) -> Iterator[Piece | Generated]:
        for place in range(self._after):
            yield Piece(place, "x")
        raise self._error


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("error", "status"), [(RequestTooLong(9, 8), 400), (ValueError("secret"), 500)])
def test_a_failure_before_the_first_piece_has_its_status(stream: bool, error: Exception, status: int) -> None:
    response = complete(app_of(Failing(error, 0)), stream=stream)
    assert response.status_code == status
    assert "secret" not in response.text


def test_a_failure_in_mid_stream_is_an_error_event_and_no_done() -> None:
    text = complete(app_of(Failing(ValueError("secret"), 3)), stream=True).text
    assert "[DONE]" not in text
    assert json.loads(text.strip().rpartition("data: ")[2])["error"]["type"] == "server_error"
    assert "secret" not in text


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_differs_from_its_pieces_is_never_given(stream: bool) -> None:
    class Lying(EchoEngine):
        def generate(self, request: GenerationRequest) -> Iterator[Piece | Generated]:
            yield Piece(1, "a")
            yield Generated("b", (1,), (1,), "stop", {})

    response = complete(app_of(Lying()), stream=stream)
    assert "do not make up" in response.text
    assert "[DONE]" not in response.text


def test_a_full_queue_is_unavailable_and_says_when_to_come_back() -> None:
    response = complete(app_of(limits=RunnerLimits(queue_max=0)))
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_frees_the_engine(stream: bool) -> None:
    gate, pieces = threading.Event(), 0

    def pause() -> None:
        nonlocal pieces
        pieces += 1
        gate.wait(0.02)

    engine = EchoEngine(pause=pause)
    long = REQUEST | {"messages": [{"role": "user", "content": "word " * 1_000}], "stream": stream}

    async def run(url: str) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=url, headers=HEADERS, trust_env=False) as client:
            task = asyncio.create_task(client.post("/v1/chat/completions", json=long))
            while pieces < 3:
                await asyncio.sleep(0.005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        async with httpx2.AsyncClient(base_url=url, headers=HEADERS, trust_env=False, timeout=60) as client:
            return await client.post("/v1/chat/completions", json=REQUEST)

    with served(app_of(engine)) as url:
        response = asyncio.run(run(url))
    assert response.json()["choices"][0]["message"]["content"] == "one two three"
    assert engine.closed == 2
    assert pieces < 200


def test_a_short_token_no_engine_or_two_of_one_name_are_refused() -> None:
    clock, random_source = FakeClock(), FakeRandom()
    with pytest.raises(RunnerConfigurationError, match="shorter"):
        create_runner_app([EchoEngine()], token="short", clock=clock, random_source=random_source)
    with pytest.raises(RunnerConfigurationError, match="at least one"):
        create_runner_app([], token=TOKEN, clock=clock, random_source=random_source)
    with pytest.raises(RunnerConfigurationError, match="name of its own"):
        app_of(EchoEngine(), EchoEngine())


def test_an_engine_without_a_proper_manifest_is_refused() -> None:
    engine = EchoEngine()
    engine.manifest = MANIFEST | {"schema": "x"}
    with pytest.raises(EncodingError):
        app_of(engine)
