"""The cache in this process behind `put` and `get`, so that a harness for other caches can measure it beside them.

`make(setup)` takes an object with `embed` (text → float32 unit vector), `dim`, `threshold` (cosine) and `directory` (empty),
and returns one with `put(text, answer)`, `get(text) -> answer | None` and `close()`, callable from many threads. It is the
whole reuse path (exact tier, search, guards, decision, verify on read, sealed store) without HTTP, and without guards'
languages rule, since a benchmark's filler is no language.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from server.ports import Float32Matrix
from server.reuse.policy import ReusePolicy
from server.reuse.replay import client_response
from server.reuse.request import ChatRequest, Steering
from tenants.identifiers import KeyId
from tenants.quotas import Quota
from tests.fakes import FakeGateway, Options, SystemLikeRandom, WordEmbedder, fake_gateway


class Setup(Protocol):
    """What a harness gives."""

    embed: Callable[[str], Any]
    dim: int
    threshold: float
    directory: Path


class GivenEmbedder(WordEmbedder):
    """The harness's own embedding function."""

    def __init__(self, embed: Callable[[str], Any], dimension: int) -> None:
        super().__init__(name="given")
        self._embed = embed
        self.dimension = dimension
        self.digest = "sha256:" + hashlib.sha256(f"given {dimension}".encode()).hexdigest()

    def embed(self, texts: Sequence[str]) -> Float32Matrix:
        return np.stack([self._embed(text) for text in texts]).astype(np.float32)


class InProcess:
    """A gateway in a thread of its own."""

    def __init__(self, setup: Setup, capacity: int = 1_000_000) -> None:
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._gateway: FakeGateway | None = None
        threshold = max(7460, min(10_000, round(setup.threshold * 10_000)))
        self._options = Options(
            tenants=1,
            policy=ReusePolicy(threshold_ten_thousandths=threshold, entries_max=capacity, bytes_max=1 << 40),
            quota=Quota(entries_max=capacity, bytes_max=1 << 40),
            embedder=GivenEmbedder(setup.embed, setup.dim),
            random=SystemLikeRandom(),
        )
        self._folder = Path(setup.directory) / "data"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()

    def put(self, text: str, answer: str) -> None:
        """Store *answer* to *text*."""
        self._call(self._put(text, answer))

    def get(self, text: str) -> str | None:
        """Return the stored answer that may be reused for *text*, or None."""
        found: str | None = self._call(self._get(text))
        return found

    def close(self) -> None:
        """Stop the gateway."""
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        async with fake_gateway(self._folder, self._options) as gateway:
            self._gateway = gateway
            self._ready.set()
            await self._stop.wait()

    def _request(self, text: str) -> ChatRequest:
        return ChatRequest({"model": "fake-model", "messages": [{"role": "user", "content": text}]}, Steering())

    async def _put(self, text: str, answer: str) -> None:
        assert self._gateway is not None
        tenant = self._gateway.tenants[0].id
        response = client_response("fake-model", answer, created_s=0)
        await self._gateway.gateway.state.engine.put(tenant, KeyId("bench"), self._request(text), response)

    async def _get(self, text: str) -> str | None:
        assert self._gateway is not None
        tenant = self._gateway.tenants[0].id
        _, response = await self._gateway.gateway.state.engine.look_up(tenant, KeyId("bench"), self._request(text))
        if response is None:
            return None
        content: str = response["choices"][0]["message"]["content"]
        return content


def make(setup: Setup) -> InProcess:
    """Return the cache that a harness measures."""
    return InProcess(setup)
