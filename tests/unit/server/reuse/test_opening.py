"""An entry that a newer release sealed is left alone: two releases in a row run on one store."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from server.reuse import payload
from tests.fakes import FakeGateway, fake_gateway


async def state_and_outcome(gateway: FakeGateway) -> tuple[str, str]:
    (row,) = (await gateway.call("GET", "/v1/cache/entries")).json()["data"]
    answer = await gateway.ask("How deep is the lake?", headers={"Cache-Control": "no-store"})
    (row,) = (await gateway.call("GET", "/v1/cache/entries")).json()["data"]
    return row["state"], answer["hitproof"]["outcome"]


def test_an_entry_of_a_newer_release_is_a_miss_and_stays_for_those_who_know_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = payload.orjson.dumps

    def newer(value: object) -> bytes:
        return real({**value, "version": payload.SCHEMA_VERSION + 1} if isinstance(value, dict) else value)

    async def play() -> None:
        async with fake_gateway(tmp_path) as gateway:
            with monkeypatch.context() as patch:
                patch.setattr("server.reuse.payload.orjson", type("Json", (), {"dumps": newer}))
                await gateway.ask("How deep is the lake?")
            assert await state_and_outcome(gateway) == ("live", "miss")

    asyncio.run(play())
