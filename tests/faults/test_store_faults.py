"""The disk and the database fail: the proxy goes on answering, nothing half-written stays, and doubt ends the process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import event

from server.datafolder import DataFolder, DataFolderError
from server.serving import EXIT_DISK_FAILURE
from server.store.errors import StoreUnavailable
from tests.fakes import FakeGateway, Options, Tenant, fake_gateway
from tests.faults.gateway_process import Nursery
from tests.traces import PATIENT


def run(folder: Path, scenario: Callable[[FakeGateway], Awaitable[None]], options: Options | None = None) -> None:
    async def play() -> None:
        async with fake_gateway(folder, options or Options(settings=PATIENT)) as gateway:
            await scenario(gateway)

    asyncio.run(play())


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    nursery = Nursery(tmp_path / "log")
    yield nursery
    nursery.close()


@pytest.fixture
def tenants(tmp_path: Path) -> list[Tenant]:
    async def prepare() -> list[Tenant]:
        async with fake_gateway(tmp_path / "data") as gateway:
            return gateway.tenants

    return asyncio.run(prepare())


def ask(port: int, tenant: Tenant, question: str, **headers: str) -> httpx2.Response:
    return httpx2.post(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json={"model": "fake-model", "messages": [{"role": "user", "content": question}]},
        headers={"authorization": f"Bearer {tenant.key}", **headers},
        timeout=30,
        trust_env=False,
    )


def test_f06_a_full_disk_costs_storing_and_nothing_else_until_there_is_room(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        kept = await gateway.ask("what was asked before the disk filled up")
        await gateway.settle()
        engine, room = gateway.gateway.database.engine, {"pages": 1}

        def limit(connection: Any, _record: object) -> None:
            connection.execute(f"PRAGMA max_page_count = {room['pages']}")

        event.listen(engine, "connect", limit)
        # SQLite's own SQLITE_FULL: the writer's connection is opened anew under the limit after its next failure.
        await break_writer(gateway)
        unstored = 0
        for number in range(300):
            answer = await gateway.ask(f"number {number} " + "long " * 200)
            unstored += answer["hitproof"]["entry"] is None
            gateway.clock.advance(0.01)
        assert unstored > 0, "the disk was never full"
        assert "store_unavailable" in answer["hitproof"]["reason"]
        assert (await gateway.ask("what was asked before the disk filled up"))["hitproof"]["outcome"] == "hit"
        body = {"model": "fake-model", "messages": [{"role": "user", "content": "long"}], "answer": "long " * 4_000}
        put = await gateway.call("POST", "/v1/cache/entries", json=body)
        assert (put.status_code, put.headers["retry-after"]) == (503, "1")
        room["pages"] = 1_000_000
        await break_writer(gateway)
        assert (await gateway.ask("there is room again"))["hitproof"]["entry"] is not None
        assert (await gateway.ask("there is room again"))["hitproof"]["outcome"] == "hit"
        assert kept["hitproof"]["entry"] is not None

    run(tmp_path, scenario)


async def break_writer(gateway: FakeGateway) -> None:
    """Let one write fail as if the database had gone, so that the writer opens another connection."""

    def fail(_connection: Any) -> None:
        raise sqlite3.OperationalError("the connection was lost")

    with pytest.raises(StoreUnavailable):
        await gateway.gateway.database.write(fail)


def test_f07_a_disk_that_fails_ends_the_process_and_a_restart_finds_all_that_was_acknowledged(
    tmp_path: Path, tenants: list[Tenant], nursery: Nursery
) -> None:
    folder, stored, failed = tmp_path / "data", [], 0
    # A real failure: beyond this size the kernel refuses, and SQLite reports a disk I/O error.
    ready = nursery.start(folder, file_bytes_max=400_000)
    with contextlib.suppress(httpx2.TransportError):
        for number in range(2_000):
            question = f"number {number} " + "long " * 300
            answer = ask(ready["port"], tenants[0], question).json()
            if answer["hitproof"]["entry"]:
                stored.append((question, answer["hitproof"]["entry"]))
            elif (failed := failed + 1) > 20:
                os.kill(ready["pid"], signal.SIGKILL)
    assert nursery.wait() == EXIT_DISK_FAILURE
    assert stored
    again = nursery.start(folder)
    for question, entry in stored:
        found = ask(again["port"], tenants[0], question, **{"cache-control": "only-if-cached"}).json()
        assert found["hitproof"]["entry"] == entry
    os.kill(again["pid"], signal.SIGTERM)
    assert nursery.wait() == 0


@pytest.mark.parametrize("wrong", ["a file", "no parent right"])
def test_f08_a_folder_that_cannot_be_used_is_refused_with_what_to_change(tmp_path: Path, wrong: str) -> None:
    folder = tmp_path / "data"
    if wrong == "a file":
        folder.write_text("not a folder")
    else:
        folder = Path("/proc/nothing-can-be-made-here")
    with pytest.raises(DataFolderError, match="choose another"):
        DataFolder(folder).create()


def test_f11_a_second_process_on_the_same_folder_is_refused_and_the_first_goes_on(
    tmp_path: Path, tenants: list[Tenant], nursery: Nursery
) -> None:
    first = nursery.start(tmp_path / "data")
    second = nursery.start(tmp_path / "data")
    assert "another hitproof runs on" in second["refused"]
    assert nursery.wait() == 3
    assert ask(first["port"], tenants[0], "still there?").status_code == 200
    os.kill(first["pid"], signal.SIGTERM)
    assert nursery.wait() == 0


def test_f12_a_database_that_stays_locked_costs_a_bounded_wait_and_no_double_effect(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask("warm")
        await gateway.settle()
        holder = sqlite3.connect(tmp_path / "hitproof.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        started_s = time.monotonic()
        answer = await gateway.ask("asked while locked")
        assert answer["hitproof"]["entry"] is None
        assert "store_unavailable" in answer["hitproof"]["reason"]
        assert time.monotonic() - started_s < 20
        holder.execute("ROLLBACK")
        holder.close()
        assert (await gateway.ask("asked while locked"))["hitproof"]["entry"] is not None
        listed = (await gateway.call("GET", "/v1/cache/entries")).json()["data"]
        assert len(listed) == 2

    run(tmp_path, scenario)


def test_a_store_that_cannot_be_read_turns_hits_into_answers_from_upstream(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask("what was asked before")
        database = gateway.gateway.database

        async def unavailable(_run: object) -> None:
            raise StoreUnavailable("the database does not answer")

        for name in ("read", "read_by_key", "write"):
            setattr(database, name, unavailable)
        answer = await gateway.ask("what was asked before")
        assert answer["choices"][0]["message"]["content"] == "You asked: what was asked before"
        assert (answer["hitproof"]["outcome"], answer["hitproof"]["entry"]) == ("miss", None)
        for name in ("read", "read_by_key", "write"):
            delattr(database, name)
        assert (await gateway.ask("what was asked before"))["hitproof"]["outcome"] == "hit"

    run(tmp_path, scenario)


def test_f33_an_emptied_key_cache_under_load_is_one_read_and_a_dead_store_is_503(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask("warm")
        reads = 0
        authenticator, read = gateway.gateway.authenticator, gateway.gateway.authenticator._read

        async def counted(key_id: str, text: str) -> Any:
            nonlocal reads
            reads += 1
            await asyncio.sleep(0.02)
            return await read(key_id, text)

        authenticator._read = counted  # type: ignore[method-assign]
        authenticator.forget_all()
        responses = await asyncio.gather(*(gateway.call("GET", "/v1/models") for _ in range(200)))
        assert {response.status_code for response in responses} == {200} and reads == 1

        async def dead(_key_id: str, _text: str) -> Any:
            raise StoreUnavailable("the database does not answer")

        authenticator._read = dead  # type: ignore[method-assign]
        authenticator.forget_all()
        assert (await gateway.call("GET", "/v1/models")).status_code == 503

    run(tmp_path, scenario)


def test_f33_a_key_that_is_revoked_while_it_is_read_is_not_believed_afterwards(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        made = (await gateway.call("POST", "/admin/v1/keys", json={"role": "member", "label": "x"})).json()
        authenticator, read = gateway.gateway.authenticator, gateway.gateway.authenticator._read
        was_read, hold = asyncio.Event(), asyncio.Event()

        async def slow(key_id: str, text: str) -> Any:
            found = await read(key_id, text)
            if key_id == made["key_id"]:
                was_read.set()
                await hold.wait()
            return found

        authenticator._read = slow  # type: ignore[method-assign]
        headers = {"authorization": f"Bearer {made['api_key']}"}
        reading = asyncio.create_task(gateway.client.get("/v1/models", headers=headers))
        await asyncio.wait_for(was_read.wait(), 60)
        assert (await gateway.call("DELETE", f"/admin/v1/keys/{made['key_id']}")).status_code == 200
        hold.set()
        await reading
        assert (await gateway.client.get("/v1/models", headers=headers)).status_code == 401

    run(tmp_path, scenario)


def test_a_tenants_context_that_lapses_under_load_is_read_once(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask("warm")
        loads, load = 0, gateway.gateway.tenants._load

        async def counted(tenant: Any) -> Any:
            nonlocal loads
            loads += 1
            return await load(tenant)

        gateway.gateway.tenants._load = counted  # type: ignore[method-assign]
        gateway.gateway.tenants.forget_all()
        await asyncio.gather(*(gateway.gateway.tenants.get(gateway.tenants[0].id) for _ in range(100)))
        assert loads == 1

    run(tmp_path, scenario)


def test_every_connection_writes_ahead_and_syncs_each_commit(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        def look(connection: Any) -> tuple[Any, ...]:
            names = ("journal_mode", "synchronous", "foreign_keys")
            return tuple(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names)

        database = gateway.gateway.database
        assert await database.write(look) == await database.read(look) == ("wal", 2, 1)

    run(tmp_path, scenario)
