"""The lookup flow, seen from outside, on fakes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from server.upstream.errors import UpstreamTimeout
from tests.fakes import FakeGateway, Options, fake_gateway


def run(folder: Path, scenario: Callable[[FakeGateway], Awaitable[None]], options: Options | None = None) -> None:
    async def play() -> None:
        async with fake_gateway(folder, options) as gateway:
            await scenario(gateway)

    asyncio.run(play())


def test_a_repeated_question_is_a_hit_of_the_exact_tier(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        first = await gateway.ask("How deep is the lake?")
        again = await gateway.ask("How deep is the lake?")
        assert (first["hitproof"]["outcome"], again["hitproof"]["outcome"]) == ("miss", "hit")
        assert again["hitproof"]["tier"] == "exact"
        assert again["hitproof"]["entry"] == first["hitproof"]["entry"]
        assert len(gateway.upstream.requests) == 1

    run(tmp_path, scenario)


def test_a_question_that_means_the_same_is_a_hit_of_the_private_tier(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask("please tell me how very deep the blue mountain lake really is")
        alike = await gateway.ask("please tell me how very deep the blue mountain lake is really")
        assert alike["hitproof"]["tier"] == "private", alike["hitproof"]

    run(tmp_path, scenario)


def test_the_dry_run_computes_stores_and_records_nothing(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        body: Any = {"model": "fake-model", "messages": [{"role": "user", "content": "How deep is the lake?"}]}
        dry = await gateway.call("POST", "/v1/cache/lookup", json=body)
        assert dry.json()["outcome"] == "miss"
        assert gateway.upstream.requests == []
        await gateway.ask("How deep is the lake?")
        assert (await gateway.call("POST", "/v1/cache/lookup", json=body)).json()["outcome"] == "hit"

    run(tmp_path, scenario)


def test_a_failure_before_a_streams_first_chunk_is_an_http_status(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.upstream.fault = UpstreamTimeout("the upstream was too slow")
        response = await gateway.chat("How deep is the lake?", stream=True)
        assert response.status_code == 504
        assert response.json()["error"]["code"] == "upstream_timeout"

    run(tmp_path, scenario)
