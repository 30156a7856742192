"""What an upstream can do to the client, by a server on loopback that does it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import httpx2
import pytest

from server.ports import Completion
from server.upstream.errors import (
    CircuitOpen,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from server.upstream.limits import UpstreamLimits
from server.upstream.openai import OpenAIUpstream
from tests.runner_fakes import FakeClock, FakeRandom, Handler, answering, read_request, reply, scripted

Result = TypeVar("Result")
#: Where nothing is slow on purpose, a slow machine is no timeout.
PATIENT = UpstreamLimits(done_grace_s=0.2)
QUICK = UpstreamLimits(
    connect_timeout_s=1, first_byte_timeout_s=0.3, idle_timeout_s=0.3, total_timeout_s=0.8, done_grace_s=0.2
)
REQUEST = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def completion(text: str = "hello", **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **fields}


def whole(text: str = "hello") -> bytes:
    return reply(json.dumps(completion(text)).encode())


def events(text: str = "hello", *, done: bytes = b"data: [DONE]\n\n") -> bytes:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    first = {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]}
    last = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in (first, last)) + done


def streamed(body: bytes) -> bytes:
    return reply(body, kind="text/event-stream")


class Sleeps:
    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


def upstream_at(url: str, **options: Any) -> OpenAIUpstream:
    defaults: dict[str, Any] = {
        "clock": FakeClock(), "random_source": FakeRandom(), "limits": PATIENT, "allow_private": True, "sleep": Sleeps(),
    }  # fmt: skip
    return OpenAIUpstream("up", url + "/v1", "secret-key", **defaults | options)


def against(handler: Handler, use: Callable[[OpenAIUpstream], Awaitable[Result]], **options: Any) -> Result:
    async def run() -> Result:
        async with scripted(handler) as url:
            upstream = upstream_at(url, **options)
            try:
                return await use(upstream)
            finally:
                await upstream.close()

    return asyncio.run(run())


async def complete(upstream: OpenAIUpstream) -> Completion:
    return await upstream.complete(REQUEST, tenant_salt="s")


async def stream(upstream: OpenAIUpstream) -> list[Any]:
    async with aclosing(upstream.stream(REQUEST, tenant_salt="s")) as items:
        return [item async for item in items]


async def earn_retry(upstream: OpenAIUpstream) -> None:
    """Make ten good calls, which earn the budget of one retry."""
    for _ in range(10):
        await complete(upstream)


# What is no whole answer


NOT_WHOLE = {
    "html": reply(b"<html>busy</html>", kind="text/html"),
    "empty": reply(b""),
    "cut json": reply(b'{"choices": ['),
    "a list": reply(b"[]"),
    "error with 200": reply(b'{"error": {"message": "overloaded"}}'),
    "error beside choices": reply(json.dumps(completion(error={"message": "x"})).encode()),
    "empty choices": reply(json.dumps(completion(choices=[])).encode()),
    "no choices": reply(b'{"id": "c"}'),
    "unfinished": reply(json.dumps(completion()).replace('"stop"', "null").encode()),
    "no message": reply(b'{"choices": [{"index": 0, "finish_reason": "stop"}]}'),
    "content as number": reply(json.dumps(completion()).replace('"hello"', "7").encode()),
    "message of the user": reply(json.dumps(completion()).replace("assistant", "user").encode()),
    "choice out of place": reply(json.dumps(completion()).replace('"index": 0', '"index": 1').encode()),
    "another object": reply(json.dumps(completion(object="list")).encode()),
    "duplicate keys": reply(b'{"id": "a", "id": "b"}'),
    "not a number": reply(b'{"id": NaN}'),
    "created": reply(b"{}", status=201),
    "no content": reply(b"", status=204),
    "gzip": reply(gzip.compress(b"{}"), headers=["content-encoding: gzip"]),
    "partial": reply(b"{}", status=206),
}


@pytest.mark.parametrize("answer", NOT_WHOLE.values(), ids=NOT_WHOLE.keys())
def test_an_answer_that_is_not_whole_is_malformed(answer: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        against(answering(answer), complete)


BROKEN_STREAMS = {
    "no done": streamed(events(done=b"")),
    "two done": streamed(events() + b"data: [DONE]\n\n"),
    "data behind done": streamed(events() + b"data: {}\n\n"),
    "invalid json": streamed(b"data: {\n\n" + events()),
    "only done": streamed(b"data: [DONE]\n\n"),
    "empty": streamed(b""),
    "html": reply(b"<html></html>", kind="text/html"),
    "json": reply(b'{"error": {"message": "x"}}'),
    "whole answer": whole(),
    "gzip": reply(gzip.compress(events()), kind="text/event-stream", headers=["content-encoding: gzip"]),
    "unfinished": streamed(events().replace(b'"stop"', b"null")),
}


@pytest.mark.parametrize("answer", BROKEN_STREAMS.values(), ids=BROKEN_STREAMS.keys())
def test_a_broken_stream_never_gives_a_completion(answer: bytes) -> None:
    seen: list[Any] = []

    async def collect(upstream: OpenAIUpstream) -> None:
        async with aclosing(upstream.stream(REQUEST, tenant_salt="s")) as items:
            async for item in items:
                seen.append(item)  # noqa: PERF401  # what came before the error is what matters

    with pytest.raises(UpstreamMalformed):
        against(answering(answer), collect)
    assert not any(isinstance(item, Completion) for item in seen)


@pytest.mark.parametrize("body", [b'data: {"error": {"message": "x"}}\n\n', b"event: error\ndata: {}\n\n"])
def test_an_error_event_is_unavailable(body: bytes) -> None:
    with pytest.raises(UpstreamUnavailable, match="in mid-stream"):
        against(answering(streamed(body)), stream)


def test_a_connection_cut_in_mid_body_is_unavailable() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(whole()[:-5])

    with pytest.raises(UpstreamUnavailable, match="lost"):
        against(cut, complete)


def test_a_stream_cut_after_its_finish_reason_gives_no_completion() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        body = events(done=b"")
        writer.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")

    with pytest.raises(UpstreamUnavailable, match="lost"):
        against(cut, stream)


def test_an_answer_above_the_size_limit_is_refused_before_it_is_read() -> None:
    limits = UpstreamLimits(response_bytes_max=1_000)
    with pytest.raises(UpstreamMalformed, match="longer than 1000"):
        against(answering(whole("x" * 2_000)), complete, limits=limits)
    with pytest.raises(UpstreamMalformed, match="longer than 1000"):
        against(answering(streamed(events("x" * 2_000))), stream, limits=limits)


def test_a_server_that_keeps_the_line_open_after_done_has_still_answered() -> None:
    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + events())
        await asyncio.sleep(5)

    items = against(keep, stream)
    assert isinstance(items[-1], Completion)


# Time


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await asyncio.sleep(30)


@pytest.mark.parametrize("ask", [complete, stream])
def test_a_server_that_never_answers_times_out(ask: Any) -> None:
    with pytest.raises(UpstreamTimeout):
        against(never, ask, limits=QUICK)


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
    while True:
        writer.write(b":")
        await writer.drain()
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("ask", [complete, stream])
def test_one_byte_at_a_time_does_not_outlast_the_total_limit(ask: Any) -> None:
    with pytest.raises(UpstreamTimeout):
        against(drip, ask, limits=QUICK)


def test_a_stream_that_falls_silent_times_out() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + events(done=b""))
        await asyncio.sleep(30)

    with pytest.raises(UpstreamTimeout):
        against(silent, stream, limits=QUICK)


def test_a_consumer_that_is_slow_is_not_the_upstreams_fault() -> None:
    async def slow(upstream: OpenAIUpstream) -> Any:
        async with aclosing(upstream.stream(REQUEST, tenant_salt="s")) as items:
            last = None
            async for item in items:
                await asyncio.sleep(0.2)
                last = item
            return last

    limits = UpstreamLimits(idle_timeout_s=0.1)
    assert isinstance(against(answering(streamed(events())), slow, limits=limits), Completion)


# Status and retries


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(status: int) -> None:
    seen: list[bytes] = []

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            seen.append(head.split(b"\r\n")[0])
            writer.write(reply(b"", status=status, headers=["location: http://169.254.169.254/latest/meta-data"]))

    with pytest.raises(UpstreamMalformed, match="redirect"):
        against(redirect, complete)
    assert seen == [b"POST /v1/chat/completions HTTP/1.1"]


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
def test_a_refusal_of_the_request_carries_its_error_object(status: int) -> None:
    body = {"error": {"message": "too long", "type": "invalid_request_error", "param": "messages", "code": "x", "y": 1}}
    with pytest.raises(UpstreamRejected) as caught:
        against(answering(reply(json.dumps(body).encode(), status=status)), complete)
    assert caught.value.status == status
    assert caught.value.error == {
        "message": "too long",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "x",
    }


def test_an_error_object_is_bounded_and_never_shows_the_key() -> None:
    body = {"error": {"message": "your secret-key is " + "x" * 10_000, "code": ["secret-key"]}}
    with pytest.raises(UpstreamRejected) as caught:
        against(answering(reply(json.dumps(body).encode(), status=400)), complete)
    assert caught.value.error["message"].startswith("your [redacted] is x")
    assert len(caught.value.error["message"]) == 2_000
    assert caught.value.error["code"] is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "text"}', b"x" * 200_000])
def test_a_refusal_without_an_error_object_gets_a_plain_one(body: bytes) -> None:
    with pytest.raises(UpstreamRejected) as caught:
        against(answering(reply(body, status=400)), complete)
    assert caught.value.error["message"] == "the upstream 'up' refused the request with status 400"


@pytest.mark.parametrize("status", [401, 403, 407])
def test_trouble_with_the_platforms_key_is_not_shown_to_callers(status: int) -> None:
    body = b'{"error": {"message": "Incorrect API key provided: secret-key"}}'
    with pytest.raises(UpstreamUnavailable) as caught:
        against(answering(reply(body, status=status)), complete)
    assert "Incorrect" not in str(caught.value)
    assert "api_key" in str(caught.value)


@pytest.mark.parametrize("status", [502, 503, 504, 429])
@pytest.mark.parametrize("ask", [complete, stream])
def test_a_busy_upstream_is_asked_once_more(status: int, ask: Any) -> None:
    good = whole() if ask is complete else streamed(events())
    replies = [whole()] * 10 + [reply(b"{}", status=status), good]

    async def use(upstream: OpenAIUpstream) -> Any:
        await earn_retry(upstream)
        return await ask(upstream)

    sleeps = Sleeps()
    assert against(answering(*replies), use, sleep=sleeps)
    assert len(sleeps.slept) == 1
    assert 0 <= sleeps.slept[0] < 0.5


def test_a_second_failure_is_not_retried() -> None:
    sleeps = Sleeps()

    async def use(upstream: OpenAIUpstream) -> None:
        for _ in range(20):
            await complete(upstream)
        with pytest.raises(UpstreamUnavailable):
            await complete(upstream)

    against(answering(*[whole()] * 20, reply(b"", status=503)), use, sleep=sleeps)
    assert len(sleeps.slept) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 500, 501])
def test_other_failures_are_not_retried(status: int) -> None:
    sleeps = Sleeps()

    async def use(upstream: OpenAIUpstream) -> None:
        await earn_retry(upstream)
        with pytest.raises(UpstreamError):
            await complete(upstream)

    against(answering(*[whole()] * 10, reply(b"", status=status), whole()), use, sleep=sleeps)
    assert sleeps.slept == []


def test_retry_after_is_waited_for() -> None:
    sleeps = Sleeps()

    async def use(upstream: OpenAIUpstream) -> None:
        await earn_retry(upstream)
        await complete(upstream)

    busy = reply(b"{}", status=429, headers=["retry-after: 3"])
    against(answering(*[whole()] * 10, busy, whole()), use, sleep=sleeps)
    assert 3 <= sleeps.slept[0] < 3.5


def test_a_retry_after_of_an_hour_is_passed_on_instead_of_waited_for() -> None:
    sleeps = Sleeps()

    async def use(upstream: OpenAIUpstream) -> None:
        await earn_retry(upstream)
        with pytest.raises(UpstreamRejected) as caught:
            await complete(upstream)
        assert (caught.value.status, caught.value.retry_after_s) == (429, 3600.0)

    busy = reply(b"{}", status=429, headers=["retry-after: 3600"])
    against(answering(*[whole()] * 10, busy), use, sleep=sleeps)
    assert sleeps.slept == []


def test_nothing_is_retried_once_the_answer_has_begun() -> None:
    asked: list[bytes] = []

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked.append((await read_request(reader))[0])
            writer.write(whole() if len(asked) <= 10 else whole()[:-5])
            if len(asked) > 10:
                return

    async def use(upstream: OpenAIUpstream) -> None:
        await earn_retry(upstream)
        with pytest.raises(UpstreamUnavailable):
            await complete(upstream)

    against(cut, use)
    assert len(asked) == 11


def test_a_refused_connection_is_unavailable_and_retried_once() -> None:
    sleeps = Sleeps()

    async def run() -> None:
        upstream = upstream_at("http://127.0.0.1:1", sleep=sleeps)
        for _ in range(10):
            with pytest.raises(UpstreamUnavailable, match="cannot be reached"):
                await complete(upstream)
        await upstream.close()

    asyncio.run(run())
    assert len(sleeps.slept) == 1


def test_a_storm_of_errors_makes_at_most_a_tenth_more_calls_and_then_none() -> None:
    calls = 0

    async def failing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        while True:
            await read_request(reader)
            calls += 1
            writer.write(reply(b"", status=503))

    async def use(upstream: OpenAIUpstream) -> list[str]:
        ends = []
        for _ in range(500):
            try:
                await complete(upstream)
            except UpstreamError as error:
                ends.append(type(error).__name__)
        return ends

    ends = against(failing, use)
    assert ends == ["UpstreamUnavailable"] * 20 + ["CircuitOpen"] * 480
    assert calls <= 22


def test_a_good_probe_closes_the_circuit_and_is_not_retried() -> None:
    clock, sleeps = FakeClock(), Sleeps()

    async def use(upstream: OpenAIUpstream) -> None:
        for _ in range(20):
            with pytest.raises(UpstreamUnavailable):
                await complete(upstream)
        with pytest.raises(CircuitOpen) as caught:
            await complete(upstream)
        assert caught.value.retry_after_s == 5.0
        clock.now_s += 5
        await complete(upstream)
        await complete(upstream)

    limits = UpstreamLimits(retries_max=0)
    against(answering(*[reply(b"", status=500)] * 20, whole()), use, clock=clock, sleep=sleeps, limits=limits)


def test_refusals_do_not_open_the_circuit() -> None:
    async def use(upstream: OpenAIUpstream) -> None:
        for _ in range(50):
            with pytest.raises(UpstreamRejected):
                await complete(upstream)

    against(answering(reply(b"{}", status=400)), use)


# What is sent


def seen_by(ask: Any, request: dict[str, Any], answer: bytes, **options: Any) -> tuple[bytes, dict[str, Any]]:
    seen: list[tuple[bytes, bytes]] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(answer)

    against(handler, lambda upstream: ask(upstream, request), **options)
    head, body = seen[0]
    return head, json.loads(body)


async def complete_request(upstream: OpenAIUpstream, request: dict[str, Any]) -> Any:
    return await upstream.complete(request, tenant_salt="salt-of-tenant")


async def stream_request(upstream: OpenAIUpstream, request: dict[str, Any]) -> Any:
    async with aclosing(upstream.stream(request, tenant_salt="salt-of-tenant")) as items:
        return [item async for item in items]


OURS = {"cache_salt": "of the client", "hitproof": {"tags": []}, "stream": True, "stream_options": {}, "user": "u"}


def test_what_is_ours_is_taken_out_of_the_request() -> None:
    head, body = seen_by(complete_request, REQUEST | OURS, whole())
    assert body == REQUEST | {"user": "u"}
    assert b"authorization: Bearer secret-key" in head.lower().replace(b"bearer", b"Bearer")
    assert b"accept-encoding: identity" in head.lower()


def test_the_tenants_salt_goes_only_where_the_operator_says() -> None:
    _, body = seen_by(complete_request, REQUEST | OURS, whole(), passes_cache_salt=True)
    assert body == REQUEST | {"user": "u", "cache_salt": "salt-of-tenant"}


def test_a_stream_always_asks_for_usage() -> None:
    _, body = seen_by(stream_request, REQUEST, streamed(events()))
    assert body == REQUEST | {"stream": True, "stream_options": {"include_usage": True}}


def test_hostile_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
    assert against(answering(whole()), complete).response == completion()


def test_a_cookie_of_one_reply_does_not_travel_with_the_next_request() -> None:
    heads: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append((await read_request(reader))[0])
            writer.write(reply(json.dumps(completion()).encode(), headers=["set-cookie: session=of-tenant-a; Path=/"]))

    async def use(upstream: OpenAIUpstream) -> None:
        await complete(upstream)
        await complete(upstream)

    against(handler, use)
    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()


# Cancelling


def echo_slowly(delays: dict[str, float]) -> Handler:
    """Answers with the user's own text after its delay, over kept-alive connections."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            body = json.loads((await read_request(reader))[1])
            text = body["messages"][0]["content"]
            await asyncio.sleep(delays.get(text, 0.0))
            if body.get("stream"):
                half = events(text)
                writer.write(
                    f"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ncontent-length: {len(half)}\r\n\r\n".encode()
                )
                writer.write(half[:150])
                await writer.drain()
                await asyncio.sleep(0.02)
                writer.write(half[150:])
            else:
                writer.write(whole(text))
            await writer.drain()

    return handler


