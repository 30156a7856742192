"""What admins see of keys and changes: no more than is theirs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from server.standing import end_model_version
from server.store.errors import NotFound
from tests.fakes import FakeGateway, Options, SeededRandom, fake_gateway


def test_a_tenants_audit_log_is_numbered_by_its_own_changes_alone(tmp_path: Path) -> None:
    async def change(gateway: FakeGateway, tenant: int) -> None:
        response = await gateway.call("POST", "/admin/v1/policies", tenant=tenant, json={"policy": {}})
        assert response.status_code == 201

    async def play() -> None:
        async with fake_gateway(tmp_path, Options(tenants=2)) as gateway:
            await change(gateway, 0)
            before = (await gateway.call("GET", "/admin/v1/audit-log")).json()["data"]
            await change(gateway, 1)
            await change(gateway, 0)
            after = (await gateway.call("GET", "/admin/v1/audit-log")).json()["data"]
            assert [row["seq"] for row in after] == list(range(1, len(before) + 2))
            page = (await gateway.call("GET", f"/admin/v1/audit-log?after={len(before)}")).json()["data"]
            assert page == after[len(before) :]

    asyncio.run(play())


def test_the_day_a_key_was_last_used_is_written_down(tmp_path: Path) -> None:
    async def play() -> None:
        async with fake_gateway(tmp_path, Options(tenants=1)) as gateway:
            first = (await gateway.call("GET", "/admin/v1/keys")).json()["data"][0]
            assert first["last_used_day"] is None
            await gateway.ask("Is anybody there?")
            await gateway.settle()
            assert (await gateway.call("GET", "/admin/v1/keys")).json()["data"][0]["last_used_day"] == "2026-09-21"

    asyncio.run(play())


def test_every_request_of_the_cache_api_counts_against_the_rate(tmp_path: Path) -> None:
    async def play() -> None:
        from tenants.quotas import Quota

        paths = ("/v1/models", "/v1/cache/entries", "/v1/cache/stats")
        async with fake_gateway(tmp_path, Options(tenants=1, quota=Quota(requests_per_minute=len(paths)))) as gateway:
            for path in paths:
                assert (await gateway.call("GET", path)).status_code == 200
            for path in paths:
                assert (await gateway.call("GET", path)).status_code == 429

    asyncio.run(play())


@pytest.mark.parametrize("reference", ["file:/etc/hostname", "env:HITPROOF_KEK", "env:PATH"])
def test_no_secret_of_the_house_can_be_named_as_an_upstreams_key_over_the_network(
    tmp_path: Path, reference: str
) -> None:
    async def play() -> None:
        async with fake_gateway(tmp_path, Options(tenants=1)) as gateway:
            body = {"kind": "openai", "base_url": "https://upstream.example/v1", "key": reference}
            response = await gateway.call("PUT", "/admin/v1/upstreams/mine", tenant=None, json=body)
            assert response.status_code == 400
            assert "HITPROOF_SECRET_" in response.text

    asyncio.run(play())


def test_a_revoked_model_version_answers_no_more(tmp_path: Path) -> None:
    async def play() -> None:
        async with fake_gateway(tmp_path, Options(tenants=1)) as gateway:
            first = await gateway.ask("Is anybody there?")
            version = first["hitproof"]["model_version"]
            gateway.gateway.database.write_now(
                lambda connection: end_model_version(
                    connection, version, "revoked", actor="test", now_ms=0, random=SeededRandom()
                )
            )
            assert (await gateway.ask("Is anybody there?"))["hitproof"]["outcome"] == "miss"
            with pytest.raises(NotFound):
                gateway.gateway.database.write_now(
                    lambda connection: end_model_version(
                        connection, "sha256:none", "revoked", actor="test", now_ms=0, random=SeededRandom()
                    )
                )

    asyncio.run(play())
