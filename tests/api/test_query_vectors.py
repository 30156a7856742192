"""What a hit was found by is kept sealed beside it, while its tenant keeps lookups, and by no request."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import server.reuse.hit_journal as journal
from crypto.commitment import hit_salt, query_vector_commitment
from crypto.hit import parse_hit_record
from server.ports import JsonObject
from server.reuse.query_vectors import seal_query_vector, unseal_query_vector
from server.reuse.retention import QueryVectorRetention
from server.store.log_records import StoredHit
from server.store.receipts import HitRepository
from tenants.errors import UnsealError
from tenants.identifiers import LookupId
from tests.fakes import FakeGateway, Options, SeededRandom, fake_gateway

QUESTION = "Which lantern hangs over the northern gate of the harbour?"
ALIKE = "Which lantern hangs over the northern gate of our harbour?"
DAY_S = 24 * 3600
Scenario = Callable[[FakeGateway], Awaitable[None]]


def run(folder: Path, scenario: Scenario, **options: Any) -> None:
    async def play() -> None:
        async with fake_gateway(folder, Options(**options)) as gateway:
            await scenario(gateway)

    asyncio.run(play())


def account(body: JsonObject) -> JsonObject:
    found: JsonObject = body["hitproof"]
    return found


async def hits(gateway: FakeGateway, tenant: int = 0) -> dict[str, StoredHit]:
    await gateway.settle()
    owner = gateway.tenants[tenant].id
    rows = gateway.gateway.database.read_now(
        lambda c: HitRepository(c, owner).list_page(since_ms=None, until_ms=None, after=None, limit=100)
    )
    return {row.id: row for row in rows}


def retention(gateway: FakeGateway) -> QueryVectorRetention:
    return QueryVectorRetention(gateway.gateway.database, gateway.clock)


def test_the_vector_of_a_hit_by_meaning_is_kept_and_opens_what_its_record_commits_to(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        exact, near = account(await gateway.ask(QUESTION)), account(await gateway.ask(ALIKE))
        found = await hits(gateway)
        assert found[exact["hit"]].query_vector is None
        tenant = await gateway.gateway.tenants.get(gateway.tenants[0].id)
        sealed = found[near["hit"]].query_vector
        assert sealed is not None
        vector = unseal_query_vector(sealed, key=tenant.data_key, tenant=tenant.id, hit=near["hit"])
        salt = hit_salt(tenant.hit_salt_key, near["hit"], "query_vector")
        assert parse_hit_record(found[near["hit"]].record).query_vector == query_vector_commitment(salt, vector)
        assert vector not in sealed

    run(tmp_path, scenario)


def test_a_sealed_query_vector_opens_for_no_other_hit_and_no_other_tenant(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        tenant, other = [await gateway.gateway.tenants.get(gateway.tenants[number].id) for number in (0, 1)]
        sealed = seal_query_vector(
            bytes(384), key=tenant.data_key, tenant=tenant.id, hit=LookupId("hit_1"), random=SeededRandom(3)
        )
        assert unseal_query_vector(sealed, key=tenant.data_key, tenant=tenant.id, hit="hit_1") == bytes(384)
        for key, owner, hit in (
            (tenant.data_key, tenant.id, "hit_2"),
            (tenant.data_key, other.id, "hit_1"),
            (other.data_key, tenant.id, "hit_1"),
        ):
            with pytest.raises(UnsealError):
                unseal_query_vector(sealed, key=key, tenant=owner, hit=hit)

    run(tmp_path, scenario)


def test_a_tenant_that_keeps_no_lookups_keeps_no_query_vectors(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.set_policy(threshold_ten_thousandths=9_000, lookup_retention_s=0)
        await gateway.ask(QUESTION)
        near = account(await gateway.ask(ALIKE))
        assert near["tier"] == "private"
        assert (await hits(gateway))[near["hit"]].query_vector is None

    run(tmp_path, scenario)


def test_of_a_request_that_asks_not_to_be_stored_no_query_vector_is_kept(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        near = account(await gateway.ask(ALIKE, headers={"cache-control": "no-store"}))
        assert near["tier"] == "private"
        assert (await hits(gateway))[near["hit"]].query_vector is None

    run(tmp_path, scenario)


def test_no_query_vector_is_sealed_while_somebody_waits_for_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def seal(*arguments: Any, **options: Any) -> bytes:
        threads.append(threading.current_thread())
        return seal_query_vector(*arguments, **options)

    monkeypatch.setattr(journal, "seal_query_vector", seal)

    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        assert account(await gateway.ask(ALIKE))["tier"] == "private"
        await gateway.settle()
        assert len(threads) == 1
        assert threads[0] is not threading.current_thread()

    run(tmp_path, scenario, settings={"record_flush_s": 10})


def test_query_vectors_are_kept_as_long_as_the_policy_says_now(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        old = account(await gateway.ask(ALIKE))["hit"]
        await gateway.ask(QUESTION, tenant=1)
        others = account(await gateway.ask(ALIKE, tenant=1))["hit"]
        await hits(gateway)
        gateway.clock.advance(2 * 3600)
        new = account(await gateway.ask(ALIKE))["hit"]
        await hits(gateway)
        assert await retention(gateway).sweep() == 0
        gateway.set_policy(threshold_ten_thousandths=9_000, lookup_retention_s=3600)
        assert await retention(gateway).sweep() == 1
        own, foreign = await hits(gateway), await hits(gateway, 1)
        assert [own[old].query_vector is None, own[new].query_vector is None] == [True, False]
        assert foreign[others].query_vector is not None
        assert parse_hit_record(own[old].record).query_vector is not None, "the hit stays, and can be shown"

    run(tmp_path, scenario)


def test_a_policy_that_keeps_nothing_any_more_forgets_at_once(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        near = account(await gateway.ask(ALIKE))["hit"]
        await hits(gateway)
        gateway.set_policy(threshold_ten_thousandths=9_000, lookup_retention_s=0)
        gateway.clock.advance(1)
        await gateway.gateway.sweeper.sweep()
        assert (await hits(gateway))[near].query_vector is None

    run(tmp_path, scenario)


def test_under_a_policy_that_only_a_newer_release_reads_nothing_is_forgotten(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        near = account(await gateway.ask(ALIKE))["hit"]
        await hits(gateway)
        gateway.set_policy(threshold_ten_thousandths=9_000, lookup_retention_s=0)
        gateway.clock.advance(1)
        gateway.gateway.database.write_now(
            lambda c: c.exec_driver_sql("""UPDATE policies SET document = '{"from_the_future":1}'""")
        )
        assert await retention(gateway).sweep() == 0
        assert (await hits(gateway))[near].query_vector is not None

    run(tmp_path, scenario)


def test_of_an_erased_tenant_no_query_vector_is_left(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        await gateway.ask(ALIKE)
        assert len(await hits(gateway)) == 1
        gateway.erase()
        assert await hits(gateway) == {}

    run(tmp_path, scenario)
