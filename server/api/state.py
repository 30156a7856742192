"""What every endpoint may use: one object, wired in `server.gateway` and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from crypto.ed25519 import Signer
from server.api.authentication import Authenticator, tenant_of
from server.api.limits import RequestLimits
from server.applicability.missing import MissingProofs
from server.applicability.service import ApplicabilityService
from server.audit.applicability_files import ApplicabilityFiles
from server.audit.jobs import ExportJobs
from server.audit.proof_files import ProofFiles
from server.embedding.async_embedder import AsyncEmbedder
from server.erasures import Erasures
from server.index.partitions import Partitions
from server.log.high_water import HighWater
from server.log.storage import LogStorage
from server.ports import Clock, RandomSource
from server.reuse.engine import ReuseEngine
from server.reuse.eviction import Totals
from server.reuse.hit_journal import HitJournal
from server.reuse.labelling import Labeller
from server.reuse.models import ModelRegistry
from server.reuse.opening import EntryOpener
from server.reuse.recorder import Recorder
from server.reuse.storing import Storer
from server.reuse.tenant_directory import TenantContext, TenantDirectory
from server.settings import Settings
from server.store.database import Database
from server.telemetry import Telemetry
from tenants.identifiers import TenantId
from tenants.key_providers import KeyProvider
from tenants.quotas import Quota
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
    opener: EntryOpener
    labeller: Labeller
    hit_journal: HitJournal
    high_water: HighWater
    log_storage: LogStorage
    gateway_signer: Signer
    erasures: Erasures
    proof_files: ProofFiles
    applicability: ApplicabilityService
    applicability_files: ApplicabilityFiles
    missing_proofs: MissingProofs
    export_jobs: ExportJobs
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


@dataclass(frozen=True, slots=True)
class Admitted:
    """A caller who acts for a tenant, counted against that tenant's rate."""

    caller: Caller
    tenant: TenantId
    context: TenantContext

    @property
    def quota(self) -> Quota:
        """What the tenant may use."""
        return self.context.quota


async def admit(request: Request, scope: Scope) -> Admitted:
    """Authenticate the caller of *request* for *scope* and count the request; raises `RateLimited` and the like."""
    return await admit_any(request, (scope,))


async def admit_any(request: Request, scopes: Sequence[Scope]) -> Admitted:
    """Do as `admit` does for a caller who has any of *scopes*."""
    caller = await state_of(request).authenticator.caller(request.headers.getlist("authorization"))
    caller.require(next((scope for scope in scopes if scope in caller.scopes), scopes[0]))
    tenant = tenant_of(caller)
    state = state_of(request)
    context = await state.tenants.get(tenant)
    await state.limits.count(tenant, context.quota)
    return Admitted(caller, tenant, context)
