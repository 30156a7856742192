"""What every endpoint may use: one object, wired in `server.app` and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from server.api.authentication import Authenticator
from server.api.limits import RequestLimits
from server.embedding.async_embedder import AsyncEmbedder
from server.index.partitions import Partitions
from server.ports import Clock, RandomSource
from server.reuse.engine import ReuseEngine
from server.reuse.eviction import Totals
from server.reuse.labelling import Labeller
from server.reuse.models import ModelRegistry
from server.reuse.recorder import Recorder
from server.reuse.storing import Storer
from server.reuse.tenant_directory import TenantDirectory
from server.settings import Settings
from server.store.database import Database
from server.telemetry import Telemetry
from tenants.key_providers import KeyProvider
from tenants.scopes import Caller, Scope


@dataclass(frozen=True, slots=True)
class AppState:
    """The parts of a running gateway."""

    settings: Settings
    database: Database
    authenticator: Authenticator
    limits: RequestLimits
    engine: ReuseEngine
    models: ModelRegistry
    tenants: TenantDirectory
    storer: Storer
    embedder: AsyncEmbedder
    partitions: Partitions
    recorder: Recorder
    totals: Totals
    labeller: Labeller
    telemetry: Telemetry
    key_provider: KeyProvider
    pepper: bytes
    clock: Clock
    random: RandomSource


def state_of(request: Request) -> AppState:
    """Return the parts that serve *request*."""
    state: AppState = request.app.state.parts
    return state


async def authenticate(request: Request, scope: Scope) -> Caller:
    """Return the caller of *request*, who must hold *scope*."""
    caller = await state_of(request).authenticator.caller(request.headers.getlist("authorization"))
    caller.require(scope)
    return caller
