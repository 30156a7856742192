"""Server CPU per exact hit over HTTP, of a real gateway with its real store, embedder and demo model.

    python tests/bench/exact_hit.py [--requests 2000] [--rounds 5]
    python tests/bench/exact_hit.py --url http://127.0.0.1:18102 --pid PID --key KEY --model m    # a peer, in the same run
    python tests/bench/exact_hit.py --url http://127.0.0.1:18101 --pid PID --shape gptcache       # gptcache_server's /get

Prints CPU milliseconds per request (user and system, all threads of the server process) as minimum, median and maximum of
the rounds, beside the wall time seen by one keep-alive client.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil

QUESTIONS = [f"How many lanterns hang in hall number {number}?" for number in range(50)]


def get(connection: http.client.HTTPConnection, question: str, *, path: str = "/get", **fields: str) -> dict[str, str]:
    """Ask gptcache_server, whose interface is its own."""
    body = json.dumps({"prompt": question, **fields})
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    data = response.read()
    if response.status != 200 or b"null" in data:
        raise SystemExit(f"{response.status}: {data[:300]!r}")
    return {}


def ask(connection: http.client.HTTPConnection, key: str, model: str, question: str) -> dict[str, str]:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": question}]})
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    connection.request("POST", "/v1/chat/completions", body, headers)
    response = connection.getresponse()
    data = response.read()
    if response.status != 200:
        raise SystemExit(f"{response.status}: {data[:300]!r}")
    return {name.lower(): value for name, value in response.getheaders()}


def measure(
    url: str, pid: int, key: str, model: str, *, requests: int, rounds: int, shape: str = "chat"
) -> dict[str, object]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=60)
    for question in QUESTIONS:
        if shape == "chat":
            ask(connection, key, model, question)
        else:
            get(connection, question, path="/put", answer="a lantern " * 60)

    def hit(question: str) -> dict[str, str]:
        return ask(connection, key, model, question) if shape == "chat" else get(connection, question)

    last = {}
    for question in QUESTIONS:
        last = hit(question)
    process, cpu_ms, wall_ms = psutil.Process(pid), [], []
    for _ in range(rounds):
        before, started = sum(process.cpu_times()[:2]), time.perf_counter()
        for number in range(requests):
            last = hit(QUESTIONS[number % len(QUESTIONS)])
        wall_ms.append((time.perf_counter() - started) * 1e3 / requests)
        cpu_ms.append((sum(process.cpu_times()[:2]) - before) * 1e3 / requests)
    connection.close()
    return {
        "server_cpu_ms": [round(value, 4) for value in (min(cpu_ms), statistics.median(cpu_ms), max(cpu_ms))],
        "wall_ms": round(statistics.median(wall_ms), 4),
        "server": shape if shape != "chat" else url,
        "cache": last.get("x-hitproof-cache") or last.get("x-litellm-cache-key", "")[:12],
        "requests": requests,
        "rounds": rounds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--url")
    parser.add_argument("--pid", type=int)
    parser.add_argument("--key", default="")
    parser.add_argument("--shape", choices=("chat", "gptcache"), default="chat")
    parser.add_argument("--model", default="hitproof-demo")
    options = parser.parse_args()
    if options.url:
        print(json.dumps(measure(options.url, options.pid, options.key, options.model, shape=options.shape,
                                 requests=options.requests, rounds=options.rounds)))  # fmt: skip
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "server.cli",
            "quickstart",
            "--data",
            str(Path(folder) / "data"),
            "--port",
            "0",
        ]
        process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            key = ready["tenants"][0]["api_key"]
            print(json.dumps(measure(ready["url"], process.pid, key, options.model,
                                     requests=options.requests, rounds=options.rounds)))  # fmt: skip
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
