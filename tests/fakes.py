"""Fakes of the ports, and a whole gateway in this process on them. No sockets, no model, no waiting."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random as chance
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from crypto.ed25519 import SigningKey
from crypto.manifest import declared_model_version
from privacy.noise import NoiseSampler
from server.app import create_app
from server.datafolder import DataFolder
from server.erasing import erase_tenant
from server.gateway import Gateway
from server.middleware import Edge
from server.outside import Outside
from server.ports import Chunk, Completion, Float32Matrix, JsonObject, UpstreamModel
from server.reuse.policy import ReusePolicy
from server.settings import Settings, load_settings
from server.setup import create_key, create_organisation, create_tenant, put_model, put_upstream, set_policy
from server.store.database import Database
from server.store.migrate import upgrade
from server.store.records import ModelRecord, UpstreamRecord
from tenants.identifiers import TenantId
from tenants.key_files import create_key_file
from tenants.key_providers import FileKeyProvider, KeyProvider
from tenants.quotas import Quota

PEPPER = bytes(range(32))
#: What runs by itself runs only where a test asks for it.
QUIET: dict[str, Any] = {
    "sweep_interval_s": 3600,
    "log_sequencer": False,
    "log_interval_s": 60,
    "embedding_statement_batch_max": 0,
}
#: The key under which every fake gateway declares receipts.
GATEWAY_KEY = SigningKey(bytes(range(1, 33)))


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self, now_ms: int = 1_790_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic_s = 1000.0

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass on both clocks."""
        self._now_ms += int(seconds * 1000)
        self._monotonic_s += seconds

    def jump(self, seconds: float) -> None:
        """Change the wall clock alone, as somebody who sets it does."""
        self._now_ms += int(seconds * 1000)


class SeededRandom:
    """Chance that repeats: for tests alone."""

    def __init__(self, seed: int = 0) -> None:
        self._source = chance.Random(seed)

    def token_bytes(self, count: int) -> bytes:
        return self._source.randbytes(count)


class SystemLikeRandom:
    """Real chance, for benchmarks: a clock that stands still needs it to tell entries apart."""

    def token_bytes(self, count: int) -> bytes:
        return os.urandom(count)


class WordEmbedder:
    """A bag of words as a unit vector: texts that share most words lie close. Deterministic, cheap, 384 components."""

    dimension = 384

    def __init__(self, *, name: str = "words") -> None:
        self.digest = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
        self.embedded: list[str] = []
        self.fault: Exception | None = None

    def covers(self, text: str) -> bool:
        return len(text) <= 4000

    def embed(self, texts: Sequence[str]) -> Float32Matrix:
        if self.fault is not None:
            raise self.fault
        self.embedded += texts
        return np.stack([self._vector(text) for text in texts]).astype(np.float32)

    def _vector(self, text: str) -> Any:
        total = np.zeros(self.dimension)
        for word in text.lower().split() or [""]:
            seed = int.from_bytes(hashlib.sha256(word.strip("?.!,").encode()).digest()[:8], "big")
            total += np.random.default_rng(seed).standard_normal(self.dimension)
        return total / np.linalg.norm(total)


Respond = Callable[[JsonObject], Awaitable[JsonObject]]


class FakeUpstream:
    """An upstream whose every answer names the request that caused it; counts calls, and fails or waits when told."""

    def __init__(self, name: str = "fake", base_url: str = "https://upstream.example/v1") -> None:
        self.name = name
        self.base_url = base_url
        self.requests: list[JsonObject] = []
        self.salts: list[str] = []
        self.reported = "fake-1"
        self.fault: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.finish_reason = "stop"
        self.message: JsonObject = {}
        self.answer: Callable[[JsonObject], str] = answer_of

    async def list_models(self) -> tuple[UpstreamModel, ...]:
        return (UpstreamModel("fake-model", declared_model_version(self.name, self.base_url, "fake-model"), None),)

    async def complete(self, request: JsonObject, *, tenant_salt: str) -> Completion:
        await self._work(request, tenant_salt)
        return Completion(self._response(request), None)

    async def stream(self, request: JsonObject, *, tenant_salt: str) -> AsyncIterator[Chunk | Completion]:
        await self._work(request, tenant_salt)
        response = self._response(request)
        text = response["choices"][0]["message"]["content"]
        frame = {"id": response["id"], "object": "chat.completion.chunk", "created": 1, "model": self.reported}
        for start in range(0, len(text), 7):
            delta = {"index": 0, "delta": {"content": text[start : start + 7]}, "finish_reason": None}
            yield Chunk({**frame, "choices": [delta]})
            await asyncio.sleep(0)
        last = {"index": 0, "delta": {}, "finish_reason": self.finish_reason}
        yield Chunk({**frame, "choices": [last]})
        yield Chunk({**frame, "choices": [], "usage": response["usage"]})
        yield Completion(response, None)

    async def close(self) -> None:
        return None

    async def _work(self, request: JsonObject, salt: str) -> None:
        self.requests.append(request)
        self.salts.append(salt)
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None:
            raise self.fault

    def _response(self, request: JsonObject) -> JsonObject:
        return {
            "id": f"chatcmpl-{len(self.requests)}",
            "object": "chat.completion",
            "created": 1,
            "model": self.reported,
            "system_fingerprint": "fp_1",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": self.answer(request), "refusal": None, **self.message},
                    "logprobs": None,
                    "finish_reason": self.finish_reason,
                }
            ],
            "usage": {"prompt_tokens": 12, "completion_tokens": 30, "total_tokens": 42},
        }


