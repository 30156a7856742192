"""The witness behind HTTP: one path, bounded bodies, no state but the witness's own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from server.log.errors import LogError
from server.log.witness import REQUEST_BYTES_MAX, Answer, Witness
from server.orderly import OrderlyServer
from server.protocol import ConnectionLimits, guarded_protocol

log = structlog.get_logger()

BODY_S: Final = 10.0
HEAD_S: Final = 10.0
CONNECTIONS_MAX: Final = 256
IN_PROGRESS_MAX: Final = 64
DRAIN_S: Final = 5


def create_witness_app(witness: Witness) -> Starlette:
    """Return the ASGI application of *witness*."""

    async def add_checkpoint(request: Request) -> Response:
        body = await _read(request)
        if body is None:
            return _respond(Answer(400, "the body is too large or too slow\n"))
        try:
            answer = await asyncio.to_thread(witness.add_checkpoint, body)
        except (OSError, LogError) as error:
            log.error("witness_failed", error=str(error))
            answer = Answer(500, "this witness cannot use its disk\n")
        log.info("witness_answered", status=answer.status)
        return _respond(answer)

    return Starlette(routes=[Route("/add-checkpoint", add_checkpoint, methods=["POST"])])


def run_witness(witness: Witness, listener: socket.socket, *, on_ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        create_witness_app(witness),
        http=guarded_protocol(ConnectionLimits(head_timeout_s=HEAD_S, connections_max=CONNECTIONS_MAX)),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        limit_concurrency=IN_PROGRESS_MAX,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = OrderlyServer(config)
    on_ready()
    server.run(sockets=[listener])


async def _read(request: Request) -> bytes | None:
    body = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > REQUEST_BYTES_MAX:
                    return None
    except (TimeoutError, ClientDisconnect):
        return None
    return body


def _respond(answer: Answer) -> Response:
    # Not `media_type`, which would add a charset that the specification does not have.
    headers = {"content-type": answer.content_type, "cache-control": "no-store"}
    return Response(answer.text, answer.status, headers)
