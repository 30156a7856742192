"""A gateway in a process of its own that may be killed, with fakes behind the model ports and everything else real.

Run as a program it loads the house once and then forks a gateway for each `start` it reads, so that a start costs
milliseconds: store, keys, lock, sockets and signals are those of `hitproof serve`. Lines in: `start {options}`, `wait`.
Lines out: one JSON object for each.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

import server.store.database as database_module
from crypto.errors import Error
from server.cli.context import locked
from server.clock import SystemClock, SystemRandom
from server.datafolder import DataFolder
from server.log.keys import load_signing_key
from server.outside import Outside
from server.ports import Chunk, Completion, JsonObject
from server.serving import listen, run_gateway
from server.settings import load_settings
from server.store.entries import EntryRepository
from server.telemetry import configure_logging
from tenants.key_providers import FileKeyProvider
from tests.fakes import PEPPER, FakeUpstream, WordEmbedder

READY_S = 60


class SlowUpstream(FakeUpstream):
    """Waits before each chunk."""

    def __init__(self, chunk_delay_s: float) -> None:
        super().__init__()
        self._chunk_delay_s = chunk_delay_s

    async def stream(self, request: JsonObject, *, tenant_salt: str) -> AsyncIterator[Chunk | Completion]:
        async for item in super().stream(request, tenant_salt=tenant_salt):
            await asyncio.sleep(self._chunk_delay_s)
            yield item


def serve(options: dict[str, Any], answer: int) -> None:
    """Be the gateway: never returns alive."""
    settings = load_settings(environ={}, overrides={"data": Path(options["folder"]), **options.get("settings", {})})
    configure_logging("json")
    try:
        with locked(settings):
            listener = listen("127.0.0.1", 0)
            outside = Outside(
                key_provider=FileKeyProvider(DataFolder(settings.data).key_file),
                pepper=PEPPER,
                signer=load_signing_key(DataFolder(settings.data).gateway_signing_key_file, SystemRandom()),
                embedder=WordEmbedder(),
                build_upstream=lambda _record, _key: SlowUpstream(options.get("chunk_delay_s", 0.0)),
                clock=SystemClock(),
                random=SystemRandom(),
            )
            ready = {"pid": os.getpid(), "port": listener.getsockname()[1]}
            arm(options.get("crash"), options.get("after", 0))

            def on_ready() -> None:
                if "file_bytes_max" in options:
                    limit = options["file_bytes_max"]
                    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
                os.write(answer, json.dumps(ready).encode() + b"\n")

            run_gateway(settings, replace(outside), listener, on_ready=on_ready)
    except Error as error:
        os.write(answer, json.dumps({"refused": str(error)}).encode() + b"\n")
        os._exit(3)
    os._exit(0)


def arm(crash: str | None, after: int) -> None:
    """Die by SIGKILL at a named point of the writer, the *after*-th time that it is passed."""
    if crash is None:
        return
    passed = 0

    def pass_by() -> None:
        nonlocal passed
        passed += 1
        if passed > after:
            os.kill(os.getpid(), signal.SIGKILL)

    if crash == "before-commit":
        event.listen(Engine, "commit", lambda _connection: pass_by())
    elif crash == "after-commit":
        deliver = database_module.deliver
        database_module.deliver = lambda outcomes: (pass_by(), deliver(outcomes))[1]
    elif crash == "between-row-and-feed":
        feed = EntryRepository._feed

        def crashing(*arguments: Any) -> None:
            pass_by()
            feed(*arguments)

        EntryRepository._feed = crashing  # type: ignore[method-assign]
    else:
        raise ValueError(f"there is no crash point {crash!r}")


def main() -> None:
    """Read commands until standard input ends."""
    children: list[int] = []
    for line in sys.stdin:
        command, _, rest = line.strip().partition(" ")
        if command == "start":
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(reading)
                serve(json.loads(rest), writing)
            os.close(writing)
            with os.fdopen(reading) as answer:
                reply = answer.readline().strip() or '{"refused": "died before it was ready"}'
            children.append(child)
        elif command == "wait":
            _, status = os.waitpid(children.pop(), 0)
            reply = json.dumps({"exit": os.waitstatus_to_exitcode(status)})
        else:
            reply = json.dumps({"refused": f"unknown command {command}"})
        print(reply, flush=True)
    for child in children:
        os.kill(child, signal.SIGKILL)


class Nursery:
    """The test's side: starts gateways on a folder, one after another."""

    def __init__(self, log: Path) -> None:
        with log.open("a") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.gateway_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def start(self, folder: Path, **options: Any) -> dict[str, Any]:
        """Start a gateway; return its pid and port, or why it refused."""
        return self._ask(f"start {json.dumps({'folder': str(folder), **options})}")

    def wait(self) -> int:
        """Wait for the end of the gateway that was started last; return its exit code, negative for a signal."""
        return int(self._ask("wait")["exit"])

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def _ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that starts gateways has died; see its log"
        found: dict[str, Any] = json.loads(answer)
        return found


if __name__ == "__main__":
    main()
