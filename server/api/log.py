"""`/log/…`: the log as anybody may read it (c2sp.org/tlog-tiles), without a key. It holds hiding commitments alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response

from crypto.checkpoint import parse_checkpoint
from crypto.errors import VerificationError
from server.api.state import state_of
from server.log.errors import LogDamaged
from server.log.storage import CHECKPOINT, LogStorage
from server.log.tiles import is_within, parse_tile_name, read_tile
from server.store.errors import NotFound, StoreUnavailable

router = APIRouter(tags=["log"])

Result = TypeVar("Result")

#: Tiles never change; a checkpoint does, every second or so.
FOREVER: Final = {"cache-control": "public, max-age=31536000, immutable"}
BRIEFLY: Final = {"cache-control": "public, max-age=1"}


@router.get("/log/checkpoint", response_class=Response)
async def get_checkpoint(request: Request) -> Response:
    """Return the newest signed checkpoint that this gateway has tiles for; 404 before there is one."""
    found = await _read(lambda: state_of(request).log_storage.read(CHECKPOINT))
    if found is None:
        raise NotFound("nothing is in the log yet")
    return Response(found, 200, BRIEFLY, "text/plain; charset=utf-8")


@router.get("/log/tile/{path:path}", response_class=Response)
async def get_tile(request: Request, path: str) -> Response:
    """Return a tile or an entry bundle that the newest checkpoint covers; 404 for any other, and never a part of one."""
    found = await _read(lambda: _find(state_of(request).log_storage, path))
    if found is None:
        raise NotFound("there is no such tile under the newest checkpoint")
    return Response(found, 200, FOREVER, "application/octet-stream")


def _find(storage: LogStorage, path: str) -> bytes | None:
    tile = parse_tile_name(path)
    if tile is None or not is_within(tile, _published_size(storage)):
        return None
    return read_tile(storage, tile)


def _published_size(storage: LogStorage) -> int:
    """Return the size under the published checkpoint: what lies behind it is still being written."""
    text = storage.read(CHECKPOINT)
    return 0 if text is None else parse_checkpoint(text.decode()).checkpoint.size


async def _read(work: Callable[[], Result]) -> Result:
    try:
        return await asyncio.to_thread(work)
    except (OSError, LogDamaged, VerificationError, UnicodeDecodeError):
        raise StoreUnavailable("the log cannot be read on this gateway; `hitproof log fsck` says why") from None
