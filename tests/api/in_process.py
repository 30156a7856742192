"""A fake gateway that tests call one request at a time, without async in sight."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import orjson
from sqlalchemy import Connection

from server.ports import JsonObject
from server.setup import create_key
from server.store.log import LogRepository
from tenants.quotas import Quota
from tenants.scopes import Scope
from tests.fakes import PEPPER, FakeGateway, Options, SeededRandom, fake_gateway

Result = TypeVar("Result")

#: So that no test meets a rate by accident; the tests of rates set their own.
GENEROUS = Quota(requests_per_minute=10_000_000, tokens_per_minute=10**12)

_within_a_call: ContextVar[bool] = ContextVar("within_a_call", default=False)


@contextlib.contextmanager
def calling() -> Iterator[None]:
    """Mark what is begun in the block, and whatever that begins, as a call."""
    before = _within_a_call.set(True)
    try:
        yield
    finally:
        _within_a_call.reset(before)


def is_within_a_call() -> bool:
    """Whether what runs now belongs to a call; what the house does by itself, at any moment, does not."""
    return _within_a_call.get()


class InProcess:
    """A gateway and the loop it runs on."""

    def __init__(self, gateway: FakeGateway, runner: asyncio.Runner) -> None:
        self.gateway = gateway
        self._runner = runner
        self._random = SeededRandom(77)

    def run(self, work: Awaitable[Result]) -> Result:
        async def wait() -> Result:
            return await work

        return self._runner.run(wait())

    def call(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        body: bytes | None = None,
        json: Any = None,
        headers: dict[str, str] | list[tuple[str, str]] | None = None,
    ) -> httpx2.Response:
        """Call with exactly these bytes; *key* None is the first tenant's owner, "" is no key at all."""
        sent = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
        if key != "":
            sent.append(("Authorization", f"Bearer {key or self.gateway.tenants[0].key}"))
        content = orjson.dumps(json) if json is not None else body
        if content is not None and not any(name.lower() == "content-type" for name, _ in sent):
            sent.append(("Content-Type", "application/json"))

        async def work() -> httpx2.Response:
            with calling():
                return await self.gateway.client.request(method, path, content=content, headers=sent)

        return self.run(work())

    def chat(self, text: str = "How deep is the lake?", **fields: Any) -> httpx2.Response:
        key = fields.pop("key", None)
        headers = fields.pop("headers", None)
        body = {"model": "fake-model", "messages": [{"role": "user", "content": text}], **fields}
        return self.call("POST", "/v1/chat/completions", key=key, json=body, headers=headers)

    def key(
        self, role: str, *, tenant: int | None = 0, scopes: list[Scope] | None = None, lasts_ms: int | None = None
    ) -> str:
        """Mint a key of *role* directly in the store."""
        now_ms = self.gateway.clock.now_ms()
        owner = None if tenant is None else self.gateway.tenants[tenant].id
        _, text = self.gateway.gateway.database.write_now(
            lambda connection: create_key(
                connection,
                owner,
                role=role,
                scopes=scopes,
                label="test",
                expires_at_ms=None if lasts_ms is None else now_ms + lasts_ms,
                pepper=PEPPER,
                actor="test",
                now_ms=now_ms,
                random=self._random,
            )
        )
        return text


def until_logged(house: InProcess) -> None:
    """Let the sequencer of *house* work until all that was written down has its place under a published checkpoint."""
    gateway = house.gateway.gateway

    def waits(connection: Connection) -> bool:
        log = LogRepository(connection)
        behind = log.head() > gateway.proving.high_water.size
        return behind or log.count_unsequenced()[0] > 0 or bool(log.load_unbatched(1))

    async def wait() -> None:
        async with asyncio.timeout(60):
            while await gateway.database.read(waits):
                await asyncio.sleep(0.02)

    house.run(wait())


@contextlib.contextmanager
def in_process(folder: Path, options: Options | None = None) -> Iterator[InProcess]:
    """Run a fake gateway for as long as the block lasts."""
    opened = fake_gateway(folder, options or Options(quota=GENEROUS))
    with asyncio.Runner() as runner:
        gateway = runner.run(opened.__aenter__())
        try:
            yield InProcess(gateway, runner)
        finally:
            runner.run(opened.__aexit__(None, None, None))


def assert_error(response: httpx2.Response, status: int) -> JsonObject:
    """Hold an answer to the error form of its path, and return what it says."""
    assert response.status_code == status, (response.status_code, response.text[:500])
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert len(response.headers["x-request-id"]) == 16
    body: JsonObject = response.json()
    if response.request.url.path.startswith("/v1/"):
        assert response.headers["content-type"] == "application/json"
        assert set(body) == {"error"}
        error: JsonObject = body["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert isinstance(error["message"], str) and error["message"]
        return error
    assert response.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= set(body)
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    return body
