"""kill -9 under load, again and again: nothing that was acknowledged is lost, nothing that was removed comes back.

The client keeps its own ledger. What a kill -9 cannot show is power loss: the page cache survives it
(docs/explanation/safety.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random as chance
import signal
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from server.store.database import open_engine, sqlite_url
from server.store.maintenance import verify_audit_chain
from tests.fakes import Options, Tenant, fake_gateway
from tests.faults.gateway_process import Nursery

CYCLES, CAMPAIGN_CYCLES = 50, 1_000
WORKERS = 8
SAMPLE = 12
SEED = 20_261_125


@dataclass(slots=True)
class Ledger:
    """What the server has acknowledged, by question."""

    stored: dict[tuple[int, str], tuple[str, str]] = field(default_factory=dict)
    removed: dict[tuple[int, str], str] = field(default_factory=dict)
    unsure: set[tuple[int, str]] = field(default_factory=set)
    policy_version: list[int] = field(default_factory=lambda: [1, 1, 1])
    acknowledged: int = 0
    checked: int = 0


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    nursery = Nursery(tmp_path_factory.mktemp("nursery") / "log")
    yield nursery
    nursery.close()


@pytest.fixture
def tenants(tmp_path: Path) -> list[Tenant]:
    """Three tenants, set up on the folder."""

    async def prepare() -> list[Tenant]:
        async with fake_gateway(tmp_path / "data", Options(tenants=3)) as gateway:
            return gateway.tenants

    return asyncio.run(prepare())


class Client:
    """Talks to one running gateway as any of the tenants."""

    def __init__(self, http: httpx2.AsyncClient, tenants: list[Tenant]) -> None:
        self._http = http
        self._tenants = tenants

    async def call(self, tenant: int, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        key = {"authorization": f"Bearer {self._tenants[tenant].key}", **headers}
        return await self._http.request(method, path, json=body, headers=key)

    async def ask(self, tenant: int, question: str, **headers: str) -> httpx2.Response:
        body = {"model": "fake-model", "messages": [{"role": "user", "content": question}]}
        return await self.call(tenant, "POST", "/v1/chat/completions", body, **headers)


@contextlib.asynccontextmanager
async def client_of(port: int, tenants: list[Tenant]) -> Any:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as http:
        yield Client(http, tenants)


async def work(client: Client, source: chance.Random, ledger: Ledger) -> None:
    """Write and remove until the line breaks, noting down whatever was acknowledged."""
    while True:
        tenant, choice = source.randrange(3), source.random()
        if choice < 0.75 or not ledger.stored:
            await store(client, tenant, f"{source.randbytes(8).hex()} {source.randbytes(8).hex()}", ledger)
        elif choice < 0.97:
            await remove(client, source, ledger)
        else:
            response = await client.call(tenant, "POST", "/admin/v1/policies", {"policy": {"ttl_s": 86_400}})
            if response.status_code == 201:
                version = response.json()["version"]
                ledger.policy_version[tenant] = max(ledger.policy_version[tenant], version)
                ledger.acknowledged += 1


async def store(client: Client, tenant: int, question: str, ledger: Ledger) -> None:
    response = await client.ask(tenant, question)
    if response.status_code != 200:
        return
    answer = response.json()
    entry = answer["hitproof"]["entry"]
    if entry is not None:
        ledger.stored[tenant, question] = (entry, answer["choices"][0]["message"]["content"])
        ledger.acknowledged += 1


async def remove(client: Client, source: chance.Random, ledger: Ledger) -> None:
    tenant, question = source.choice(list(ledger.stored))
    entry, _ = ledger.stored.pop((tenant, question))
    ledger.unsure.add((tenant, question))  # until the acknowledgement it may be there or not
    response = await client.call(tenant, "DELETE", f"/v1/cache/entries/{entry}")
    if response.status_code == 200:
        ledger.removed[tenant, question] = entry
        ledger.acknowledged += 1


async def check(client: Client, ledger: Ledger, stored: list[Any], removed: list[Any]) -> None:
    """Ask for what must be there, and for what must not."""
    for tenant, question in stored:
        entry, content = ledger.stored[tenant, question]
        response = await client.ask(tenant, question, **{"cache-control": "only-if-cached"})
        answer = response.json()
        assert response.status_code == 200, f"lost: {entry} ({question})"
        assert (answer["hitproof"]["tier"], answer["hitproof"]["entry"]) == ("exact", entry)
        assert answer["choices"][0]["message"]["content"] == content
        ledger.checked += 1
    for tenant, question in removed:
        entry = ledger.removed[tenant, question]
        assert (await client.call(tenant, "GET", f"/v1/cache/entries/{entry}")).status_code == 404
        response = await client.ask(tenant, question, **{"cache-control": "only-if-cached"})
        assert response.status_code == 504, f"came back: {entry} ({question})"
        ledger.checked += 1
    for tenant, version in enumerate(ledger.policy_version):
        active = (await client.call(tenant, "GET", "/admin/v1/policies")).json()["active"]
        assert active["version"] >= version


def check_file(path: Path) -> None:
    """The database is sound, every entry has its feed row, no tag is orphaned, and the audit chain holds."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        orphans = "SELECT count(*) FROM entries WHERE id NOT IN (SELECT entry_id FROM feed WHERE operation = 'add')"
        assert connection.execute(orphans).fetchone() == (0,)
        tags = "SELECT count(*) FROM entry_tags WHERE entry_id NOT IN (SELECT id FROM entries)"
        assert connection.execute(tags).fetchone() == (0,)
    engine = open_engine(sqlite_url(path))
    with engine.connect() as connection:
        assert verify_audit_chain(connection) is None
    engine.dispose()


