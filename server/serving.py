"""Run a wired gateway under uvicorn: sockets, readiness, and an orderly end."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx2
import structlog
import uvicorn

from crypto.errors import Error
from server.app import create_app
from server.clock import SystemClock, SystemRandom
from server.datafolder import DataFolder, read_or_create_secret
from server.embedding.select import CoveringEmbedder, EmbedderChoice, load_default_embedder, load_embedder
from server.log.keys import load_signing_key
from server.middleware import Edge
from server.orderly import OrderlyServer
from server.outside import Outside
from server.ports import Upstream
from server.protocol import ConnectionLimits, guarded_protocol
from server.settings import Settings
from server.store.records import UpstreamRecord
from server.upstream.limits import UpstreamLimits
from server.upstream.openai import OpenAIUpstream
from server.upstream.runner import RunnerUpstream
from tenants.key_providers import KeyProvider

log = structlog.get_logger()

KEEP_ALIVE_S = 30
#: How the process ends after a disk failure; sysexits.h calls it EX_IOERR.
EXIT_DISK_FAILURE: Final = 74


class ListenError(Error):
    """The address cannot be listened on."""


def listen(host: str, port: int) -> socket.socket:
    """Bind *host* and *port*; raises `ListenError` that says what to change."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError as error:
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port") from None
    return found


def load_configured_embedder(settings: Settings) -> CoveringEmbedder:
    """Load the embedder that the settings name; takes a second or two. Raises `EmbeddingError`."""
    if settings.embedder == "default":
        return load_default_embedder(device=settings.embedder_device, threads=settings.embedder_threads)
    if settings.embedder.startswith(("https://", "http://")):
        key = os.environ.get(settings.embedder_key_variable) if settings.embedder_key_variable else None
        client = httpx2.Client(trust_env=False, follow_redirects=False, timeout=settings.embed_timeout_s)
        choice = EmbedderChoice("url", url=settings.embedder, model=settings.embedder_model, api_key=key)
        return load_embedder(choice, client=client)
    choice = EmbedderChoice(
        "folder",
        folder=Path(settings.embedder),
        device=settings.embedder_device,
        threads=settings.embedder_threads,
    )
    return load_embedder(choice)


def build_outside(settings: Settings, embedder: CoveringEmbedder, provider: KeyProvider) -> Outside:
    """Collect what a gateway is given from outside, for a real process."""
    folder, random = DataFolder(settings.data), SystemRandom()
    clock = SystemClock()
    limits = UpstreamLimits(
        connect_timeout_s=settings.upstream_connect_timeout_s,
        idle_timeout_s=settings.upstream_read_timeout_s,
        first_byte_timeout_s=settings.upstream_read_timeout_s,
        total_timeout_s=settings.upstream_total_timeout_s,
        response_bytes_max=settings.upstream_response_bytes_max,
        connections_max=settings.upstream_connections_max,
    )

    def build_upstream(record: UpstreamRecord, key: str | None) -> Upstream:
        if record.kind == "runner":
            return RunnerUpstream(
                record.name,
                record.base_url,
                key or "",
                clock=clock,
                random_source=random,
                limits=limits,
                allow_private=record.allow_private,
            )
        return OpenAIUpstream(
            record.name,
            record.base_url,
            key,
            clock=clock,
            random_source=random,
            limits=limits,
            allow_private=record.allow_private,
            passes_cache_salt=record.kind == "vllm",
        )

    return Outside(
        key_provider=provider,
        pepper=read_or_create_secret(folder.pepper_file, random),
        embedder=embedder,
        build_upstream=build_upstream,
        signer=load_signing_key(folder.gateway_signing_key_file, random),
        clock=clock,
        random=random,
    )


def run_gateway(
    settings: Settings, outside: Outside, listener: socket.socket, *, on_ready: Callable[[], None] | None = None
) -> None:
    """Serve until SIGINT or SIGTERM, then drain: refuse new requests, finish what is in progress, write it down."""
    edge = create_app(settings, replace(outside, on_fatal=outside.on_fatal or _end_at_once))
    _Server(server_config(edge, settings), edge, on_ready).run(sockets=[listener])


def server_config(edge: Edge, settings: Settings) -> uvicorn.Config:
    """Return how uvicorn serves *edge*: everywhere the same, in tests too."""
    limits = ConnectionLimits(head_timeout_s=settings.head_timeout_s, connections_max=settings.connections_max)
    return uvicorn.Config(
        edge,
        http=guarded_protocol(limits),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.drain_s),
    )


def _end_at_once(error: BaseException) -> None:
    """End without another write: after a failed one nobody knows what the disk holds until the file is read anew."""
    log.critical("disk_failure", error=str(error.__cause__ or error)[:200], mend="check the disk, then start again")
    os._exit(EXIT_DISK_FAILURE)


class _Server(OrderlyServer):
    def __init__(self, config: uvicorn.Config, edge: Edge, on_ready: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._edge = edge
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and self._on_ready is not None:
            await asyncio.to_thread(self._on_ready)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._edge.is_draining = True
        await super().shutdown(sockets=sockets)
