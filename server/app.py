"""The application: routes, faults and the edge round a `Gateway`; settings in, an ASGI application out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from fastapi import FastAPI
from starlette.routing import Route

from server.api import (
    admin,
    admin_access,
    admin_ledger,
    admin_standing,
    audit,
    cache,
    chat,
    health,
    log,
    openai,
    receipts,
    sharing,
    unseal,
)
from server.api.contract import set_contract
from server.api.faults import add_fault_handlers
from server.gateway import Gateway
from server.middleware import Edge
from server.outside import Outside
from server.settings import Settings
from server.telemetry import Telemetry

ROUTERS = (
    chat.router,
    openai.router,
    cache.router,
    receipts.router,
    audit.router,
    admin.router,
    admin_access.router,
    admin_standing.router,
    admin_ledger.router,
    sharing.router,
    sharing.admin_router,
    unseal.router,
    log.router,
    health.router,
)


def create_app(settings: Settings, outside: Outside) -> Edge:
    """Wire a gateway; its parts start and stop with the ASGI lifespan."""
    telemetry = Telemetry()
    app = FastAPI(
        title="hitproof",
        version="1",
        description="A cache for language-model inference whose every hit carries its proof.",
        lifespan=_lifespan(settings, outside, telemetry),
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    add_fault_handlers(app, ROUTERS)
    set_contract(app)
    direct = {("POST", "/v1/chat/completions"): chat.create_chat_completion}
    return Edge(
        app,
        settings=settings,
        telemetry=telemetry,
        random=outside.random,
        direct=direct,
        with_parameters=_parameter_prefixes(),
    )


def _parameter_prefixes() -> tuple[bytes, ...]:
    """Return the spelled-out beginnings of the paths that end in a parameter."""
    paths = {route.path for router in ROUTERS for route in router.routes if isinstance(route, Route)}
    return tuple(sorted({path.partition("{")[0].encode() for path in paths if "{" in path}))


def _lifespan(
    settings: Settings, outside: Outside, telemetry: Telemetry
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        gateway = Gateway(settings, outside, telemetry)
        await gateway.start()
        app.state.parts = gateway.state
        app.state.gateway = gateway
        try:
            yield
        finally:
            await gateway.stop()

    return lifespan
