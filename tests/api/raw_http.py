"""A client that sends exactly the bytes it is given, and a real server on loopback to send them to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import uvicorn

from server.ports import JsonObject
from server.serving import listen, server_config
from tests.fakes import FakeGateway, Options, fake_gateway


@dataclass(frozen=True, slots=True)
class RawResponse:
    """One response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> JsonObject:
        found: JsonObject = orjson.loads(self.body)
        return found


class RawConnection:
    """One TCP connection."""

    def __init__(self, port: int, timeout_s: float = 10) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self._file = self._socket.makefile("rb")

    def send(self, data: bytes) -> bool:
        """Send all of *data*; false when the other side closed before it was through."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def end_sending(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def read(self, *, method: str = "GET") -> RawResponse | None:
        """Read one response; None when the connection ended before one began."""
        try:
            return self._read(method)
        except ConnectionResetError:
            return None

    def is_closed(self) -> bool:
        """Wait for the other side to close; false if it sends something instead."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def _read(self, method: str) -> RawResponse | None:
        line = self._file.readline()
        if not line:
            return None
        status = int(line.split()[1])
        headers: dict[str, str] = {}
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if status == 100:
            return RawResponse(100, headers, b"")
        if method == "HEAD":
            return RawResponse(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return RawResponse(status, headers, self._read_chunks())
        return RawResponse(status, headers, self._file.read(int(headers.get("content-length", 0))))

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self._file.readline(), 16):
            body += self._file.read(size)
            self._file.readline()
        self._file.readline()
        return body


@dataclass(slots=True)
class Served:
    """A fake gateway behind a real socket, in a thread of its own."""

    port: int
    gateway: FakeGateway
    loop: asyncio.AbstractEventLoop

    @contextlib.contextmanager
    def connect(self, timeout_s: float = 10) -> Iterator[RawConnection]:
        connection = RawConnection(self.port, timeout_s)
        try:
            yield connection
        finally:
            connection.close()

    def exchange(self, data: bytes, *, method: str = "GET") -> tuple[RawResponse | None, bool]:
        """Send *data*, read one response and tell whether the connection was closed behind it."""
        with self.connect() as connection:
            connection.send(data)
            response = connection.read(method=method)
            if response is None:
                return None, True
            connection.end_sending()
            return response, response.headers.get("connection") == "close" and connection.is_closed()

    def head(self, *, method: str = "POST", path: str = "/v1/chat/completions", lines: tuple[str, ...] = ()) -> bytes:
        """Write a request's head with a good key, up to the empty line."""
        first = [f"{method} {path} HTTP/1.1", "Host: gateway", f"Authorization: Bearer {self.gateway.tenants[0].key}"]
        return "\r\n".join([*first, *lines, "", ""]).encode("latin-1")

    def chat(self, text: str = "How deep is the lake?", *, lines: tuple[str, ...] = ()) -> bytes:
        """Write a whole, good chat request."""
        body = orjson.dumps({"model": "fake-model", "messages": [{"role": "user", "content": text}]})
        length = f"Content-Length: {len(body)}"
        return self.head(lines=("Content-Type: application/json", length, *lines)) + body

    def is_alive(self) -> bool:
        """Whether somebody else is served as if nothing had happened."""
        response, _ = self.exchange(self.chat("Are you still there?"))
        return response is not None and response.status == 200


@contextlib.contextmanager
def serve(folder: Path, options: Options | None = None) -> Iterator[Served]:
    """Serve a fake gateway through the very uvicorn configuration of a real one."""
    ready: list[Served] = []
    stop = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(_serve(folder, options, ready, stop))
        except BaseException as error:  # told to the test below
            failures.append(error)

    thread = threading.Thread(target=work, name="served-gateway")
    thread.start()
    while not ready and thread.is_alive():
        time.sleep(0.01)
    try:
        assert ready, failures
        yield ready[0]
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
        assert not failures, failures


async def _serve(folder: Path, options: Options | None, ready: list[Served], stop: threading.Event) -> None:
    async with fake_gateway(folder, options) as gateway:
        listener = listen("127.0.0.1", 0)
        config = server_config(gateway.edge, gateway.settings)
        config.lifespan = "off"
        async with _running(uvicorn.Server(config), listener):
            ready.append(Served(listener.getsockname()[1], gateway, asyncio.get_running_loop()))
            while not stop.is_set():
                await asyncio.sleep(0.02)
        listener.close()


@contextlib.asynccontextmanager
async def _running(server: uvicorn.Server, listener: socket.socket) -> AsyncIterator[None]:
    config = server.config
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    ticking = asyncio.create_task(server.main_loop())
    try:
        yield
    finally:
        server.should_exit = True
        await ticking
        await server.shutdown(sockets=[listener])
