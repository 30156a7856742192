from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from crypto.manifest import declared_model_version
from server.ports import Chunk, Completion, JsonObject, UpstreamModel
from server.runner.beside import BesideAnswerer
from server.runner.errors import RequestInvalid
from server.upstream.errors import UpstreamMalformed

BODY: JsonObject = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


class FakeUpstream:
    name = "other"
    base_url = "https://other.test/v1"

    def __init__(self, items: list[Any]) -> None:
        self._items = items
        self.salts: list[str] = []
        self.closed = 0

    async def list_models(self) -> tuple[UpstreamModel, ...]:
        return (UpstreamModel("m", declared_model_version(self.name, self.base_url, "m"), None),)

    async def complete(self, request: JsonObject, *, tenant_salt: str) -> Completion:
        self.salts.append(tenant_salt)
        return Completion({"choices": []}, None)

    async def stream(self, request: JsonObject, *, tenant_salt: str) -> AsyncIterator[Chunk | Completion]:
        self.salts.append(tenant_salt)
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
