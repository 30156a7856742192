"""A newcomer's first minutes: one command, then the official OpenAI client against a real model and embedder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, AuthenticationError, OpenAI

from crypto.trust import parse_trust, verify_trust

START_S = 120


class Quickstart:
    """A running `hitproof quickstart --json`."""

    def __init__(self, folder: Path) -> None:
        self.clients: list[OpenAI] = []
        log = (folder.parent / "stderr.txt").open("a")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "server.cli", "quickstart", "--data", str(folder), "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        log.close()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (folder.parent / "stderr.txt").read_text()[-2000:]
        self.ready: dict[str, Any] = json.loads(line)

    def client(self, tenant: int) -> OpenAI:
        key = self.ready["tenants"][tenant]["api_key"]
        client = OpenAI(base_url=self.ready["url"] + "/v1", api_key=key, max_retries=0)
        self.clients.append(client)
        return client

    def stop(self) -> int:
        for client in self.clients:
            client.close()
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout=60)
        assert self.process.stdout is not None
        assert self.process.stdout.read() == "", "exactly one line on standard output"
        self.process.stdout.close()
        return code


@contextlib.contextmanager
def quickstart_on(folder: Path) -> Iterator[Quickstart]:
    running = Quickstart(folder)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quickstart") / "data"


@pytest.fixture(scope="module")
def quickstart(folder: Path) -> Iterator[Quickstart]:
    with quickstart_on(folder) as running:
        yield running


def ask(client: OpenAI, text: str, **options: Any) -> Any:
    return client.chat.completions.create(
        model="hitproof-demo", messages=[{"role": "user", "content": text}], **options
    )


def test_the_ready_line_has_exactly_the_promised_keys(quickstart: Quickstart) -> None:
    assert set(quickstart.ready) == {"url", "tenants", "console", "trust"}
    assert [set(tenant) for tenant in quickstart.ready["tenants"]] == [{"organisation", "name", "api_key"}] * 2
    assert len({tenant["organisation"] for tenant in quickstart.ready["tenants"]}) == 2


def test_the_trust_file_names_the_log_the_gateway_and_the_runner_with_its_model(
    quickstart: Quickstart, folder: Path
) -> None:
    envelope, trust = parse_trust(Path(quickstart.ready["trust"]).read_bytes())
    verify_trust(envelope, trust, int(time.time() * 1000))
    answer = ask(quickstart.client(0), "Where do storks build their nests?")
    assert [key.models for key in trust.runners] == [(answer.hitproof["model_version"],)]
    assert len(trust.gateways) == 1 and trust.log.name.startswith("hitproof.local/")
    assert (folder / "runner" / "signing-key").stat().st_mode & 0o077 == 0


def test_an_answer_of_the_demo_model_is_attested_and_soon_in_the_log(quickstart: Quickstart) -> None:
    client = quickstart.client(0)
    first = ask(client, "How many legs does a spider have?").hitproof["receipt"]
    assert (first["state"], first["grade"]) == ("pending", "attested")
    until_s = time.monotonic() + 20
    while ask(client, "How many legs does a spider have?").hitproof["receipt"]["state"] == "pending":
        assert time.monotonic() < until_s, "the log does not grow"
        time.sleep(0.2)


def test_a_question_misses_then_hits_exactly_then_by_meaning(quickstart: Quickstart) -> None:
    client = quickstart.client(0)
    first = ask(client, "Where do penguins spend the winter?")
    again = ask(client, "Where do penguins spend the winter?")
    alike = ask(client, "Where do penguins spend their winter?")
    assert [answer.hitproof["outcome"] for answer in (first, again, alike)] == ["miss", "hit", "hit"]
    assert [answer.hitproof["tier"] for answer in (first, again, alike)] == [None, "exact", "private"]
    assert first.choices[0].message.content == again.choices[0].message.content == alike.choices[0].message.content
    assert len({first.id, again.id, alike.id}) == 3


def test_one_tenants_work_never_answers_another(quickstart: Quickstart) -> None:
    ask(quickstart.client(0), "Which moss grows on the north side of oaks?")
    other = ask(quickstart.client(1), "Which moss grows on the north side of oaks?")
    assert other.hitproof["outcome"] == "miss"


def test_a_stream_carries_its_account_in_the_last_chunk_miss_and_hit(quickstart: Quickstart) -> None:
    client = quickstart.client(0)
    texts, accounts = [], []
    for _ in range(2):
        chunks = list(ask(client, "How tall is a lighthouse?", stream=True))
        texts.append("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))
        accounts.append(chunks[-1].hitproof)
        assert all("hitproof" not in (chunk.model_extra or {}) for chunk in chunks[:-1])
    assert texts[0] == texts[1] != ""
    assert [account["outcome"] for account in accounts] == ["miss", "hit"]


def test_the_async_client_works_unchanged(quickstart: Quickstart) -> None:
    async def run() -> str:
        async with AsyncOpenAI(
            base_url=quickstart.ready["url"] + "/v1", api_key=quickstart.ready["tenants"][0]["api_key"]
        ) as client:
            answer = await client.chat.completions.create(
                model="hitproof-demo", messages=[{"role": "user", "content": "Do owls sleep by day?"}]
            )
            stream = await client.chat.completions.create(
                model="hitproof-demo", messages=[{"role": "user", "content": "Do owls sleep by day?"}], stream=True
            )
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
            assert text == answer.choices[0].message.content
            return text

    assert asyncio.run(run())


def test_models_and_embeddings_answer_an_openai_client(quickstart: Quickstart) -> None:
    client = quickstart.client(0)
    assert [model.id for model in client.models.list()] == ["hitproof-demo"]
    assert len(client.embeddings.create(model="any", input=["one", "two"]).data[1].embedding) == 384


def test_a_wrong_key_is_an_authentication_error(quickstart: Quickstart) -> None:
    with (
        OpenAI(base_url=quickstart.ready["url"] + "/v1", api_key="hp_live_nonsense", max_retries=0) as client,
        pytest.raises(AuthenticationError),
    ):
        ask(client, "May I come in?")


def test_a_restart_on_the_same_folder_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with quickstart_on(folder) as running:
        before = running.ready["tenants"]
        stored = ask(running.client(0), "What do herons eat at night?")
        assert stored.hitproof["entry"] is not None
        assert running.stop() == 0
    trusted = Path(running.ready["trust"]).read_bytes()
    with quickstart_on(folder) as running:
        assert running.ready["tenants"] == before
        assert Path(running.ready["trust"]).read_bytes() == trusted
        again = ask(running.client(0), "What do herons eat at night?")
        alike = ask(running.client(0), "What do herons eat at nighttime?")
        assert again.hitproof["tier"] == "exact"
        assert again.hitproof["entry"] == stored.hitproof["entry"]
        assert again.hitproof["receipt"]["id"] == stored.hitproof["receipt"]["id"]
        assert alike.hitproof["outcome"] in ("hit", "miss")