def answer_of(request: JsonObject) -> str:
    """Answer with the last message, so that whose answer it is can be told from its text."""
    return f"You asked: {request['messages'][-1]['content']}"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant of the fake gateway and its owner's key."""

    id: TenantId
    key: str


@dataclass(slots=True)
class FakeGateway:
    """A whole gateway in this process."""

    edge: Edge
    client: httpx2.AsyncClient
    tenants: list[Tenant]
    platform_key: str
    upstream: FakeUpstream
    embedder: WordEmbedder
    clock: FakeClock
    settings: Settings
    gateway: Gateway

    async def chat(self, text: str | list[JsonObject], *, tenant: int = 0, **options: Any) -> httpx2.Response:
        """Ask one question (or give a whole conversation) as *tenant*; *headers* in the options are sent as headers."""
        messages = [{"role": "user", "content": text}] if isinstance(text, str) else text
        headers = {"Authorization": f"Bearer {self.tenants[tenant].key}", **options.pop("headers", {})}
        body = {"model": "fake-model", "messages": messages, **options}
        return await self.client.post("/v1/chat/completions", json=body, headers=headers)

    async def ask(self, text: str | list[JsonObject], *, tenant: int = 0, **options: Any) -> JsonObject:
        """Ask and return the answer's body; fails unless it is a 200."""
        response = await self.chat(text, tenant=tenant, **options)
        assert response.status_code == 200, response.text
        body: JsonObject = response.json()
        return body

    async def call(
        self, method: str, path: str, *, tenant: int | None = 0, json: Any = None, **options: Any
    ) -> httpx2.Response:
        """Call any endpoint as *tenant*, or as the platform (None)."""
        key = self.platform_key if tenant is None else self.tenants[tenant].key
        headers = {"Authorization": f"Bearer {key}", **options.pop("headers", {})}
        return await self.client.request(method, path, json=json, headers=headers, **options)

    def set_policy(self, *, tenant: int = 0, **fields: Any) -> None:
        """Give *tenant* a policy with these fields, in force at once."""
        identifier = self.tenants[tenant].id
        policy = ReusePolicy(**fields)
        self.gateway.database.write_now(
            lambda connection: set_policy(connection, identifier, policy, actor="test", now_ms=self.clock.now_ms())
        )
        self.gateway.tenants.forget(identifier)

    def erase(self, *, tenant: int = 0) -> None:
        """Erase *tenant* as another process on the same folder would."""
        state, identifier = self.gateway.state, self.tenants[tenant].id
        self.gateway.database.write_now(
            lambda connection: erase_tenant(
                connection, identifier, erasures=state.erasures, provider=state.key_provider, actor="test",
                now_ms=self.clock.now_ms(), random=state.random,
            )
        )  # fmt: skip

    async def settle(self) -> None:
        """Wait until labels, records and hits are written and the feed is followed."""
        await self.gateway.labeller.settle()
        await self.gateway.recorder.flush()
        await self.gateway.proving.journal.flush()
        await self.gateway.follower.catch_up()


@dataclass(frozen=True, slots=True)
class Options:
    """What a fake gateway is made of; each has a default that works."""

    tenants: int = 2
    policy: ReusePolicy | None = field(default_factory=lambda: ReusePolicy(threshold_ten_thousandths=9_000))
    quota: Quota = field(default_factory=Quota)
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    clock: FakeClock | None = None
    embedder: WordEmbedder | None = None
    upstream: FakeUpstream | None = None
    upstream_kind: str = "openai"
    provider: KeyProvider | None = None
    random: SeededRandom | SystemLikeRandom | None = None
    noise: NoiseSampler | None = None
    raise_app_exceptions: bool = True


