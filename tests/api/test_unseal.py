"""A gateway whose key is in shares: sealed until enough were given, and of no use to anybody before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection

from server.datafolder import DataFolder
from server.store.maintenance import get_feed_head, list_audit
from tenants.key_files import read_key_file
from tenants.key_providers import RotatingKeyProvider, ShamirKeyProvider
from tenants.key_shares import split_key
from tests.fakes import FakeGateway, Options, fake_gateway

QUESTION = "which canary sings at noon"


def run(folder: Path, work: Callable[[FakeGateway, list[str]], Awaitable[None]], *, rotating: bool = False) -> None:
    """Fill a store, split its key, and run *work* on a gateway that starts sealed on it."""

    async def both() -> None:
        async with fake_gateway(folder) as open_gateway:
            await open_gateway.ask(QUESTION)
        key = read_key_file(DataFolder(folder).key_file)
        shares = list(split_key(key.secret, 2, 3))
        DataFolder(folder).key_file.unlink()
        shamir = ShamirKeyProvider(expected_key_id=key.key_id)
        provider = RotatingKeyProvider(shamir, ShamirKeyProvider()) if rotating else shamir
        async with fake_gateway(folder, Options(provider=provider)) as sealed_gateway:
            await work(sealed_gateway, shares)

    asyncio.run(both())


async def give(gateway: FakeGateway, share: Any, *, tenant: int | None = None) -> httpx2.Response:
    return await gateway.call("POST", "/admin/v1/unseal", tenant=tenant, json={"share": share})


def rows(gateway: FakeGateway) -> int:
    def count(connection: Connection) -> int:
        return get_feed_head(connection)

    return gateway.gateway.database.read_now(count)


@pytest.mark.parametrize("rotating", [False, True])
def test_enough_shares_open_the_gateway(tmp_path: Path, rotating: bool) -> None:
    async def work(gateway: FakeGateway, shares: list[str]) -> None:
        first = await give(gateway, shares[2])
        assert first.json() == {"given": 1, "needed": 2, "is_open": False}
        assert (await gateway.call("GET", "/readyz")).json()["checks"]["keys"] == "sealed"
        assert (await give(gateway, shares[0])).json() == {"given": 2, "needed": 2, "is_open": True}
        ready = await gateway.call("GET", "/readyz")
        assert (ready.status_code, ready.json()["checks"]["keys"]) == (200, "ok")
        answer = await gateway.ask(QUESTION)
        assert answer["hitproof"]["outcome"] == "hit"
        assert (await give(gateway, shares[1])).json()["is_open"] is True

    run(tmp_path, work, rotating=rotating)


def test_while_sealed_nothing_private_is_served_and_nothing_is_stored(tmp_path: Path) -> None:
    async def work(gateway: FakeGateway, shares: list[str]) -> None:
        await give(gateway, shares[0])
        before, asked = rows(gateway), len(gateway.upstream.requests)
        ready = await gateway.call("GET", "/readyz")
        assert (ready.status_code, ready.json()["checks"]["keys"]) == (503, "sealed")
        body = {"model": "fake-model", "messages": [{"role": "user", "content": QUESTION}]}
        for method, path, sent in (
            ("POST", "/v1/chat/completions", body),
            ("POST", "/v1/chat/completions", {**body, "stream": True}),
            ("POST", "/v1/cache/lookup", body),
        ):
            answer = await gateway.call(method, path, json=sent)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "sealed"), path
            assert QUESTION not in answer.text
        assert len(gateway.upstream.requests) == asked
        await gateway.settle()
        assert rows(gateway) == before

    run(tmp_path, work)


def test_only_the_platform_may_give_shares(tmp_path: Path) -> None:
    async def work(gateway: FakeGateway, shares: list[str]) -> None:
        assert (await give(gateway, shares[0], tenant=0)).status_code == 403
        nobody = await gateway.client.post("/admin/v1/unseal", json={"share": shares[0]})
        assert nobody.status_code == 401
        assert (await give(gateway, shares[1])).json()["given"] == 1

    run(tmp_path, work)


def test_a_share_that_does_not_fit_is_refused_and_counts_for_nothing(tmp_path: Path) -> None:
    async def work(gateway: FakeGateway, shares: list[str]) -> None:
        other = split_key(bytes(range(1, 33)), 2, 2)[0]
        wrong = [shares[0][:-1] + ("0" if shares[0][-1] != "0" else "1"), other, "hello"]
        for share in wrong:
            answer = await give(gateway, share)
            assert (answer.status_code, answer.json()["param"]) == (400, "share"), share
            assert share[60:] not in answer.text or share == "hello"
        for malformed in ("", "x" * 201, 7, None):
            assert (await give(gateway, malformed)).status_code == 400
        assert (await give(gateway, shares[0])).json()["given"] == 1
        again = await give(gateway, shares[0])
        assert (again.status_code, "given already" in again.json()["detail"]) == (400, True)

    run(tmp_path, work)


def test_the_audit_log_says_who_gave_which_share_and_not_the_share(tmp_path: Path) -> None:
    async def work(gateway: FakeGateway, shares: list[str]) -> None:
        await give(gateway, shares[1])
        found = gateway.gateway.database.read_now(lambda c: list_audit(c, tenant=None, after=0, limit=100))[-1]
        assert (found.action, found.detail) == ("kek.unseal", '{"needed":2,"share":2}')
        assert not any(part in f"{found}" for part in shares[1].split("_")[-2:])

    run(tmp_path, work)


def test_a_gateway_with_its_key_in_a_file_has_nothing_to_unseal(tmp_path: Path) -> None:
    async def work() -> None:
        async with fake_gateway(tmp_path) as gateway:
            answer = await give(gateway, split_key(bytes(range(32)), 2, 2)[0])
            assert answer.status_code == 409

    asyncio.run(work())
