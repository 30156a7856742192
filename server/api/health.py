"""`/healthz`, `/readyz` and `/metrics`: for machines that watch the process; they say nothing about tenants."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from server.api.state import state_of
from server.store.errors import StoreError
from server.store.maintenance import ping

router = APIRouter(tags=["health"])

READ_TIMEOUT_S = 2.0


@router.get("/healthz")
async def get_health() -> JSONResponse:
    """Answer while the event loop turns."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", responses={503: {"description": "not ready"}})
async def get_readiness(request: Request) -> JSONResponse:
    """Say whether requests can be served: the database answers and the keys are open."""
    state = state_of(request)
    checks = {"database": "ok", "keys": "ok" if state.key_provider.is_available() else "sealed"}
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            await state.database.read(ping)
    except (StoreError, TimeoutError):
        checks["database"] = "unavailable"
    ready = all(found == "ok" for found in checks.values())
    return JSONResponse({"status": "ready" if ready else "not ready", "checks": checks}, 200 if ready else 503)


@router.get("/metrics", response_class=Response)
async def get_metrics(request: Request) -> Response:
    """Return the counters in Prometheus' text form."""
    state = state_of(request)
    state.telemetry.index_bytes.set(state.partitions.size_bytes)
    return Response(state.telemetry.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