@contextlib.asynccontextmanager
async def fake_gateway(folder: Path, options: Options | None = None) -> AsyncIterator[FakeGateway]:
    """Run a gateway on *folder* with fakes behind every port; tenants are made on the first run and found again."""
    options = options or Options()
    clock = options.clock or FakeClock()
    random = options.random or SeededRandom(options.seed)
    upstream, embedder = options.upstream or FakeUpstream(), options.embedder or WordEmbedder()
    settings = load_settings(environ={}, overrides=QUIET | {"data": folder} | options.settings)
    data = DataFolder(folder)
    data.create()
    if options.provider is None and not data.key_file.exists():
        create_key_file(data.key_file, random)
    provider = options.provider or FileKeyProvider(data.key_file)
    found = folder / "tenants.json"
    if found.exists():
        kept = json.loads(found.read_text())
        tenants, platform_key = [Tenant(TenantId(name), key) for name, key in kept["tenants"]], kept["platform"]
        if options.random is None:
            # Chance must not repeat after a restart, or a new entry would get an old one's id.
            random = SeededRandom(options.seed + kept["starts"] * 1_000_003)
        found.write_text(json.dumps({**kept, "starts": kept["starts"] + 1}))
    else:
        tenants, platform_key = _set_up(settings, provider, options, clock, random)
        kept = {"tenants": [[tenant.id, tenant.key] for tenant in tenants], "platform": platform_key, "starts": 1}
        found.write_text(json.dumps(kept))
    outside = Outside(
        key_provider=provider,
        pepper=PEPPER,
        embedder=embedder,
        build_upstream=lambda _record, _key: upstream,
        signer=GATEWAY_KEY,
        clock=clock,
        random=random,
        **({} if options.noise is None else {"noise": options.noise}),
    )
    edge = create_app(settings, outside)
    async with run_lifespan(edge) as app:
        transport = httpx2.ASGITransport(edge, raise_app_exceptions=options.raise_app_exceptions)
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway", timeout=30) as client:
            yield FakeGateway(
                edge, client, tenants, platform_key, upstream, embedder, clock, settings, app.state.gateway
            )


def _set_up(
    settings: Settings,
    provider: KeyProvider,
    options: Options,
    clock: FakeClock,
    random: SeededRandom | SystemLikeRandom,
) -> tuple[list[Tenant], str]:
    """Make the schema, tenants, keys, upstream and model, directly in the store."""
    database = Database(settings.database)
    upgrade(database.engine)
    now_ms, actor = clock.now_ms(), "test"
    tenants: list[Tenant] = []

    def make(connection: Any) -> str:
        tag = random.token_bytes(4).hex()
        for number in range(options.tenants):
            organisation = create_organisation(
                connection, f"organisation-{number}-{tag}", actor=actor, now_ms=now_ms, random=random
            )
            tenant = create_tenant(
                connection, organisation.id, f"tenant-{number}", quota=options.quota, provider=provider, actor=actor,
                now_ms=now_ms, random=random,
            )  # fmt: skip
            _, key = create_key(
                connection, tenant.id, role="owner", scopes=None, label="test", expires_at_ms=None, pepper=PEPPER,
                actor=actor, now_ms=now_ms, random=random,
            )  # fmt: skip
            if options.policy is not None:
                set_policy(connection, tenant.id, options.policy, actor=actor, now_ms=now_ms)
            tenants.append(Tenant(tenant.id, key))
        put_upstream(
            connection,
            UpstreamRecord("fake", options.upstream_kind, "https://upstream.example/v1", None, False, now_ms),
            actor=actor,
            now_ms=now_ms,
        )
        model = ModelRecord("fake-model", "fake", "fake-model", None, None, 1_000_000, 2_000_000, now_ms)
        put_model(connection, model, actor=actor, now_ms=now_ms)
        _, platform_key = create_key(
            connection, None, role="platform-operator", scopes=None, label="test", expires_at_ms=None, pepper=PEPPER,
            actor=actor, now_ms=now_ms, random=random,
        )  # fmt: skip
        return platform_key

    try:
        return tenants, database.write_now(make)
    finally:
        database.close()


@contextlib.asynccontextmanager
async def run_lifespan(edge: Edge) -> AsyncIterator[Any]:
    """Start the application as a server would, and stop it again; yields the inner app."""
    inbox: asyncio.Queue[JsonObject] = asyncio.Queue()
    outbox: asyncio.Queue[JsonObject] = asyncio.Queue()
    scope: JsonObject = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.create_task(edge(scope, inbox.get, outbox.put))
    await inbox.put({"type": "lifespan.startup"})
    started = await outbox.get()
    assert started["type"] == "lifespan.startup.complete", started
    try:
        yield scope["app"]
    finally:
        await inbox.put({"type": "lifespan.shutdown"})
        assert (await outbox.get())["type"] == "lifespan.shutdown.complete"
        await task
