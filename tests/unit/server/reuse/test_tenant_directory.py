"""What is kept of tenants, and when a tenant's data key is followed by the next epoch's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from server.store.lookups import LookupRepository
from server.store.maintenance import list_audit
from server.store.records import UsageRow
from server.store.tenancy import DataKeyRepository
from tenants.data_keys import ROTATION_SEALED_COUNT
from tenants.errors import AuthenticationError
from tenants.identifiers import KeyId
from tests.fakes import FakeClock, FakeGateway, Options, fake_gateway

DAY_S = 86_400
QUESTION = "which canary sings at noon"


def epochs(gateway: FakeGateway, *, tenant: int = 0) -> list[int]:
    found = gateway.tenants[tenant].id
    keys = gateway.gateway.database.read_now(lambda c: DataKeyRepository(c, found).list_all())
    return [key.epoch for key in keys]


def run(folder: Path, work: Any) -> None:
    async def both() -> None:
        async with fake_gateway(folder, Options(clock=FakeClock())) as gateway:
            await work(gateway)

    asyncio.run(both())


def test_a_data_key_of_ninety_days_is_followed_by_another(tmp_path: Path) -> None:
    async def work(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        gateway.clock.advance(89 * DAY_S)
        await gateway.ask("another question altogether")
        assert epochs(gateway) == [1]
        gateway.clock.advance(2 * DAY_S)
        await gateway.ask("a third thing to know")
        assert epochs(gateway) == [1, 2]
        assert epochs(gateway, tenant=1) == [1]
        context = await gateway.gateway.tenants.get(gateway.tenants[0].id)
        assert context.data_key.epoch == 2
        actions = [
            row.action
            for row in gateway.gateway.database.read_now(
                lambda c: list_audit(c, tenant=gateway.tenants[0].id, after=0, limit=100)
            )
        ]
        assert actions[-1] == "data-key.rotate"

    run(tmp_path, work)


def test_what_an_old_epoch_sealed_still_opens_exactly_and_by_meaning(tmp_path: Path) -> None:
    async def work(gateway: FakeGateway) -> None:
        gateway.set_policy(threshold_ten_thousandths=9_000, ttl_s=200 * DAY_S, ttl_s_max=200 * DAY_S)
        first = await gateway.ask(QUESTION)
        gateway.clock.advance(91 * DAY_S)
        again = await gateway.ask(QUESTION)
        assert epochs(gateway) == [1, 2]
        assert again["hitproof"]["tier"] == "exact"
        assert again["choices"] == first["choices"]
        near = await gateway.ask(f"{QUESTION}?")
        assert near["hitproof"]["tier"] == "private"
        assert near["choices"] == first["choices"]

    run(tmp_path, work)


def test_old_epochs_open_after_a_restart_too(tmp_path: Path) -> None:
    async def work(gateway: FakeGateway) -> None:
        gateway.set_policy(threshold_ten_thousandths=9_000, ttl_s=200 * DAY_S, ttl_s_max=200 * DAY_S)
        await gateway.ask(QUESTION)
        gateway.clock.advance(91 * DAY_S)
        await gateway.ask("another question altogether")
        assert epochs(gateway) == [1, 2]

    run(tmp_path, work)

    async def later() -> None:
        clock = FakeClock(1_790_000_000_000 + 92 * DAY_S * 1000)
        async with fake_gateway(tmp_path, Options(clock=clock)) as gateway:
            for question in (QUESTION, "another question altogether"):
                assert (await gateway.ask(question))["hitproof"]["outcome"] == "hit"

    asyncio.run(later())


def test_a_data_key_that_sealed_enough_is_followed_by_another(tmp_path: Path) -> None:
    async def work(gateway: FakeGateway) -> None:
        tenant = gateway.tenants[0].id
        await gateway.ask(QUESTION)
        gateway.clock.advance(3_601)
        usage = UsageRow("2026-09-22", KeyId("key"), "m", "miss", "", ROTATION_SEALED_COUNT // 3 + 1, 0, 0, 0, 0)
        gateway.gateway.database.write_now(lambda c: LookupRepository(c, tenant).add_usage([usage]))
        await gateway.ask("another question altogether")
        assert epochs(gateway) == [1, 2]

    run(tmp_path, work)


def test_two_processes_that_rotate_at_once_make_one_epoch(tmp_path: Path) -> None:
    async def work(gateway: FakeGateway) -> None:
        async with fake_gateway(tmp_path, Options(clock=gateway.clock)) as other:
            gateway.clock.advance(91 * DAY_S)
            tenant = gateway.tenants[0].id
            first, second = await asyncio.gather(gateway.gateway.tenants.get(tenant), other.gateway.tenants.get(tenant))
            assert epochs(gateway) == [1, 2]
            assert first.data_key == second.data_key
            assert first.data_key.epoch == 2

    run(tmp_path, work)


def test_no_key_is_made_for_a_tenant_that_was_erased(tmp_path: Path) -> None:
    async def work(gateway: FakeGateway) -> None:
        tenant = gateway.tenants[0].id
        database = gateway.gateway.database
        database.write_now(lambda c: DataKeyRepository(c, tenant).destroy_all())
        with pytest.raises(AuthenticationError):
            await gateway.gateway.tenants.get(tenant)
        gateway.erase()
        with pytest.raises(AuthenticationError):
            await gateway.gateway.tenants.get(tenant)
        assert epochs(gateway) == []

    run(tmp_path, work)
