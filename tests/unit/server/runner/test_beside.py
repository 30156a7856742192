from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from crypto.commitment import output_commitment, prompt_commitment
from crypto.dsse import verify_envelope
from crypto.ed25519 import SigningKey
from crypto.manifest import declared_model_version
from crypto.statement import parse_receipt
from server.ports import Chunk, Completion, JsonObject, UpstreamModel
from server.runner.beside import BesideAnswerer
from server.runner.errors import RequestInvalid
from server.runner.statements import StatementMaker
from server.upstream.errors import UpstreamMalformed
from tests.runner_fakes import FakeClock, FakeRandom

CHOICES = [{"index": 0, "message": {"role": "assistant", "content": "hi", "score": 0.1}, "finish_reason": "stop"}]
KEY = SigningKey(hashlib.sha256(b"the runner of the tests").digest())
ASKED: JsonObject = {"derivation": "none", "parents": [], "policy": None, "tenant": "cd" * 16}
BODY: JsonObject = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


class FakeUpstream:
    name = "other"
    base_url = "https://other.test/v1"

    def __init__(self, items: list[Any]) -> None:
        self._items = items
        self.salts: list[str] = []
        self.requests: list[JsonObject] = []
        self.closed = 0

    async def list_models(self) -> tuple[UpstreamModel, ...]:
        return (UpstreamModel("m", declared_model_version(self.name, self.base_url, "m"), None),)

    async def complete(self, request: JsonObject, *, tenant_salt: str) -> Completion:
        self.salts.append(tenant_salt)
        self.requests.append(request)
        return Completion({"choices": CHOICES}, None)

    async def stream(self, request: JsonObject, *, tenant_salt: str) -> AsyncIterator[Chunk | Completion]:
        self.salts.append(tenant_salt)
        self.requests.append(request)
        try:
            for item in self._items:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.closed += 1

    async def close(self) -> None:
        self.closed += 1


def stream(upstream: FakeUpstream, seen: list[JsonObject]) -> None:
    async def run() -> None:
        async with aclosing(BesideAnswerer(upstream).stream(BODY)) as chunks:
            async for chunk in chunks:
                seen.append(chunk)  # noqa: PERF401  # what came before an error is what matters

    asyncio.run(run())


def test_the_provenance_is_declared_and_its_numbers_are_exact() -> None:
    body = BODY | {"temperature": 0.1, "top_p": 1e-7, "seed": 7, "stop": ["x"], "user": "u"}
    answer = asyncio.run(BesideAnswerer(FakeUpstream([])).complete(body))
    assert answer["hitproof_runner"] == {
        "protocol": "hitproof/runner/v1",
        "model_version": declared_model_version("other", "https://other.test/v1", "m"),
        "prompt_token_ids": None,
        "output_token_ids": None,
        "parameters": {"temperature": "0.1", "top_p": "0.0000001", "seed": 7, "stop": ["x"]},
        "statement": None,
        "openings": None,
    }


def test_only_the_last_chunk_carries_the_provenance() -> None:
    seen: list[JsonObject] = []
    stream(FakeUpstream([Chunk({"a": 1}), Chunk({"a": 2}), Completion({}, None)]), seen)
    assert seen[0] == {"a": 1}
    assert seen[1].keys() == {"a", "hitproof_runner"}


def test_a_stream_that_fails_never_shows_its_last_chunk_or_a_provenance() -> None:
    seen: list[JsonObject] = []
    with pytest.raises(UpstreamMalformed):
        stream(FakeUpstream([Chunk({"a": 1}), Chunk({"a": 2}), UpstreamMalformed("cut")]), seen)
    assert seen == [{"a": 1}]


def test_leaving_closes_the_other_servers_stream() -> None:
    upstream = FakeUpstream([Chunk({"a": place}) for place in range(10)])

    async def run() -> None:
        async with aclosing(BesideAnswerer(upstream).stream(BODY)) as chunks:
            await anext(chunks)

    asyncio.run(run())
    assert upstream.closed == 1


@pytest.mark.parametrize(("salt", "expected"), [("of the gateway", "of the gateway"), (None, ""), (7, "")])
def test_the_gateways_salt_is_handed_on(salt: object, expected: str) -> None:
    upstream = FakeUpstream([])
    asyncio.run(BesideAnswerer(upstream).complete(BODY | {"cache_salt": salt}))
    assert upstream.salts == [expected]


@pytest.mark.parametrize("model", [None, "", 7])
def test_a_request_without_a_model_is_refused(model: object) -> None:
    with pytest.raises(RequestInvalid):
        asyncio.run(BesideAnswerer(FakeUpstream([])).complete(BODY | {"model": model}))


def signing(upstream: FakeUpstream) -> BesideAnswerer:
    return BesideAnswerer(upstream, statements=StatementMaker(KEY, clock=FakeClock(), random_source=FakeRandom()))


def check_declared(said: JsonObject, choices: Any) -> None:
    envelope, statement = parse_receipt(said["statement"])
    verify_envelope(envelope, KEY.public_key)
    assert (statement.grade, statement.runtime, statement.openssf_digest) == ("declared", None, None)
    assert (statement.output_tokens_commitment, statement.prompt_tokens_commitment) == (None, None)
    assert statement.model_version == declared_model_version("other", "https://other.test/v1", "m")
    assert (statement.model_name, dict(statement.parameters)) == ("m", {"temperature": "0.5"})
    salts = said["openings"]
    assert statement.output_commitment == output_commitment(bytes.fromhex(salts["output"]), choices)
    assert statement.prompt_commitment == prompt_commitment(bytes.fromhex(salts["prompt"]), BODY["messages"])
    assert (salts["output_tokens"], salts["prompt_tokens"]) == (None, None)


ASKING = BODY | {"temperature": 0.5, "hitproof_statement": ASKED}


def test_a_whole_answer_of_another_server_is_declared() -> None:
    upstream = FakeUpstream([])
    answer = asyncio.run(signing(upstream).complete(ASKING))
    check_declared(answer["hitproof_runner"], CHOICES)
    assert upstream.requests == [BODY | {"temperature": 0.5}]


def test_a_stream_of_another_server_is_declared_as_it_was_assembled() -> None:
    upstream = FakeUpstream([Chunk({"a": 1}), Chunk({"a": 2}), Completion({"choices": CHOICES}, None)])

    async def run() -> list[JsonObject]:
        return [chunk async for chunk in signing(upstream).stream(ASKING)]

    first, last = asyncio.run(run())
    assert "hitproof_runner" not in first
    check_declared(last["hitproof_runner"], CHOICES)
    assert upstream.requests == [BODY | {"temperature": 0.5}]


def test_beside_nothing_is_signed_that_was_not_asked_for() -> None:
    said = asyncio.run(signing(FakeUpstream([])).complete(BODY))["hitproof_runner"]
    assert (said["statement"], said["openings"]) == (None, None)


def test_a_request_for_a_statement_in_another_form_never_reaches_the_other_server() -> None:
    upstream = FakeUpstream([])
    with pytest.raises(RequestInvalid):
        asyncio.run(signing(upstream).complete(ASKING | {"hitproof_statement": {}}))
    assert upstream.requests == []
