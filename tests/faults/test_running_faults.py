"""What happens around the store: embedder, index, signals, clocks, chance, configuration."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from server.embedding.errors import EmbeddingError
from server.index.errors import IndexBroken
from server.index.growing import GrowingIndex
from server.settings import SettingsError, load_settings
from tests.fakes import FakeGateway, Options, SeededRandom, Tenant, WordEmbedder, fake_gateway
from tests.faults.gateway_process import Nursery
from tests.traces import PATIENT

LAKE = "please tell me how very deep the blue mountain lake by our old house really is"
LAKE_AGAIN = "please tell me how very deep the blue mountain lake by our old house is really"


def run(folder: Path, scenario: Callable[[FakeGateway], Awaitable[None]], options: Options | None = None) -> None:
    async def play() -> None:
        async with fake_gateway(folder, options or Options(settings=PATIENT)) as gateway:
            await scenario(gateway)

    asyncio.run(play())


def outcome(body: dict[str, Any]) -> str:
    return str(body["hitproof"]["outcome"])


def test_f16_indexes_are_read_anew_from_the_store_after_everything_in_memory_is_gone(tmp_path: Path) -> None:
    async def first(gateway: FakeGateway) -> None:
        await gateway.ask(LAKE)

    async def second(gateway: FakeGateway) -> None:
        assert (await gateway.ask(LAKE_AGAIN))["hitproof"]["tier"] == "private"
        gateway.gateway.partitions.drop_all()
        assert (await gateway.ask(LAKE_AGAIN))["hitproof"]["tier"] == "private"

    run(tmp_path, first)
    run(tmp_path, second)


def test_f17_an_index_that_fails_after_the_commit_costs_nothing_but_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask("an unrelated question about sailing small boats at night")

        def broken(*_arguments: object) -> None:
            raise IndexBroken("half-way")

        with monkeypatch.context() as patched:
            patched.setattr(GrowingIndex, "add", broken)
            stored = await gateway.ask(LAKE)
        assert stored["hitproof"]["entry"] is not None
        assert (await gateway.ask(LAKE))["hitproof"]["tier"] == "exact"
        assert (await gateway.ask(LAKE_AGAIN))["hitproof"]["tier"] == "private"

    run(tmp_path, scenario)


def test_f17_a_vector_that_the_index_refuses_does_not_cost_the_answer(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        async def refuse(*_arguments: object) -> None:
            raise IndexBroken("no")

        gateway.gateway.partitions.add = refuse  # type: ignore[method-assign]
        answer = await gateway.ask(LAKE)
        assert answer["choices"][0]["message"]["content"] == f"You asked: {LAKE}"

    run(tmp_path, scenario)


@pytest.mark.parametrize("fault", [EmbeddingError("down"), RuntimeError("crashed"), MemoryError()])
def test_f19_an_embedder_that_fails_costs_the_semantic_tier_until_it_is_back(tmp_path: Path, fault: Exception) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.embedder.fault = fault
        assert (await gateway.ask(LAKE))["hitproof"]["reason"].startswith("degraded_embedder")
        assert (await gateway.ask(LAKE))["hitproof"]["tier"] == "exact"
        gateway.embedder.fault = None
        await gateway.ask(LAKE_AGAIN)
        assert (await gateway.ask(LAKE_AGAIN + "?"))["hitproof"]["tier"] == "private"
        assert b'hitproof_degraded_total{part="embedder"}' in (await gateway.client.get("/metrics")).content

    run(tmp_path, scenario)


class SlowEmbedder(WordEmbedder):
    delay_s = 0.0

    def embed(self, texts: Any) -> Any:
        time.sleep(self.delay_s)
        return super().embed(texts)


def test_f19_an_embedder_that_is_slow_is_not_waited_for(tmp_path: Path) -> None:
    embedder = SlowEmbedder()

    async def scenario(gateway: FakeGateway) -> None:
        embedder.delay_s = 0.5
        assert (await gateway.ask(LAKE))["hitproof"]["reason"].startswith("degraded_embedder")
        embedder.delay_s = 0.0

    run(tmp_path, scenario, Options(embedder=embedder, settings={**PATIENT, "embed_timeout_s": 0.05}))


def test_f18_adding_removing_and_searching_at_once_never_finds_what_was_removed(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        removed: set[str] = set()
        wrong: list[str] = []

        async def churn(worker: int) -> None:
            for number in range(15):
                question = f"{LAKE} number {worker} {number}"
                entry = (await gateway.ask(question))["hitproof"]["entry"]
                gateway.clock.advance(0.001)
                response = await gateway.call("DELETE", f"/v1/cache/entries/{entry}")
                if response.status_code == 200:
                    removed.add(entry)

        async def search() -> None:
            for number in range(40):
                gone = set(removed)
                headers = {"cache-control": "no-store"}
                answer = await gateway.ask(f"{LAKE_AGAIN} number {number % 4} {number}", headers=headers)
                if outcome(answer) == "hit" and answer["hitproof"]["entry"] in gone:
                    wrong.append(answer["hitproof"]["entry"])

        await asyncio.gather(*(churn(worker) for worker in range(4)), search(), search())
        assert wrong == [] and len(removed) > 20

    run(tmp_path, scenario)


def test_f36_a_clock_that_jumps_ahead_and_back_empties_no_cache(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(LAKE, hitproof={"ttl": 86_400})
        await gateway.gateway.sweeper.sweep()
        gateway.clock.advance(30)
        gateway.clock.jump(365 * 86_400)
        assert await gateway.gateway.sweeper.sweep() == 0
        assert outcome(await gateway.ask(LAKE, headers={"cache-control": "no-store"})) == "miss", "but it is not served"
        gateway.clock.jump(-365 * 86_400)
        assert outcome(await gateway.ask(LAKE)) == "hit"
        gateway.clock.advance(90_000)
        assert await gateway.gateway.sweeper.sweep() == 1, "time that really passed is believed"

    run(tmp_path, scenario)


class FailingRandom(SeededRandom):
    fault: str | None = None

    def token_bytes(self, count: int) -> bytes:
        if self.fault == "error":
            raise OSError("no entropy")
        if self.fault == "stuck":
            return bytes(count)
        return super().token_bytes(count)


@pytest.mark.parametrize("fault", ["error", "stuck"])
def test_f37_without_chance_nothing_is_sealed_and_no_key_is_made(tmp_path: Path, fault: str) -> None:
    random = FailingRandom(7)

    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask("warm")
        random.fault = fault
        response = await gateway.chat(LAKE)
        assert response.status_code in (200, 500, 503)
        if response.status_code == 200:
            assert response.json()["hitproof"]["entry"] is None
        else:
            assert response.json()["error"]["type"] == "server_error"
        made = await gateway.call("POST", "/admin/v1/keys", json={"role": "member", "label": "x"})
        assert made.status_code >= 500
        random.fault = None
        assert len((await gateway.call("GET", "/v1/cache/entries")).json()["data"]) == 1
        assert outcome(await gateway.ask(LAKE)) == "miss"

    run(tmp_path, scenario, Options(random=random, settings=PATIENT))


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("port = 70000", "port"),
        ("prot = 1", "prot"),
        ('embed_batch_max = "many"', "embed_batch_max"),
        ("port = ", "configuration file"),
        ("drain_s = -1", "drain_s"),
    ],
)
def test_f40_a_configuration_that_cannot_be_used_is_refused_by_name(tmp_path: Path, lines: str, named: str) -> None:
    config = tmp_path / "hitproof.toml"
    config.write_text(lines)
    with pytest.raises(SettingsError, match=named):
        load_settings(config, environ={})
    with pytest.raises(SettingsError, match="HITPROOF"):
        load_settings(environ={"HITPROOF_PROT": "1"})


def test_f40_a_wrong_setting_ends_serve_with_a_sentence_and_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "server.cli", "serve", "--data", str(tmp_path / "data")],
        env={**os.environ, "HITPROOF_PROT": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode not in (0, None)
    assert "prot" in done.stderr and "Traceback" not in done.stderr


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    nursery = Nursery(tmp_path / "log")
    yield nursery
    nursery.close()


async def until_refused(http: httpx2.AsyncClient, key: str) -> None:
    """Ask until it is refused: by a 503, or because nobody listens any more."""
    with contextlib.suppress(httpx2.TransportError):
        while (status := (await http.get("/v1/models", headers={"authorization": f"Bearer {key}"})).status_code) == 200:
            await asyncio.sleep(0.02)
        assert status == 503


def test_f35_streams_in_progress_end_whole_when_the_process_is_told_to_stop(tmp_path: Path, nursery: Nursery) -> None:
    async def prepare() -> list[Tenant]:
        async with fake_gateway(tmp_path / "data") as gateway:
            return gateway.tenants

    tenants = asyncio.run(prepare())
    ready = nursery.start(tmp_path / "data", chunk_delay_s=0.1)

    async def stream(http: httpx2.AsyncClient, number: int, begun: asyncio.Semaphore) -> bytes:
        body = {"model": "fake-model", "messages": [{"role": "user", "content": f"{LAKE} {number}"}], "stream": True}
        headers = {"authorization": f"Bearer {tenants[number % 2].key}"}
        got = b""
        async with http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as response:
            async for part in response.aiter_bytes():
                if not got:
                    begun.release()
                got += part
        return got

    async def play() -> list[bytes]:
        begun = asyncio.Semaphore(0)
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{ready['port']}", timeout=60, trust_env=False
        ) as http:
            streams = [asyncio.create_task(stream(http, number, begun)) for number in range(20)]
            for _ in streams:
                await begun.acquire()
            os.kill(ready["pid"], signal.SIGTERM)
            await until_refused(http, tenants[0].key)
            assert not all(stream.done() for stream in streams), "nobody was refused while streams were in progress"
            return await asyncio.gather(*streams)

    for got in asyncio.run(play()):
        assert got.endswith(b"data: [DONE]\n\n"), got[-200:]
    assert nursery.wait() == 0