def test_f01_nothing_acknowledged_is_lost_by_kill_9(
    tmp_path: Path, tenants: list[Tenant], nursery: Nursery, campaign: bool, record_property: pytest.RecordProperty
) -> None:
    cycles = CAMPAIGN_CYCLES if campaign else CYCLES
    source, ledger, slowest_s = chance.Random(SEED), Ledger(), 0.0
    folder = tmp_path / "data"

    async def cycle(number: int, last: bool) -> None:
        nonlocal slowest_s
        started_s = time.monotonic()
        ready = nursery.start(folder)
        assert "port" in ready, ready
        slowest_s = max(slowest_s, time.monotonic() - started_s)
        async with client_of(ready["port"], tenants) as client:
            everything = last or number % 25 == 24
            stored = list(ledger.stored) if everything else list(ledger.stored)[-SAMPLE:]
            removed = list(ledger.removed) if everything else list(ledger.removed)[-SAMPLE // 4 :]
            await check(client, ledger, stored, removed)
            workers = [
                asyncio.create_task(work(client, chance.Random(source.getrandbits(32)), ledger)) for _ in range(WORKERS)
            ]
            await asyncio.sleep(source.uniform(0.02, 0.3))
            os.kill(ready["pid"], signal.SIGKILL)
            await asyncio.gather(*workers, return_exceptions=True)
        assert nursery.wait() == -signal.SIGKILL
        check_file(folder / "hitproof.db")

    for number in range(cycles):
        asyncio.run(cycle(number, number == cycles - 1))
    summary = (
        f"{cycles} kills, {ledger.acknowledged} acknowledged writes, {ledger.checked} checks after restarts, "
        f"slowest start {slowest_s:.2f} s, seed {SEED}"
    )
    print(f"\nkill -9: {summary}")
    record_property("kill", summary)
    assert ledger.acknowledged > 5 * cycles and ledger.checked > cycles
    assert slowest_s < 10


@pytest.mark.parametrize("crash", ["before-commit", "between-row-and-feed", "after-commit"])
@pytest.mark.parametrize("after", [2, 9])
def test_f02_a_kill_at_a_named_point_of_the_writer_leaves_all_or_nothing(
    tmp_path: Path, tenants: list[Tenant], nursery: Nursery, crash: str, after: int
) -> None:
    folder, ledger = tmp_path / "data", Ledger()

    async def load(port: int) -> None:
        async with client_of(port, tenants) as client:
            workers = [asyncio.create_task(work(client, chance.Random(number), ledger)) for number in range(4)]
            await asyncio.gather(*workers, return_exceptions=True)

    async def look(port: int) -> None:
        async with client_of(port, tenants) as client:
            await check(client, ledger, list(ledger.stored), list(ledger.removed))

    ready = nursery.start(folder, crash=crash, after=after)
    asyncio.run(load(ready["port"]))
    assert nursery.wait() == -signal.SIGKILL
    check_file(folder / "hitproof.db")
    again = nursery.start(folder)
    asyncio.run(look(again["port"]))
    os.kill(again["pid"], signal.SIGTERM)
    assert nursery.wait() == 0
