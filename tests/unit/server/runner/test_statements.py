"""What a runner signs, asked over its HTTP: every commitment opens with what the client got, and nothing else."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs

from crypto.commitment import (
    output_commitment,
    output_tokens_commitment,
    prompt_commitment,
    prompt_tokens_commitment,
)
from crypto.dsse import verify_envelope
from crypto.ed25519 import SigningKey
from crypto.errors import VerificationError
from crypto.manifest import model_version
from crypto.statement import ReceiptStatement, parse_receipt, runtime_digest
from server.ports import JsonObject
from server.runner.app import create_runner_app
from server.runner.engine import Generated, GenerationRequest, Piece
from server.upstream.assembly import Assembler
from server.upstream.limits import UpstreamLimits
from tests.runner_fakes import MANIFEST, TOKEN, EchoEngine, FakeClock, FakeRandom

KEY = SigningKey(hashlib.sha256(b"the runner of the tests").digest())
ASKED: JsonObject = {"derivation": "none", "parents": [], "policy": "sha256:" + "ab" * 32, "tenant": "cd" * 16}
MESSAGES: list[JsonObject] = [
    {"role": "system", "content": "be brief", "name": None},
    {"role": "user", "content": "one two e\u0301"},
]
REQUEST: JsonObject = {"model": "echo", "messages": MESSAGES, "hitproof_statement": ASKED}


def app_of(engine: EchoEngine | None = None, *, signer: SigningKey | None = KEY) -> Starlette:
    return create_runner_app(
        [engine or EchoEngine()], token=TOKEN, clock=FakeClock(), random_source=FakeRandom(), signer=signer
    )


def post(app: Starlette, *bodies: JsonObject) -> list[httpx2.Response]:
    async def run() -> list[httpx2.Response]:
        transport = httpx2.ASGITransport(app)
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(transport=transport, base_url="http://runner.test", headers=headers) as client:
            return await asyncio.gather(*(client.post("/v1/chat/completions", json=body) for body in bodies))

    return asyncio.run(run())


def whole(app: Starlette | None = None, **fields: Any) -> JsonObject:
    (response,) = post(app or app_of(), REQUEST | fields)
    assert response.status_code == 200, response.text
    found: JsonObject = response.json()
    return found


def streamed(app: Starlette | None = None, **fields: Any) -> tuple[JsonObject, JsonObject]:
    """Return a streamed answer as the gateway assembles it, and what the runner said with it."""
    (response,) = post(app or app_of(), REQUEST | {"stream": True} | fields)
    *events, done = response.text.removesuffix("\n\n").split("\n\n")
    assert done == "data: [DONE]"
    assembler = Assembler(UpstreamLimits())
    said: JsonObject = {}
    for event in events:
        chunk = json.loads(event.removeprefix("data: "))
        assert not said, "only the last chunk says it"
        said = chunk.pop("hitproof_runner", {})
        assembler.add(chunk)
    return assembler.finish(), said


def verified(said: JsonObject) -> ReceiptStatement:
    envelope, statement = parse_receipt(said["statement"])
    verify_envelope(envelope, KEY.public_key)
    return statement


def opens(said: JsonObject, statement: ReceiptStatement, choices: Any, messages: Any = MESSAGES) -> bool:
    salts = {kind: bytes.fromhex(salt) for kind, salt in said["openings"].items()}
    return (
        output_commitment(salts["output"], choices) == statement.output_commitment
        and prompt_commitment(salts["prompt"], messages) == statement.prompt_commitment
        and prompt_tokens_commitment(salts["prompt_tokens"], said["prompt_token_ids"])
        == statement.prompt_tokens_commitment
        and output_tokens_commitment(salts["output_tokens"], said["output_token_ids"])
        == statement.output_tokens_commitment
    )


def test_a_whole_answer_is_attested_and_opens() -> None:
    answer = whole(temperature=0.7)
    said = answer["hitproof_runner"]
    statement = verified(said)
    assert opens(said, statement, answer["choices"])
    assert statement.grade == "attested"
    assert (statement.model_name, statement.model_version) == ("echo", model_version(MANIFEST))
    assert statement.runtime == runtime_digest(MANIFEST)
    assert statement.openssf_digest == MANIFEST["openssf_digest"]
    assert statement.parameters == {"temperature": "0.7"} == said["parameters"]
    assert (statement.policy, statement.tenant, statement.parents) == (ASKED["policy"], ASKED["tenant"], ())
    assert (statement.issued_at_ms, statement.evidence) == (1_000_000, ())


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_streamed_answer_is_attested_and_opens_with_what_the_gateway_assembles(include_usage: bool) -> None:
    answer, said = streamed(stream_options={"include_usage": include_usage})
    assert opens(said, verified(said), answer["choices"])


@pytest.mark.parametrize("limit", [1, 2, None])
def test_a_stream_and_a_whole_answer_are_stated_alike(limit: int | None) -> None:
    answer, (assembled, said) = whole(max_tokens=limit), streamed(max_tokens=limit)
    assert opens(said, verified(said), answer["choices"])
    assert opens(answer["hitproof_runner"], verified(answer["hitproof_runner"]), assembled["choices"])


def test_an_empty_answer_is_stated_alike_in_both_forms() -> None:
    class Silent(EchoEngine):
        def generate(self, request: GenerationRequest) -> Iterator[Piece | Generated]:
            yield Generated("", (1,), (), "stop", {})

    answer, said = streamed(app_of(Silent()))
    assert opens(said, verified(said), answer["choices"])
    assert opens(said, verified(said), whole(app_of(Silent()))["choices"])


def test_another_answer_or_prompt_does_not_open() -> None:
    answer = whole()
    said = answer["hitproof_runner"]
    statement = verified(said)
    changed = copy.deepcopy(answer["choices"])
    changed[0]["message"]["content"] += "\n"
    assert not opens(said, statement, changed)
    assert not opens(said, statement, answer["choices"], [*MESSAGES, {"role": "user", "content": "one"}])
    assert not opens(said | {"output_token_ids": [0, 1]}, statement, answer["choices"])


def test_no_two_statements_share_a_salt_or_a_nonce() -> None:
    responses = post(app_of(), *[REQUEST] * 20)
    said = [response.json()["hitproof_runner"] for response in responses]
    salts = [salt for one in said for salt in one["openings"].values()]
    assert len(set(salts)) == 80
    assert len({verified(one).nonce for one in said}) == 20


def test_many_at_once_get_each_a_statement_of_their_own() -> None:
    bodies = [
        REQUEST | {"messages": [{"role": "user", "content": f"canary {place}"}], "stream": False} for place in range(30)
    ]
    for body, response in zip(bodies, post(app_of(), *bodies), strict=True):
        said = response.json()["hitproof_runner"]
        assert opens(said, verified(said), response.json()["choices"], body["messages"])


def test_nothing_is_signed_that_was_not_asked_for() -> None:
    (response,) = post(app_of(), {key: value for key, value in REQUEST.items() if key != "hitproof_statement"})
    said = response.json()["hitproof_runner"]
    assert (said["statement"], said["openings"]) == (None, None)


def test_a_runner_without_a_key_answers_and_signs_nothing() -> None:
    said = whole(app_of(signer=None))["hitproof_runner"]
    assert (said["statement"], said["openings"]) == (None, None)
    assert streamed(app_of(signer=None))[1]["statement"] is None


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("signer", [KEY, None])
def test_a_request_for_a_statement_in_another_form_is_refused(signer: SigningKey | None, stream: bool) -> None:
    engine = EchoEngine()
    bad = REQUEST | {"stream": stream, "hitproof_statement": ASKED | {"tenant": "acme"}}
    (response,) = post(app_of(engine, signer=signer), bad)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "hitproof_statement"
    assert engine.asked == []


class Unstatable(EchoEngine):
    """Says of its parameters what a statement cannot hold."""

    def __init__(self, parameters: JsonObject) -> None:
        super().__init__()
        self._parameters = parameters

    def generate(self, request: GenerationRequest) -> Iterator[Piece | Generated]:
        yield Piece(1, "secret words")
        yield Generated("secret words", (1,), (1,), "stop", self._parameters)


@pytest.mark.parametrize("parameters", [{"stop": ["e\u0301"]}, {"seed": 2**53}, {"temperature": 0.5}])
def test_an_answer_that_cannot_be_stated_is_given_unsigned_and_logged_without_its_words(parameters: JsonObject) -> None:
    with capture_logs() as logs:
        answer = whole(app_of(Unstatable(parameters)))
        assembled, said = streamed(app_of(Unstatable(parameters)))
    assert answer["choices"][0]["message"]["content"] == "secret words"
    assert assembled["choices"][0]["message"]["content"] == "secret words"
    assert (answer["hitproof_runner"]["statement"], said["statement"], said["openings"]) == (None, None, None)
    assert [entry["event"] for entry in logs] == ["answer_not_signed"] * 2
    assert "secret" not in str(logs)
    assert str(2**53) not in str(logs)


def test_a_statement_under_another_key_does_not_verify() -> None:
    other = SigningKey(hashlib.sha256(b"another").digest())
    envelope, _ = parse_receipt(whole(app_of(signer=other))["hitproof_runner"]["statement"])
    with pytest.raises(VerificationError):
        verify_envelope(envelope, KEY.public_key)


@pytest.mark.parametrize(("signer", "expected"), [(KEY, KEY.public_key.hex()), (None, None)])
def test_the_manifests_name_the_signing_key(signer: SigningKey | None, expected: str | None) -> None:
    async def run() -> httpx2.Response:
        transport = httpx2.ASGITransport(app_of(signer=signer))
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(transport=transport, base_url="http://runner.test", headers=headers) as client:
            return await client.get("/runner/v1/manifests")

    assert asyncio.run(run()).json()["signing_key"] == expected
