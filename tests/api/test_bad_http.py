"""Bytes that are hardly HTTP, sent to a real server: rows B-09 to B-18 and B-35 to B-37."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.api.raw_http import RawConnection, Served, serve
from tests.effort import cpu_s
from tests.fakes import Options

HEAD_TIMEOUT_S = 0.6
BODY_TIMEOUT_S = 0.8
#: How late a limit may be noticed on a machine that has much else to do, and when a test gives up on it.
SLACK_S, GIVEN_UP_S = 4, 10


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    options = Options(
        settings={
            "head_timeout_s": HEAD_TIMEOUT_S,
            "body_timeout_s": BODY_TIMEOUT_S,
            "body_bytes_max": 1 << 20,
            "connections_max": 60,
            "drain_s": 2,
        }
    )
    with serve(tmp_path_factory.mktemp("bad-http"), options) as found:
        yield found


JSON = "Content-Type: application/json"


def refused(served: Served, data: bytes, status: int) -> None:
    """*data* gets an error object of *status*, and nothing that follows it on the connection is believed."""
    response, closed = served.exchange(data)
    assert response is not None
    assert response.status == status, response
    assert closed
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"


def test_a_good_request_is_answered_and_its_connection_goes_on(served: Served) -> None:
    with served.connect() as connection:
        for _ in range(3):
            connection.send(served.chat())
            response = connection.read()
            assert response is not None and response.status == 200
            assert "connection" not in response.headers


# B-09


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(served: Served) -> None:
    refused(served, served.head(lines=(JSON, f"Content-Length: {(1 << 20) + 1}")), 413)


def test_a_chunked_body_that_grows_is_refused_at_the_limit_and_memory_stays_flat(served: Served) -> None:
    before = psutil.Process(os.getpid()).memory_info().rss
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with served.connect() as connection:
        connection.send(served.head(lines=(JSON, "Transfer-Encoding: chunked")))
        sent = 0
        while sent < 200 << 20 and connection.send(chunk):
            sent += len(chunk)
        response = connection.read()
    assert sent < 200 << 20, "the server read two hundred times its limit"
    assert response is None or response.status == 413
    assert psutil.Process(os.getpid()).memory_info().rss - before < 32 << 20
    assert served.is_alive()


def test_a_chunked_body_just_over_the_limit_is_told_413(served: Served) -> None:
    body = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    data = served.head(lines=(JSON, "Transfer-Encoding: chunked")) + body * 16 + b"1\r\nx\r\n0\r\n\r\n"
    refused(served, data, 413)


# B-10


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: -1",),
        ("Content-Length: +20",),
        ("Content-Length: 0x20",),
        ("Content-Length: 1e3",),
        ("Content-Length: ",),
        ("Content-Length: 99999999999999999999999999",),
        ("Content-Length: 20", "Content-Length: 21"),
        ("Content-Length: 20", "Content-Length: 20"),
        ("Content-Length: 20, 20",),
    ],
)
def test_a_content_length_that_two_readers_could_read_differently_is_refused(
    served: Served, lines: tuple[str, ...]
) -> None:
    refused(served, served.head(lines=(JSON, *lines)) + b"{}                  ", 400)


def test_a_body_shorter_than_its_length_is_refused_when_its_time_is_over(served: Served) -> None:
    refused(served, served.head(lines=(JSON, "Content-Length: 500")) + b'{"model":"fake-model"', 408)


def test_bytes_behind_a_body_are_never_part_of_it(served: Served) -> None:
    data = served.chat() + b"GARBAGE\x00\x01\r\n\r\n"
    response, _ = served.exchange(data)
    assert response is not None and response.status == 200
    assert served.is_alive()


# B-11


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        (("Transfer-Encoding: chunked", "Content-Length: 4"), b"0\r\n\r\n"),
        (("Content-Length: 4", "Transfer-Encoding: chunked"), b"0\r\n\r\n"),
        (("Transfer-Encoding: chunked, identity",), b"0\r\n\r\n"),
        (("Transfer-Encoding: identity",), b"0\r\n\r\n"),
        (("Transfer-Encoding: xchunked",), b"0\r\n\r\n"),
        (("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), b"0\r\n\r\n"),
        (("Transfer-Encoding : chunked",), b"0\r\n\r\n"),
        (("Transfer-Encoding: chunked",), b"zz\r\n{}\r\n0\r\n\r\n"),
        (("Transfer-Encoding: chunked",), b"-1\r\n{}\r\n0\r\n\r\n"),
        (("Transfer-Encoding: chunked",), b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        (("Transfer-Encoding: chunked",), b"2\n{}\n0\n\n"),
    ],
)
def test_a_message_whose_end_is_doubtful_is_refused_and_nothing_behind_it_is_read(
    served: Served, lines: tuple[str, ...], body: bytes
) -> None:
    smuggled = served.chat("Was this smuggled in?")
    asked = len(served.gateway.upstream.requests)
    refused(served, served.head(lines=(JSON, *lines)) + body + smuggled, 400)
    assert len(served.gateway.upstream.requests) == asked


def test_a_chunked_body_that_is_in_order_is_read(served: Served) -> None:
    body = b'{"model":"fake-model","messages":[{"role":"user","content":"Chunk by chunk?"}]}'
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:10], body[10:]))
    data = served.head(lines=(JSON, "Transfer-Encoding: chunked")) + chunks + b"0\r\n\r\n"
    response, _ = served.exchange(data)
    assert response is not None and response.status == 200


# B-14


def test_headers_of_64_kib_are_refused(served: Served) -> None:
    refused(served, served.head(lines=("X-Long: " + "a" * 65_536,)), 431)


def test_five_thousand_headers_are_refused(served: Served) -> None:
    refused(served, served.head(lines=tuple(f"X-{number}: a" for number in range(5000))), 431)


def test_a_header_that_never_ends_is_cut_off_and_memory_stays_flat(served: Served) -> None:
    before = psutil.Process(os.getpid()).memory_info().rss
    with served.connect() as connection:
        connection.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nX-Long: ")
        sent = 0
        while sent < 64 << 20 and connection.send(b"a" * 65_536):
            sent += 65_536
    assert sent < 64 << 20
    assert psutil.Process(os.getpid()).memory_info().rss - before < 16 << 20


def test_a_header_that_goes_on_is_refused_for_its_size_before_its_time_is_over(served: Served) -> None:
    with served.connect() as connection:
        connection.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nX-Long: ")
        for _ in range(6):
            time.sleep(0.005)
            connection.send(b"a" * 10_000)
        response = connection.read()
    assert response is not None and response.status == 431


@pytest.mark.parametrize(
    "line",
    [
        "X-Folded: one\r\n two",
        "X-Folded: one\r\n\ttwo",
        "X-Nul: a\x00b",
        "X-Bare: a\rb",
        "X-Bare: a\nX-Injected: b\x00",
        " X-Leading: a",
        "X Space: a",
        "X-Colon : a",
        ": a",
        "nonsense",
    ],
)
def test_a_malformed_header_is_refused(served: Served, line: str) -> None:
    refused(served, served.head(lines=(line, "Content-Length: 0")), 400)


def test_two_host_headers_are_refused(served: Served) -> None:
    response, _ = served.exchange(served.head(method="GET", path="/v1/models", lines=("Host: elsewhere",)))
    assert response is not None and response.status == 400
    assert response.json()["error"]["code"] == "duplicate_header"


def test_http_1_1_without_a_host_is_refused(served: Served) -> None:
    response, _ = served.exchange(b"GET /v1/models HTTP/1.1\r\n\r\n")
    assert response is not None and response.status == 400


# B-15


def test_a_url_of_100_kib_is_refused(served: Served) -> None:
    refused(served, served.head(method="GET", path="/v1/models/" + "a" * 102_400), 414)


@pytest.mark.parametrize(
    "path",
    [
        "//v1//chat/completions",
        "/v1//chat/completions",
        "/v1/chat/completions/",
        "/v1/chat/completions;x",
        "/v1/chat/completions.css",
        "/v1/chat/completions%00",
        "/v1/chat/completions%2f",
        "/v1/chat/../chat/completions",
        "/v1/%2e%2e/v1/chat/completions",
        "/v1/chat%2fcompletions",
        "/v1/chat%252fcompletions",
        "/%761/chat/completions",
        "/v1/chat/%63ompletions",
        "/V1/chat/completions",
        "/v1\\chat\\completions",
        "/%c0%ae%c0%ae/etc/passwd",
        "/static/../../etc/passwd",
        "*",
    ],
)
def test_no_other_spelling_of_a_path_leads_to_its_endpoint(served: Served, path: str) -> None:
    request = served.chat().replace(b"POST /v1/chat/completions ", b"POST " + path.encode() + b" ")
    asked = len(served.gateway.upstream.requests)
    response, _ = served.exchange(request)
    assert response is not None and response.status in (400, 404), response
    assert len(served.gateway.upstream.requests) == asked


def test_a_url_with_bytes_beyond_ascii_is_refused(served: Served) -> None:
    response, _ = served.exchange(b"GET /v1/models/\xff\xfe HTTP/1.1\r\nHost: gateway\r\n\r\n")
    assert response is not None and response.status == 400


# B-16


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
def test_a_method_that_the_chat_endpoint_lacks_is_405_with_the_one_it_has(served: Served, method: str) -> None:
    response, _ = served.exchange(served.head(method=method), method=method)
    assert response is not None
    assert response.status == 405
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("method", ["BREW", "CONNECT", "get", "G\x00T", "PRI"])
def test_a_method_that_http_does_not_know_is_refused(served: Served, method: str) -> None:
    response, _ = served.exchange(served.head(method=method))
    assert response is not None and response.status in (400, 405)


def test_allow_names_every_method_of_a_path(served: Served) -> None:
    response, _ = served.exchange(served.head(method="PATCH", path="/v1/cache/entries/ent_0000000000000"))
    assert response is not None and response.status == 405
    assert response.headers["allow"] == "DELETE, GET"


# B-17: the gateway serves no files, so a Range has nothing to act on.


def test_ten_thousand_ranges_cost_nothing_and_change_nothing(served: Served) -> None:
    ranges = "Range: bytes=" + ",".join(["0-"] * 5_000)

    def ask() -> None:
        response, _ = served.exchange(served.head(method="GET", path="/openapi.json", lines=(ranges,)))
        assert response is not None and response.status in (200, 431)
        assert "content-range" not in response.headers

    assert cpu_s(ask) < 0.5


# B-18


def test_a_body_that_was_announced_and_never_comes_is_timed_out(served: Served) -> None:
    with served.connect() as connection:
        connection.send(served.head(lines=(JSON, "Content-Length: 100", "Expect: 100-continue")))
        first = connection.read()
        assert first is not None and first.status == 100
        started = time.monotonic()
        response = connection.read()
        assert response is not None and response.status == 408
        assert time.monotonic() - started < BODY_TIMEOUT_S + SLACK_S
        assert connection.is_closed()


def _drip(connection: RawConnection, data: bytes, limit_s: float) -> float:
    """Send *data* byte by byte until the other side has enough of it; return after how long that was."""
    started = time.monotonic()
    for byte in data:
        if not connection.send(bytes([byte])) or time.monotonic() - started > limit_s:
            break
        time.sleep(0.05)
    return time.monotonic() - started


def test_a_head_that_drips_is_timed_out_while_others_are_served(served: Served) -> None:
    lasted: list[float] = []
    answers: list[int] = []

    def attack() -> None:
        with served.connect() as connection:
            lasted.append(_drip(connection, b"POST /v1/chat/completions HTTP/1.1\r\nX: " + b"a" * 400, GIVEN_UP_S))
            response = connection.read()
            answers.append(response.status if response is not None else 408)

    threads = [threading.Thread(target=attack) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert all(served.is_alive() for _ in range(5))
    for thread in threads:
        thread.join()
    assert max(lasted) < HEAD_TIMEOUT_S + SLACK_S
    assert set(answers) == {408}


def test_a_body_that_drips_is_timed_out(served: Served) -> None:
    with served.connect() as connection:
        connection.send(served.head(lines=(JSON, "Content-Length: 1000")))
        assert _drip(connection, b" " * 200, GIVEN_UP_S) < BODY_TIMEOUT_S + SLACK_S
        response = connection.read()
    assert response is None or response.status == 408


def test_a_connection_that_sends_nothing_is_closed(served: Served) -> None:
    with served.connect() as connection:
        started = time.monotonic()
        assert connection.is_closed()
        assert time.monotonic() - started < HEAD_TIMEOUT_S + SLACK_S


def test_empty_lines_do_not_keep_a_connection_open(served: Served) -> None:
    with served.connect() as connection:
        assert _drip(connection, b"\r\n" * 200, GIVEN_UP_S) < HEAD_TIMEOUT_S + SLACK_S


def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(served: Served) -> None:
    for _ in range(20):
        with served.connect() as connection:
            connection.send(served.head(lines=(JSON, "Content-Length: 1000")) + b"{")
    assert served.is_alive()


# B-35


@pytest.mark.parametrize(
    "data",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        b"GET /v1/models\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"GET /v1/models HTTP/9.9\r\nHost: gateway\r\n\r\n",
        b"GET /v1/models HTTP/2.0\r\nHost: gateway\r\n\r\n",
        b"GET /v1/models HTTP/0.9\r\nHost: gateway\r\n\r\n",
        b"\x00" * 100,
        b"<html>",
    ],
)
def test_what_is_not_http_1_is_refused(served: Served, data: bytes) -> None:
    response, closed = served.exchange(data)
    assert response is None or (response.status in (400, 408) and closed)
    assert served.is_alive()


def test_a_websocket_is_refused(served: Served) -> None:
    lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAA")
    refused(served, served.head(method="GET", path="/v1/models", lines=lines), 400)


def test_an_offer_of_http_2_is_answered_in_http_1(served: Served) -> None:
    lines = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ")
    with served.connect() as connection:
        for _ in range(2):
            connection.send(served.chat(lines=lines))
            response = connection.read()
            assert response is not None and response.status == 200


# B-36


def test_pipelined_requests_are_answered_in_order_up_to_the_limit_and_others_do_not_starve(served: Served) -> None:
    with served.connect(timeout_s=30) as connection:
        request = served.head(method="GET", path="/v1/models")
        connection.send(request * 1000)
        began = time.monotonic()
        assert served.is_alive()
        assert time.monotonic() - began < 5
        statuses = []
        while (response := connection.read()) is not None:
            statuses.append(response.status)
    assert 0 < len(statuses) <= 1000
    assert set(statuses) <= {200, 400}


def test_a_few_pipelined_requests_are_all_answered(served: Served) -> None:
    with served.connect() as connection:
        connection.send(served.head(method="GET", path="/v1/models") * 10)
        statuses = [response.status for response in (connection.read() for _ in range(10)) if response]
    assert statuses == [200] * 10


def test_garbage_behind_a_pipelined_request_never_cuts_its_answer(served: Served) -> None:
    with served.connect() as connection:
        connection.send(served.chat("What came before the garbage?") + b"\x00\x01\x02\r\n\r\n")
        response = connection.read()
        assert response is not None and response.status == 200
        assert response.json()["choices"][0]["message"]["content"] == "You asked: What came before the garbage?"
        assert connection.is_closed()


def test_idle_connections_beyond_the_limit_make_room_for_new_ones(served: Served) -> None:
    held = []
    try:
        for _ in range(55):
            connection = RawConnection(served.port)
            connection.send(served.head(method="GET", path="/healthz"))
            response = connection.read()
            assert response is not None and response.status == 200
            held.append(connection)
        more = []
        for _ in range(60):
            connection = RawConnection(served.port)
            more.append(connection)
        held += more
        assert served.is_alive()
    finally:
        for connection in held:
            connection.close()


# B-37


def test_headers_that_name_another_host_or_client_change_nothing(served: Served) -> None:
    lines = (
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-For: 127.0.0.1",
        "X-Original-URL: /admin/v1/tenants",
        "X-Rewrite-URL: /admin/v1/tenants",
        "X-HTTP-Method-Override: DELETE",
        "Forwarded: host=evil.example",
    )
    response, _ = served.exchange(served.head(method="GET", path="/v1/models", lines=lines))
    assert response is not None and response.status == 200
    assert b"evil.example" not in response.body
    assert response.headers["cache-control"] == "no-store"
