"""Fakes of the ports that runners and upstreams stand on, and servers on loopback that behave as a script says."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import numpy as np
from starlette.applications import Starlette

from server.ports import Float32Matrix, JsonObject
from server.runner.engine import Generated, GenerationRequest, Piece
from server.runner.process import run_runner

TOKEN = "token-of-the-tests-0123456789abcdef"
MANIFEST: JsonObject = {
    "schema": "hitproof/model-manifest/v1",
    "name": "echo",
    "resources": [{"name": "weights.safetensors", "size_bytes": 3, "sha256": "ab" * 32}],
    "tokenizer": {"kind": "words"},
    "chat_template": None,
    "config": {},
    "quantisation": None,
    "runtime": {"engine": "fake"},
    "numerics": None,
    "weight_commitments": [],
    "openssf_digest": None,
}


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def now_ms(self) -> int:
        return int(self.now_s * 1000)

    def monotonic_s(self) -> float:
        return self.now_s


class FakeRandom:
    """Deterministic and never twice the same."""

    def __init__(self) -> None:
        self._count = 0

    def token_bytes(self, count: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(str(self._count).encode()).digest(count)


class HashEmbedder:
    """Gives each text a unit vector of its own, drawn from the text's hash; *name* is what its digest is made of."""

    dimension = 384

    def __init__(self, name: str = "hashes") -> None:
        self.digest = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
        self.fault: Exception | None = None

    def embed(self, texts: Sequence[str]) -> Float32Matrix:
        if self.fault is not None:
            raise self.fault
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in texts]
        rows = np.stack([np.random.default_rng(seed).standard_normal(self.dimension) for seed in seeds])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class EchoEngine:
    """Answers with the last turn, word by word; *pause* is called between words, where the caller may have left."""

    def __init__(self, name: str = "echo", pause: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.manifest = MANIFEST | {"name": name}
        self.asked: list[GenerationRequest] = []
        self.closed = 0
        self._pause = pause

    def generate(self, request: GenerationRequest) -> Iterator[Piece | Generated]:
        self.asked.append(request)
        words = request.turns[-1].text.split(" ")
        texts = [word if place == 0 else " " + word for place, word in enumerate(words)]
        limit = request.tokens_max or len(texts)
        try:
            for place, text in enumerate(texts[:limit]):
                self._pause()
                yield Piece(place, text)
            shown = texts[:limit]
            reason = "stop" if limit >= len(texts) else "length"
            ids = tuple(range(len(shown)))
            yield Generated("".join(shown), (7, 8), ids, reason, {"temperature": str(request.temperature)})
        finally:
            self.closed += 1


@contextlib.contextmanager
def served(app: Starlette) -> Iterator[str]:
    """Serve *app* on a free loopback port in a thread of its own; yields its root URL."""
    ready = threading.Event()
    ports: list[int] = []
    stops: list[Callable[[], None]] = []

    def on_ready(port: int) -> None:
        ports.append(port)
        ready.set()

    def stoppable(stop: Callable[[], None]) -> None:
        stops.append(stop)

    thread = threading.Thread(
        target=lambda: run_runner(
            app, host="127.0.0.1", port=0, on_ready=on_ready, on_stoppable=stoppable, shutdown_s=1
        ),
        daemon=True,
    )
    thread.start()
    assert ready.wait(60), "the server did not start"
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        stops[0]()
        thread.join(10)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def scripted(handler: Handler) -> AsyncIterator[str]:
    """Run *handler* for every connection to a free loopback port; yields its root URL."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return head and body of one HTTP request."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    return head, await reader.readexactly(length)


def reply(body: bytes, *, status: int = 200, kind: str = "application/json", headers: Sequence[str] = ()) -> bytes:
    """Return the bytes of one HTTP response."""
    lines = [
        f"HTTP/1.1 {status} X",
        f"content-type: {kind}",
        f"content-length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answering(*replies: bytes) -> Handler:
    """A handler that gives *replies* in turn, over all connections, and then repeats the last."""
    given = iter(replies)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(next(given, replies[-1]))
            await writer.drain()

    return handle
