"""The runner as a process: its token, its socket, and serving until told to stop."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette

from server.ports import RandomSource
from server.runner.app import TOKEN_LENGTH_MIN
from server.runner.errors import RunnerConfigurationError

TOKEN_FILE_BYTES_MAX: Final = 4_096
CONNECTIONS_MAX: Final = 256
SHUTDOWN_S: Final = 30


def run_runner(
    app: Starlette,
    *,
    host: str,
    port: int,
    on_ready: Callable[[int], None] | None = None,
    on_stoppable: Callable[[Callable[[], None]], None] | None = None,
    shutdown_s: int = SHUTDOWN_S,
) -> None:
    """Serve *app* until SIGINT or SIGTERM; port 0 picks a free one, which *on_ready* is told once requests are taken.

    *on_stoppable* is given a function that stops serving, callable from any thread, for where signals do not reach.
    Raises `RunnerConfigurationError` where the address cannot be listened on.
    """
    listener = _listen(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=shutdown_s,
        h11_max_incomplete_event_size=16 * 1024,
    )
    server = _Server(config, on_ready=on_ready, port=listener.getsockname()[1])
    if on_stoppable is not None:
        on_stoppable(server.stop)
    with listener:
        server.run(sockets=[listener])


def create_token_file(path: Path, random_source: RandomSource) -> str:
    """Write a new token to *path*, readable by the owner alone, and return it.

    Raises `RunnerConfigurationError` where something is there already.
    """
    token = random_source.token_bytes(32).hex()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise RunnerConfigurationError(f"the token file {path} cannot be made: {error.strerror}") from None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    return token


def read_token_file(path: Path) -> str:
    """Return the token in *path*; raises `RunnerConfigurationError` unless only the owner can read it."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(TOKEN_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise RunnerConfigurationError(f"the token file {path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
        raise RunnerConfigurationError(f"others can read the token file {path}; run: chmod 600 {path}")
    token = data.decode("ascii", "replace").strip()
    if not TOKEN_LENGTH_MIN <= len(token) <= TOKEN_FILE_BYTES_MAX or not token.isascii() or not token.isprintable():
        raise RunnerConfigurationError(
            f"the token file {path} does not hold a token of at least {TOKEN_LENGTH_MIN} printable characters"
        )
    return token


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise RunnerConfigurationError(f"the host {host!r} is not one to listen on: {error}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.set_inheritable(False)
    except OSError as error:
        listener.close()
        raise RunnerConfigurationError(f"port {port} on {host} is not free: {error.strerror}") from None
    return listener


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, *, on_ready: Callable[[int], None] | None, port: int) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._port = port

    def stop(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and self._on_ready is not None:
            self._on_ready(self._port)
