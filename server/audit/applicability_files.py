"""The proof file of a hit that also shows what makes it one: `hitproof/applicability-proof/v1`."""

from __future__ import annotations

import asyncio

import numpy as np

from crypto.applicability.documents import read_document
from crypto.canonical import JsonValue, canonical_json, parse_canonical_json
from crypto.hit import parse_hit_record
from server.applicability.outcomes import PooledHit, ProvedHit, Unprovable
from server.applicability.pool_match import find_release, make_match
from server.applicability.subjects import Query, components
from server.audit.lines import stored_object
from server.audit.proof_files import LoggedHit, Pending, ProofFiles, Proved
from server.pool.principal import find_pool
from server.ports import JsonObject
from server.reuse.tenant_directory import TenantContext, TenantDirectory
from server.store.database import Database

SCHEMA = "hitproof/applicability-proof/v1"


class ApplicabilityFiles:
    """Makes them of any tenant's hits."""

    def __init__(self, database: Database, tenants: TenantDirectory, files: ProofFiles) -> None:
        self._database = database
        self._tenants = tenants
        self._files = files

    async def prove(
        self, tenant: TenantContext, outcome: ProvedHit | PooledHit, query: Query | None, *, is_opened: bool
    ) -> Pending | Proved | Unprovable:
        """Return the proof file of a hit of *tenant*; *query* stands in it where *is_opened*. Raises `NotFound`.

        Unprovable is a hit of the pool whose match cannot be shown any more.
        """
        beside = outcome.embedding if isinstance(outcome, ProvedHit) else None
        logged = await asyncio.to_thread(self._files.find_hit, tenant.id, outcome.hit.id, beside=beside)
        if isinstance(logged, Pending):
            return logged
        if isinstance(outcome, ProvedHit):
            shown = await asyncio.to_thread(_show_proof, outcome, logged)
        else:
            found = await self._show_match(outcome, logged, query)
            if isinstance(found, Unprovable):
                return found
            shown = found
        opened = _show_query(query) if query is not None and is_opened else None
        return logged.prove(_extra(logged, shown | {"query": opened}))

    async def _show_match(self, outcome: PooledHit, logged: LoggedHit, query: Query | None) -> JsonObject | Unprovable:
        pool = await self._database.read(find_pool)
        if pool is None:
            return Unprovable("entry_gone")
        context, record = await self._tenants.get(pool), parse_hit_record(outcome.hit.record)
        vector = None if query is None else np.frombuffer(query.vector, np.int8)
        match, release = await self._database.read(
            lambda c: (make_match(c, context, record, logged.receipt, vector), find_release(c, logged.receipt))
        )
        if match is None or release is None:
            return Unprovable("entry_gone")
        return {"match": match.to_json(), "release": release.to_json()}


def _show_proof(outcome: ProvedHit, logged: LoggedHit) -> JsonObject:
    index = outcome.embedding.leaf_index or 0
    proof, formed = (
        read_document(parse_canonical_json(row.document)).proof.hex()
        for row in (outcome.proof, outcome.well_formedness)
    )
    return {
        "embedding": stored_object(outcome.embedding.body),
        "embedding_index": index,
        "embedding_path": [node.hex() for node in logged.path_of(index)],
        "proof": proof,
        "well_formedness": formed,
    }


def _show_query(query: Query) -> JsonObject:
    return {"salt": query.salt.hex(), "vector": list(components(query.vector))}


def _extra(logged: LoggedHit, shown: JsonObject) -> bytes:
    value = parse_canonical_json(logged.extra.to_payload())
    if not isinstance(value, dict):
        raise ValueError("what a proof file carries is an object")
    whole: dict[str, JsonValue] = {**value, "applicability": shown, "schema": SCHEMA}
    return canonical_json(whole)  # type: ignore[arg-type]  # floats within are refused by canonical_json itself
