"""CPU of a semantic hit at N entries, the embedding forward left out, and what an entry takes of memory.

    OMP_NUM_THREADS=1 python tests/bench/semantic_hit.py [--entries 10000] [--hits 500] [--rounds 3]

A whole gateway in this process: HTTP parsing aside, every step of a real hit (authentication, exact miss, batcher, index,
guards, decision, verify on read, unsealing, record) runs. The embedder is a table of unit vectors: each stored text has a
random one, its paraphrase the same one turned by a little (cosine .97). Prints process CPU per hit, all threads, and, from
the same run, what a bare `faiss.IndexFlatIP` search of as many vectors takes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import psutil

from server.reuse.policy import ReusePolicy
from tenants.quotas import Quota
from tests.fakes import FakeGateway, Options, WordEmbedder, fake_gateway

DIMENSION = 384


class TableEmbedder(WordEmbedder):
    """Vectors looked up by the text's number."""

    def __init__(self, entries: int) -> None:
        super().__init__(name="table")
        generator = np.random.default_rng(7)
        stored = generator.standard_normal((entries, DIMENSION)).astype(np.float32)
        self.stored = stored / np.linalg.norm(stored, axis=1, keepdims=True)
        turn = generator.standard_normal((entries, DIMENSION)).astype(np.float32)
        turn -= (turn * self.stored).sum(1, keepdims=True) * self.stored
        turn /= np.linalg.norm(turn, axis=1, keepdims=True)
        self.asked = 0.97 * self.stored + np.sqrt(1 - 0.97**2) * turn

    def embed(self, texts):  # type: ignore[no-untyped-def]
        rows = [(self.asked if text.startswith("again") else self.stored)[_number(text)] for text in texts]
        return np.stack(rows)


def _number(text: str) -> int:
    """Read the number that the letters behind the last blank spell, so that no guard sees a digit."""
    return sum((ord(letter) - 97) * 26**place for place, letter in enumerate(reversed(text.rsplit(" ", 1)[1])))


def _spell(number: int) -> str:
    letters = ""
    for _ in range(4):
        number, rest = divmod(number, 26)
        letters = chr(97 + rest) + letters
    return letters


async def fill(gateway: FakeGateway, entries: int) -> None:
    for number in range(entries):
        body = {
            "model": "fake-model",
            "messages": [{"role": "user", "content": f"tell me of {_spell(number)}"}],
            "answer": "x" * 600,
        }
        response = await gateway.call("POST", "/v1/cache/entries", json=body)
        assert response.status_code == 201, response.text


async def ask_directly(gateway: FakeGateway, question: str) -> bytes:
    """Ask past every client library, so that the CPU counted is the gateway's."""
    body = json.dumps({"model": "fake-model", "messages": [{"role": "user", "content": question}]}).encode()
    headers = [
        (b"host", b"gateway"),
        (b"content-length", str(len(body)).encode()),
        (b"content-type", b"application/json"),
        (b"authorization", b"Bearer " + gateway.tenants[0].key.encode()),
    ]
    inbox = [{"type": "http.request", "body": body, "more_body": False}]
    outbox: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return inbox.pop() if inbox else await asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        outbox.append(message)

    path = "/v1/chat/completions"
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers, "scheme": "http",
        "server": ("gateway", 80), "client": ("client", 1),
    }  # fmt: skip
    await gateway.edge(scope, receive, send)
    found: bytes = outbox[1]["body"]
    return found


async def run(entries: int, hits: int, rounds: int) -> None:
    embedder = TableEmbedder(entries)
    quota = Quota(requests_per_minute=10**9, entries_max=10**6)
    options = Options(
        tenants=1, embedder=embedder, quota=quota, policy=ReusePolicy(), settings={"record_flush_s": 0.05}
    )
    with tempfile.TemporaryDirectory() as folder:
        async with fake_gateway(Path(folder) / "data", options) as gateway:
            await gateway.ask(f"tell me of {_spell(0)}")
            await asyncio.sleep(0.5)
            before = psutil.Process().memory_info().rss
            started = time.process_time()
            await fill(gateway, entries)
            put_ms = (time.process_time() - started) * 1e3 / entries
            resident = psutil.Process().memory_info().rss - before
            await gateway.settle()
            figures = []
            numbers = np.random.default_rng(1).permutation(entries)
            for round_ in range(rounds):
                chosen = numbers[round_ * hits : (round_ + 1) * hits]
                started = time.process_time()
                for number in chosen:
                    answer = await ask_directly(gateway, f"again tell me of {_spell(int(number))}")
                    assert b'"tier":"private"' in answer, answer
                figures.append((time.process_time() - started) * 1e3 / hits)
            size_bytes = gateway.gateway.partitions.size_bytes
    index = faiss.IndexFlatIP(DIMENSION)
    faiss.omp_set_num_threads(1)
    index.add(embedder.stored)
    started = time.process_time()
    for number in range(200):
        index.search(embedder.asked[number : number + 1], 1)
    bare_ms = (time.process_time() - started) * 1e3 / 200
    print(
        json.dumps(
            {
                "entries": entries,
                "hit_cpu_ms": [round(value, 3) for value in (min(figures), statistics.median(figures), max(figures))],
                "put_cpu_ms": round(put_ms, 3),
                "bare_search_cpu_ms": round(bare_ms, 3),
                "index_bytes_per_entry": round(size_bytes / entries),
                "resident_bytes_per_entry": round(resident / entries),
                "limit_bytes_per_entry": round(1.5 * 4 * DIMENSION),
            }
        )
    )


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--hits", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    asyncio.run(run(options.entries, options.hits, options.rounds))


if __name__ == "__main__":
    main()
