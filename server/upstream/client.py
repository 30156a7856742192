"""One exchange with an upstream: admitted by the breaker, retried within the budget, bounded in time and size.

Everything that can go wrong leaves here as an `UpstreamError`; a response is closed however its reader ends, so that
the rest of an abandoned reply can never be read as the answer to the next request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import Final

import httpx2
import orjson

from crypto.canonical import parse_json
from crypto.errors import EncodingError
from server.ports import Clock, JsonObject, RandomSource
from server.upstream.breaker import CircuitBreaker, Outcome
from server.upstream.endpoint import read_endpoint
from server.upstream.errors import (
    UpstreamError,
    UpstreamMalformed,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from server.upstream.events import NODES_MAX, EventReader
from server.upstream.limits import UpstreamLimits
from server.upstream.rejections import NotConnected, PoolFull, failure_of
from server.upstream.retries import RetryBudget, retry_delay_s
from server.upstream.transport import GuardedBackend, GuardedTransport

_RETRIED_STATUSES: Final = frozenset({502, 503, 504})


class UpstreamClient:
    """Sends JSON to one base URL and reads JSON or events back; the key goes to that host and nowhere else."""

    def __init__(
        self,
        name: str,
        base_url: str,
        api_key: str | None,
        *,
        clock: Clock,
        random_source: RandomSource,
        limits: UpstreamLimits,
        allow_private: bool,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        endpoint = read_endpoint(base_url, allow_private=allow_private)
        if transport is None:
            backend = GuardedBackend(endpoint.host, endpoint.port, allow_private=allow_private)
            transport = GuardedTransport(backend, limits)
        self.name = name
        self.base_url = endpoint.base_url
        self._api_key = api_key
        self._clock = clock
        self._random_source = random_source
        self._limits = limits
        self._sleep = sleep
        self._breaker = CircuitBreaker(name, limits)
        self._budget = RetryBudget(limits.retry_share)
        self._http = httpx2.AsyncClient(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx2.Timeout(
                connect=limits.connect_timeout_s,
                read=None,
                write=limits.idle_timeout_s,
                pool=limits.connection_wait_s,
            ),
        )
        # One client serves all tenants: what one reply sets must not travel with the next request.
        self._http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))

    async def fetch(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        """Return the JSON object that the upstream answers with 200. Raises `UpstreamError`."""
        deadline_s = asyncio.get_running_loop().time() + self._limits.total_timeout_s
        async with self._exchange(method, path, body, deadline_s, deadline_s) as response:
            data = await self._read_whole(response, deadline_s)
            try:
                value = parse_json(data, nodes_max=NODES_MAX)
            except EncodingError:
                raise UpstreamMalformed(f"the upstream {self.name!r} answered 200 without JSON") from None
            if not isinstance(value, dict):
                raise UpstreamMalformed(f"the upstream {self.name!r} answered 200 without a JSON object")
            return value

    async def stream(self, path: str, body: JsonObject) -> AsyncGenerator[JsonObject, None]:
        """Yield the events of a stream and end only after `[DONE]`. Raises `UpstreamError`."""
        now_s = asyncio.get_running_loop().time()
        deadline_s = now_s + self._limits.total_timeout_s
        first_byte_s = min(deadline_s, now_s + self._limits.first_byte_timeout_s)
        async with self._exchange("POST", path, body, first_byte_s, deadline_s) as response:
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "text/event-stream":
                raise UpstreamMalformed(f"the upstream {self.name!r} answered a stream with {kind[:64]!r}")
            reader = EventReader(self._limits)
            async with aclosing(self._parts(response, deadline_s, reader)) as parts:
                async for part in parts:
                    for event in reader.feed(part):
                        yield event
            reader.finish()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    @asynccontextmanager
    async def _exchange(
        self, method: str, path: str, body: JsonObject | None, first_byte_s: float, deadline_s: float
    ) -> AsyncIterator[httpx2.Response]:
        ticket = self._breaker.admit(self._clock.monotonic_s())
        outcome = Outcome.ABANDONED
        try:
            response = await self._send(method, path, body, first_byte_s, deadline_s, may_retry=not ticket.is_probe)
            try:
                yield response
            finally:
                await response.aclose()
            outcome = Outcome.SUCCESS
        except UpstreamRejected:
            outcome = Outcome.SUCCESS
            raise
        except PoolFull:
            raise
        except UpstreamError:
            outcome = Outcome.FAILURE
            raise
        finally:
            self._breaker.record(ticket, outcome, self._clock.monotonic_s())

    async def _send(
        self,
        method: str,
        path: str,
        body: JsonObject | None,
        first_byte_s: float,
        deadline_s: float,
        *,
        may_retry: bool,
    ) -> httpx2.Response:
        self._budget.earn()
        attempt = 0
        while True:
            try:
                return await self._send_once(method, path, body, first_byte_s, deadline_s)
            except (UpstreamUnavailable, UpstreamRejected) as error:
                if not may_retry or attempt >= self._limits.retries_max or not _is_worth_retrying(error):
                    raise
                delay_s = retry_delay_s(attempt, error.retry_after_s, self._random_source, self._limits)
                if delay_s is None or not self._budget.spend():
                    raise
            attempt += 1
            await self._sleep(delay_s)

    async def _send_once(
        self, method: str, path: str, body: JsonObject | None, first_byte_s: float, deadline_s: float
    ) -> httpx2.Response:
        request = self._http.build_request(
            method,
            self.base_url + path,
            content=None if body is None else orjson.dumps(body),
            headers=self._headers(body is not None),
        )
        try:
            async with asyncio.timeout_at(first_byte_s):
                response = await self._http.send(request, stream=True)
        except (TimeoutError, httpx2.TransportError) as error:
            raise self._failure(error) from None
        try:
            self._refuse_encoded(response)
            if response.status_code == 200:
                return response
            data = await self._read_start(response, deadline_s)
        except BaseException:
            await response.aclose()
            raise
        await response.aclose()
        raise failure_of(self.name, response, data, secret=self._api_key)

    def _headers(self, has_body: bool) -> dict[str, str]:
        # Identity, because a few kilobytes of gzip can hold gigabytes; what comes encoded all the same is refused.
        headers = {"accept-encoding": "identity", "accept": "application/json, text/event-stream"}
        if has_body:
            headers["content-type"] = "application/json"
        if self._api_key is not None:
            headers["authorization"] = f"Bearer {self._api_key}"
        return headers

    def _refuse_encoded(self, response: httpx2.Response) -> None:
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise UpstreamMalformed(f"the upstream {self.name!r} sent {encoding[:32]!r}, which was not asked for")

    async def _read_whole(self, response: httpx2.Response, deadline_s: float) -> bytes:
        data = bytearray()
        async with aclosing(self._parts(response, deadline_s)) as parts:
            async for part in parts:
                data += part
                if len(data) > self._limits.response_bytes_max:
                    raise UpstreamMalformed(
                        f"the answer of {self.name!r} is longer than {self._limits.response_bytes_max} bytes"
                    )
        return bytes(data)

    async def _read_start(self, response: httpx2.Response, deadline_s: float) -> bytes:
        """Read as much of an error's body as is worth passing on; whatever fails here changes nothing."""
        data = bytearray()
        try:
            async with aclosing(self._parts(response, deadline_s)) as parts:
                async for part in parts:
                    data += part
                    if len(data) > self._limits.error_bytes_max:
                        break
        except UpstreamError:
            return b""
        return bytes(data[: self._limits.error_bytes_max])

    async def _parts(
        self, response: httpx2.Response, deadline_s: float, reader: EventReader | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes; the timeouts stand around each read, never around the consumer's work."""
        loop = asyncio.get_running_loop()
        # Nothing is decoded here: whatever is encoded was refused with the headers.
        parts = response.aiter_bytes()
        async with aclosing(parts):
            while True:
                is_done = reader is not None and reader.is_done
                wait_s = self._limits.done_grace_s if is_done else self._limits.idle_timeout_s
                try:
                    async with asyncio.timeout_at(min(deadline_s, loop.time() + wait_s)):
                        part = await anext(parts)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    # After [DONE] nothing is missing any more; a server that keeps the line open is just hung up on.
                    if is_done:
                        return
                    raise self._failure(error) from None
                except httpx2.TransportError as error:
                    raise self._failure(error) from None
                yield part

    def _failure(self, error: Exception) -> UpstreamError:
        """Translate what the transport raised; the guard's own refusals are `UpstreamError` already."""
        if isinstance(error, httpx2.PoolTimeout):
            return PoolFull(f"all {self._limits.connections_max} connections to {self.name!r} are in use")
        if isinstance(error, TimeoutError | httpx2.TimeoutException):
            return UpstreamTimeout(f"the upstream {self.name!r} did not answer in time")
        if isinstance(error, httpx2.ConnectError):
            return NotConnected(f"the upstream {self.name!r} cannot be reached")
        return UpstreamUnavailable(f"the connection to the upstream {self.name!r} was lost")


def _is_worth_retrying(error: UpstreamUnavailable | UpstreamRejected) -> bool:
    return isinstance(error, NotConnected) or error.status in _RETRIED_STATUSES or error.status == 429