def asking(text: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


def test_a_cancelled_request_never_leaves_its_reply_for_the_next_one() -> None:
    """The cancel storm: a pool of two connections, and every third request given up at some other moment."""
    limits = UpstreamLimits(connections_max=2, idle_connections_max=2, connection_wait_s=20)

    async def one(upstream: OpenAIUpstream, place: int) -> tuple[str, str]:
        text = f"canary-{place}"
        if place % 2:
            found = await upstream.complete(asking(text), tenant_salt="")
        else:
            async with aclosing(upstream.stream(asking(text), tenant_salt="")) as items:
                async for item in items:
                    if isinstance(item, Completion):
                        found = item
        return text, found.response["choices"][0]["message"]["content"]

    async def use(upstream: OpenAIUpstream) -> int:
        answered = 0
        for start in range(0, 300, 6):
            tasks = [asyncio.create_task(one(upstream, place)) for place in range(start, start + 6)]
            for place, task in enumerate(tasks):
                if place % 3 == 0:
                    await asyncio.sleep((start % 30) / 1000)
                    task.cancel()
            for end in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(end, asyncio.CancelledError):
                    continue
                assert not isinstance(end, BaseException), repr(end)
                assert end[0] == end[1]
                answered += 1
        assert await one(upstream, 999) == ("canary-999", "canary-999")
        return answered

    assert against(echo_slowly({}), use, limits=limits) >= 200


def test_a_stream_given_up_in_the_middle_closes_its_connection() -> None:
    closed = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\n" + events(done=b""))
        await reader.read()
        closed.set()

    async def use(upstream: OpenAIUpstream) -> None:
        async with aclosing(upstream.stream(REQUEST, tenant_salt="")) as items:
            await anext(items)
        await asyncio.wait_for(closed.wait(), 60)

    against(endless, use)


def test_a_full_pool_says_so_and_does_not_open_the_circuit() -> None:
    limits = UpstreamLimits(connections_max=1, connection_wait_s=0.01)

    async def use(upstream: OpenAIUpstream) -> None:
        async with aclosing(upstream.stream(REQUEST, tenant_salt="")) as items:
            await anext(items)
            for _ in range(40):
                with pytest.raises(UpstreamUnavailable, match="in use"):
                    await complete(upstream)

    against(echo_slowly({}), use, limits=limits)


def test_a_transport_can_be_given() -> None:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=completion("mocked")))

    async def run() -> Completion:
        upstream = upstream_at("http://model.test", transport=transport)
        try:
            return await complete(upstream)
        finally:
            await upstream.close()

    assert asyncio.run(run()).response["choices"][0]["message"]["content"] == "mocked"


def test_a_reply_that_is_refused_unread_gives_its_connection_back() -> None:
    limits = UpstreamLimits(connections_max=1, connection_wait_s=0.1)

    async def use(upstream: OpenAIUpstream) -> Completion:
        with pytest.raises(UpstreamMalformed):
            await stream(upstream)
        return await complete(upstream)

    html = reply(b"x" * 500_000, kind="text/html")
    assert against(answering(html, whole()), use, limits=limits).response == completion()


def test_a_probe_that_fails_is_one_call_and_no_retry() -> None:
    clock, calls = FakeClock(), 0

    async def failing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        while True:
            await read_request(reader)
            calls += 1
            # 500 is not retried, so twenty of them save up two retries; the probe then meets a 503, which would be.
            writer.write(reply(b"", status=500 if calls <= 20 else 503))

    async def use(upstream: OpenAIUpstream) -> None:
        for _ in range(20):
            with pytest.raises(UpstreamUnavailable):
                await complete(upstream)
        clock.now_s += 5
        with pytest.raises(UpstreamUnavailable):
            await complete(upstream)

    against(failing, use, clock=clock)
    assert calls == 21
