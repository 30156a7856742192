"""The proof file of a hit that also shows what makes it one: its proof, or what it matched in the pool."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np

from crypto.applicability.documents import read_document
from crypto.applicability_extra import QueryOpening, Shown, ShownMatch, ShownProof
from crypto.canonical import parse_canonical_json
from crypto.hit import parse_hit_record
from server.applicability.outcomes import PooledHit, ProvedHit, Unprovable
from server.applicability.pool_match import find_release, make_match
from server.applicability.subjects import Query, components
from server.audit.lines import stored_object
from server.audit.proof_files import LoggedHit, Pending, ProofFiles, Proved
from server.pool.principal import find_pool
from server.reuse.tenant_directory import TenantContext, TenantDirectory
from server.store.database import Database


class ApplicabilityFiles:
    """Makes them of any tenant's hits."""

    def __init__(self, database: Database, tenants: TenantDirectory, files: ProofFiles) -> None:
        self._database = database
        self._tenants = tenants
        self._files = files

    async def prove(
        self, tenant: TenantContext, outcome: ProvedHit | PooledHit, query: Query
    ) -> Pending | Proved | Unprovable:
        """Return the proof file of a hit of *tenant*, opened by *query*. Raises `NotFound`.

        Unprovable is a hit of the pool whose match cannot be shown any more.
        """
        beside = outcome.embedding if isinstance(outcome, ProvedHit) else None
        logged = await asyncio.to_thread(self._files.find_hit, tenant.id, outcome.hit.id, beside=beside)
        if isinstance(logged, Pending):
            return logged
        opened = QueryOpening(query.salt, components(query.vector))
        shown: Shown | None
        if isinstance(outcome, ProvedHit):
            shown = await asyncio.to_thread(_show_proof, outcome, logged, opened)
        else:
            shown = await self._show_match(outcome, logged, query, opened)
        if shown is None:
            return Unprovable("entry_gone")
        return logged.prove(replace(logged.extra, applicability=shown).to_payload())

    async def _show_match(
        self, outcome: PooledHit, logged: LoggedHit, query: Query, opened: QueryOpening
    ) -> ShownMatch | None:
        """Return what a hit of the pool matched, and in which release; None where the pool does not have it any more."""
        pool = await self._database.read(find_pool)
        if pool is None:
            return None
        context, record = await self._tenants.get(pool), parse_hit_record(outcome.hit.record)
        vector = np.frombuffer(query.vector, np.int8)
        match, release = await self._database.read(
            lambda c: (make_match(c, context, record, logged.receipt, vector), find_release(c, logged.receipt))
        )
        return None if match is None or release is None else ShownMatch(match.to_json(), release.to_json(), opened)


def _show_proof(outcome: ProvedHit, logged: LoggedHit, opened: QueryOpening) -> ShownProof:
    index = outcome.embedding.leaf_index or 0
    proof, formed = (
        read_document(parse_canonical_json(row.document)).proof for row in (outcome.proof, outcome.well_formedness)
    )
    return ShownProof(stored_object(outcome.embedding.body), index, logged.path_of(index), proof, formed, opened)
