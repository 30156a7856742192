"""Entries that clients put and list, and the room there is for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from server.store.entries import EntryRepository
from tests.contract.stores import new_entry
from tests.fakes import FakeGateway, Options, fake_gateway


def run(folder: Path, scenario: Callable[[FakeGateway], Awaitable[None]]) -> None:
    async def play() -> None:
        async with fake_gateway(folder, Options(tenants=1)) as gateway:
            await scenario(gateway)

    asyncio.run(play())


async def put(gateway: FakeGateway, content: Any, *, answer: str = "an answer") -> Any:
    body = {"model": "fake-model", "messages": [{"role": "user", "content": content}], "answer": answer}
    return await gateway.call("POST", "/v1/cache/entries", json=body)


async def count(gateway: FakeGateway) -> int:
    return int((await gateway.call("GET", "/v1/cache/stats")).json()["entries"])


@pytest.mark.parametrize("content", [None, "", [], [{"type": "text"}], [{"text": "no type"}]])
def test_a_question_that_could_not_be_asked_cannot_be_put_either(tmp_path: Path, content: Any) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        response = await put(gateway, content)
        assert response.status_code == 400
        assert response.json()["error"]["param"].startswith("messages.0.content")
        assert await count(gateway) == 0

    run(tmp_path, scenario)


def test_the_largest_page_says_that_there_is_more(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        tenant = gateway.tenants[0].id
        await gateway.gateway.database.write(
            lambda c: [EntryRepository(c, tenant).add(new_entry(number)) for number in range(1, 202)]
        )
        first = (await gateway.call("GET", "/v1/cache/entries?limit=200")).json()
        assert (len(first["data"]), first["has_more"]) == (200, True)
        rest = (await gateway.call("GET", f"/v1/cache/entries?limit=200&after={first['last_id']}")).json()
        assert (len(rest["data"]), rest["has_more"]) == (1, False)

    run(tmp_path, scenario)


def test_an_entry_larger_than_the_quota_is_refused_and_evicts_nothing(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await put(gateway, "How deep is the lake?")
        gateway.set_policy(bytes_max=20_000)
        response = await put(gateway, "How wide is the river?", answer="wide " * 10_000)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "over_quota")
        assert await count(gateway) == 1

    run(tmp_path, scenario)


def test_a_policy_of_no_entries_stores_none_and_answers_all_the_same(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.set_policy(entries_max=0)
        answer = await gateway.ask("How deep is the lake?")
        assert answer["hitproof"]["reason"].endswith("; not stored: over_quota")
        assert await count(gateway) == 0

    run(tmp_path, scenario)


def test_replacing_an_entry_again_and_again_evicts_no_other(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.set_policy(entries_max=3)
        await put(gateway, "How wide is the river?")
        for _ in range(6):
            gateway.clock.advance(1)
            await put(gateway, "How deep is the lake?")
        assert await count(gateway) == 2

    run(tmp_path, scenario)
