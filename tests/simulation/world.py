"""A gateway and a runner in this process on a data folder of their own, both on a clock that can be moved."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx2

from server.app import create_app
from server.cli.context import ACTOR, Opened, opened
from server.clock import SystemRandom
from server.datafolder import DataFolder, read_or_create_secret
from server.embedding.select import EmbedderChoice, load_embedder
from server.gateway import Gateway
from server.ports import JsonObject, Upstream
from server.reuse.policy import ReusePolicy
from server.runner.app import create_runner_app
from server.runner.demo.engine import load_demo_engine
from server.runner.signing_key import load_or_create_signing_key
from server.serving import build_outside, load_configured_embedder
from server.settings import Settings
from server.setup import create_key, create_organisation, create_tenant, put_model, put_upstream, set_policy
from server.store.log import LogRepository
from server.store.pool import PoolRepository
from server.store.pool_records import EpochRecord
from server.store.records import ModelRecord, UpstreamRecord
from server.upstream.runner import RunnerUpstream
from tenants.quotas import Quota
from tests.fakes import run_lifespan
from tests.simulation.clock import MovedClock

MODEL: Final = "hitproof-demo"
UPSTREAM: Final = "demo-runner"
RUNNER_URL: Final = "http://127.0.0.1:9"
#: Wide: the simulation asks in minutes what is asked in months.
QUOTA: Final = Quota(requests_per_minute=600_000, tokens_per_minute=100_000_000)


@dataclass(frozen=True, slots=True)
class Organisation:
    """One simulated organisation: its name, its only tenant and the key that it asks with."""

    name: str
    tenant: str
    key: str


@dataclass(frozen=True, slots=True)
class World:
    """A running gateway, seen from outside through HTTP and from inside where time has to be made to pass."""

    gateway: Gateway
    client: httpx2.AsyncClient
    clock: MovedClock
    settings: Settings
    organisations: Sequence[Organisation]

    async def ask(self, who: Organisation, text: str, **options: Any) -> JsonObject:
        """Ask one question as *who*; return the whole answer."""
        response = await self.client.post(
            "/v1/chat/completions",
            headers={"authorization": f"Bearer {who.key}"},
            json={"model": MODEL, "messages": [{"role": "user", "content": text}], **options},
        )
        if response.status_code != 200:
            raise RuntimeError(f"{who.name} got {response.status_code}: {response.text[:300]}")
        found: JsonObject = response.json()
        return found

    async def pool_work(self) -> None:
        """Let the pool take the votes that wait and do what is due by the clock."""
        parts = self.gateway.pooling.parts
        if parts is None:
            raise RuntimeError("the pool is off")
        await parts.service.work()
        await parts.votes.settle()

    async def ended_epochs(self) -> list[EpochRecord]:
        """Return what became of the pooled epochs that are over, oldest first."""
        rows = await self.gateway.database.read(lambda connection: PoolRepository(connection).list_epochs("pooled"))
        return [row for row in reversed(rows) if row.state != "open"]

    async def settle(self) -> None:
        """Wait until records and hits are written and all leaves stand under a published checkpoint."""
        await self.gateway.recorder.flush()
        await self.gateway.proving.journal.flush()
        while await self.gateway.database.read(self._is_log_behind):
            await asyncio.sleep(0.1)

    def _is_log_behind(self, connection: Any) -> bool:
        log = LogRepository(connection)
        return bool(log.count_unsequenced()[0] or log.load_unbatched(1)) or (
            log.head() > self.gateway.proving.high_water.size
        )


def set_up(settings: Settings, clock: MovedClock, count: int) -> list[Organisation]:
    """Make *count* organisations of one tenant each, the runner and its model, in an empty data folder."""
    with opened(settings) as store:
        read_or_create_secret(store.folder.runner_token_file, store.random)
        return store.database.write_now(lambda connection: _make(connection, store, clock, count))


def _make(connection: Any, store: Opened, clock: MovedClock, count: int) -> list[Organisation]:
    now_ms, made = clock.now_ms(), []
    audited = {"actor": ACTOR, "now_ms": now_ms}
    for number in range(count):
        name = f"simulated-{number:02d}"
        organisation = create_organisation(connection, name, random=store.random, **audited)
        tenant = create_tenant(
            connection, organisation.id, "desk", quota=QUOTA, provider=store.provider, random=store.random, **audited
        )
        _, key = create_key(
            connection, tenant.id, role="owner", scopes=None, label="simulation", expires_at_ms=None,
            pepper=store.pepper, random=store.random, **audited,
        )  # fmt: skip
        made.append(Organisation(name, tenant.id, key))
    put_upstream(
        connection,
        UpstreamRecord(
            UPSTREAM, "runner", RUNNER_URL, f"file:{store.folder.runner_token_file.resolve()}", True, now_ms
        ),
        **audited,
    )
    put_model(connection, ModelRecord(MODEL, UPSTREAM, MODEL, None, None, 150_000, 600_000, now_ms), **audited)
    return made


def share(settings: Settings, clock: MovedClock, who: Organisation, policy: ReusePolicy) -> None:
    """Give *who* a *policy*."""
    with opened(settings) as store:
        store.database.write_now(
            lambda connection: set_policy(connection, who.tenant, policy, actor=ACTOR, now_ms=clock.now_ms())  # type: ignore[arg-type]
        )


@contextlib.asynccontextmanager
async def running(settings: Settings, clock: MovedClock, organisations: Sequence[Organisation]) -> AsyncIterator[World]:
    """Run gateway and runner on *clock*."""
    folder, random = DataFolder(settings.data), SystemRandom()
    token = folder.runner_token_file.read_text("ascii").strip()
    runner = create_runner_app(
        [load_demo_engine()],
        token=token,
        clock=clock,
        random_source=random,
        signer=load_or_create_signing_key(folder.runner_signing_key_file, random),
        embedder_loaders=[partial(load_embedder, EmbedderChoice())],
    )

    def build_upstream(record: UpstreamRecord, key: str | None) -> Upstream:
        return RunnerUpstream(
            record.name, record.base_url, key or "", clock=clock, random_source=random, allow_private=True,
            transport=httpx2.ASGITransport(runner),
        )  # fmt: skip

    with opened(settings) as store:
        provider = store.provider
    embedder = await asyncio.to_thread(load_configured_embedder, settings)
    outside = replace(build_outside(settings, embedder, provider), clock=clock, build_upstream=build_upstream)
    edge = create_app(settings, outside)
    async with run_lifespan(edge) as app:
        transport = httpx2.ASGITransport(edge)
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway", timeout=120) as client:
            yield World(app.state.gateway, client, clock, settings, organisations)


def read_organisations(path: Path) -> list[Organisation]:
    """Return the organisations that an earlier simulation made."""
    return [Organisation(**item) for item in json.loads(path.read_text("utf-8"))]
