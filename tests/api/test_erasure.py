"""An erased tenant is gone: its proofs too, from restored databases too; the log goes on without its words."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from crypto.bodies import parse_body
from crypto.leaf import LeafKind
from server.datafolder import DataFolder
from server.erasing import erase_tenant
from server.reuse.pseudonyms import pseudonym_at
from server.store.log import LogRepository
from server.store.platform import PlatformRepository
from tenants.key_providers import FileKeyProvider
from tests.fakes import FakeClock, FakeGateway, Options, fake_gateway
from tests.signing_runner import SigningRunner

QUESTION = "Which lantern hangs over the northern gate of the harbour?"
TABLES = ("receipts", "hits", "evidence", "announced_policies", "entries", "lookups", "data_keys")


def world(**options: Any) -> Options:
    clock = FakeClock()
    settings = {"embedding_statement_batch_max": 8, "embedding_statement_interval_s": 3600}
    return Options(clock=clock, upstream=SigningRunner(clock), upstream_kind="runner", settings=settings, **options)


async def use(gateway: FakeGateway) -> None:
    """Leave something of both tenants in every table."""
    for tenant in (0, 1):
        await gateway.ask(QUESTION, tenant=tenant)
        await gateway.ask(QUESTION, tenant=tenant)
    await gateway.gateway.embedding_statements.step()
    await gateway.settle()


def held(gateway: FakeGateway, tenant: int) -> dict[str, int]:
    owner = gateway.tenants[tenant].id
    count = "SELECT count(*) FROM {} WHERE tenant_id = :owner"
    return gateway.gateway.database.read_now(
        lambda c: {name: c.execute(text(count.format(name)), {"owner": owner}).scalar_one() for name in TABLES}
    )


def test_nothing_of_an_erased_tenants_proofs_is_left_and_the_log_keeps_its_leaves(tmp_path: Path) -> None:
    async def play() -> None:
        async with fake_gateway(tmp_path, world()) as gateway:
            await use(gateway)
            database, other = gateway.gateway.database, held(gateway, 1)
            context = await gateway.gateway.tenants.get(gateway.tenants[0].id)
            before = database.read_now(lambda c: LogRepository(c).load_unsequenced(100))
            gateway.erase()
            after = database.read_now(lambda c: LogRepository(c).load_unsequenced(100))
            assert all(count for name, count in held(gateway, 1).items()) and held(gateway, 1) == other
            assert held(gateway, 0) == dict.fromkeys(TABLES, 0)
            assert [row.leaf for row in after[:-1]] == [row.leaf for row in before]
            mine = {row.seq for row in before if row.tenant_id == context.id}
            assert mine
            assert {(row.tenant_id, row.body) for row in after if row.seq in mine} == {(None, None)}
            said = parse_body(LeafKind.ERASURE, after[-1].body or b"")
            assert getattr(said, "tenant", None) == pseudonym_at(context, gateway.clock.now_ms())

    asyncio.run(play())


def test_an_erased_tenant_does_not_come_back_with_a_restored_database(tmp_path: Path) -> None:
    options, copy = world(), tmp_path / "copy.db"

    async def first() -> None:
        async with fake_gateway(tmp_path / "data", options) as gateway:
            await use(gateway)
            gateway.gateway.database.read_now(lambda c: c.execute(text(f"VACUUM INTO '{copy}'")))
            gateway.erase()

    async def second() -> None:
        async with fake_gateway(tmp_path / "data", options) as gateway:
            assert held(gateway, 0) == dict.fromkeys(TABLES, 0)
            assert all(held(gateway, 1).values())
            assert (await gateway.chat(QUESTION, tenant=0)).status_code == 401
            assert (await gateway.ask(QUESTION, tenant=1))["hitproof"]["outcome"] == "hit"
            owner = gateway.tenants[0].id
            status = gateway.gateway.database.read_now(lambda c: PlatformRepository(c).get_tenant(owner)).status
            assert status == "erased"

    asyncio.run(first())
    for name in ("hitproof.db-wal", "hitproof.db-shm"):
        (tmp_path / "data" / name).unlink(missing_ok=True)
    shutil.copy(copy, tmp_path / "data" / "hitproof.db")
    asyncio.run(second())


def test_a_tombstone_is_written_before_anything_is_committed(tmp_path: Path) -> None:
    async def play() -> None:
        async with fake_gateway(tmp_path, world()) as gateway:
            state, tenant = gateway.gateway.state, gateway.tenants[0].id

            def erase_and_fail(connection: Any) -> None:
                erase_tenant(
                    connection, tenant, erasures=state.erasures, provider=state.key_provider, actor="test",
                    now_ms=gateway.clock.now_ms(), random=state.random,
                )  # fmt: skip
                raise RuntimeError("the power went")

            with pytest.raises(RuntimeError):
                gateway.gateway.database.write_now(erase_and_fail)
            assert [found.tenant for found in state.erasures.list_all()] == [tenant]
            assert all(held(gateway, 0)[name] for name in ("data_keys",))
        # What was asked for, and could not be finished, the next start finishes.
        async with fake_gateway(tmp_path, world()) as gateway:
            assert held(gateway, 0)["data_keys"] == 0

    asyncio.run(play())


def test_a_tenants_exports_go_with_it(tmp_path: Path) -> None:
    async def play() -> None:
        async with fake_gateway(tmp_path, world()) as gateway:
            exports = DataFolder(tmp_path).exports
            exports.mkdir(exist_ok=True)
            names = ("aud_mine.zip", "aud_others.zip")
            for tenant, name in enumerate(names):
                (exports / name).write_bytes(b"PK")
                owner = gateway.tenants[tenant].id
                gateway.gateway.database.write_now(
                    lambda c, name=name, owner=owner: c.execute(  # type: ignore[misc]
                        text(
                            "INSERT INTO audit_jobs (id, tenant_id, state, done, total, scope, file, created_at_ms) "
                            "VALUES (:name, :owner, 'done', 1, 1, '{}', :name, 1)"
                        ),
                        {"name": name, "owner": owner},
                    )
                )
            path = f"/admin/v1/tenants/{gateway.tenants[0].id}"
            erased = await gateway.call("DELETE", path, tenant=None, json={"confirm": "tenant-0"})
            assert erased.status_code == 200, erased.text
            assert [path.name for path in exports.iterdir()] == ["aud_others.zip"]

    asyncio.run(play())


def test_hits_in_the_journal_of_a_tenant_that_was_just_erased_are_not_written(tmp_path: Path) -> None:
    async def play() -> None:
        async with fake_gateway(tmp_path, world()) as gateway:
            for tenant in (0, 1):
                await gateway.ask(QUESTION, tenant=tenant)
            for tenant in (0, 1):
                assert (await gateway.ask(QUESTION, tenant=tenant))["hitproof"]["outcome"] == "hit"
            gateway.erase()
            await gateway.settle()
            assert (held(gateway, 0)["hits"], held(gateway, 1)["hits"]) == (0, 1)

    asyncio.run(play())


def test_no_byte_that_an_erasure_took_out_is_left_in_the_database_or_its_journal(tmp_path: Path) -> None:
    queries = {
        "keys": "SELECT wrapped FROM data_keys WHERE tenant_id = :owner",
        "answers": "SELECT payload FROM entries WHERE tenant_id = :owner",
        "bodies": "SELECT body FROM log_leaves WHERE tenant_id = :owner AND body IS NOT NULL",
        "records": "SELECT record FROM hits WHERE tenant_id = :owner",
    }

    async def play() -> None:
        async with fake_gateway(tmp_path, world()) as gateway:
            for number in range(20):
                for _ in range(2):
                    await gateway.ask(f"{QUESTION} {number}")
                    await gateway.ask(f"{QUESTION} {number}", tenant=1)
            await gateway.gateway.embedding_statements.step()
            await gateway.settle()
            read = gateway.gateway.database.read_now
            found = {
                name: read(partial(rows_of, query=query, owner=gateway.tenants[0].id))
                for name, query in queries.items()
            }
            assert all(found.values())
            gateway.erase()
            await gateway.settle()
            for file in tmp_path.glob("hitproof.db*"):
                held = file.read_bytes()
                left = {name: sum(value[-60:] in held for value in values) for name, values in found.items()}
                assert left == dict.fromkeys(queries, 0), file.name

    asyncio.run(play())


def test_an_erasure_on_one_machine_holds_on_another_that_opens_the_restored_database(tmp_path: Path) -> None:
    options, copy = world(), tmp_path / "copy.db"

    async def play() -> None:
        async with fake_gateway(tmp_path / "first", options) as first:
            url = first.settings.database
            provider = FileKeyProvider(DataFolder(tmp_path / "first").key_file)
            elsewhere = replace(
                options,
                provider=provider,
                seed=5,
                settings=options.settings | {"database_url": url, "sweep_interval_s": 3600},
            )
            async with fake_gateway(tmp_path / "second", elsewhere) as second:
                await use(first)
                first.gateway.database.read_now(lambda c: c.execute(text(f"VACUUM INTO '{copy}'")))
                first.erase()
                await second.gateway.proving.copy_tombstones()
        shutil.copy(copy, tmp_path / "second" / "restored.db")
        restored = {"database_url": f"sqlite:///{tmp_path / 'second' / 'restored.db'}"}
        async with fake_gateway(
            tmp_path / "second", replace(options, provider=provider, settings=options.settings | restored)
        ) as third:
            owner = first.tenants[0].id
            found = third.gateway.database.read_now(lambda c: PlatformRepository(c).get_tenant(owner))
            assert found.status == "erased"

    asyncio.run(play())


def rows_of(connection: Connection, *, query: str, owner: str) -> list[bytes]:
    return [bytes(row[0]) for row in connection.execute(text(query), {"owner": owner})]
