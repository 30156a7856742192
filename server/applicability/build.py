"""Wire what makes applicability proofs: for whoever asks, for exports, and behind the answers."""

from __future__ import annotations

from dataclasses import dataclass

from server.applicability.background import BackgroundProofs
from server.applicability.limits import ProbingLimits
from server.applicability.missing import MissingProofs
from server.applicability.outcomes import StatesNow
from server.applicability.proof_store import ProofStore
from server.applicability.service import ApplicabilityService, Proves
from server.applicability.subjects import SubjectReader
from server.ports import Clock, RandomSource
from server.reuse.tenant_directory import TenantDirectory
from server.settings import Settings
from server.store.database import Database
from server.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class ApplicabilityParts:
    """The parts of one process."""

    service: ApplicabilityService
    missing: MissingProofs
    background: BackgroundProofs


def build_applicability(
    settings: Settings,
    telemetry: Telemetry,
    *,
    database: Database,
    tenants: TenantDirectory,
    prover: Proves,
    stater: StatesNow | None,
    clock: Clock,
    random: RandomSource,
) -> ApplicabilityParts:
    """Make the parts; none of them does anything yet."""
    service = ApplicabilityService(
        database,
        ProofStore(database, tenants, clock, random),
        SubjectReader(database, tenants),
        prover,
        ProbingLimits(
            clock,
            per_minute=settings.applicability_per_minute,
            per_entry_hour=settings.applicability_per_entry_hour,
        ),
        telemetry,
        clock,
        stater=stater,
        queue_max=settings.applicability_queue_max,
    )
    return ApplicabilityParts(
        service,
        MissingProofs(database, tenants, service, clock, proofs_max=settings.applicability_export_max),
        BackgroundProofs(database, tenants, service, clock, per_minute=settings.applicability_background_per_minute),
    )
