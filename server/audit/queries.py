"""The query vectors of hits in a bundle: opened for an auditor who may see them, and what a hit of the pool matched."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crypto.applicability_lines import MatchLine, QueryLine
from crypto.bundle_lines import encode_line
from crypto.commitment import hit_salt, query_vector_commitment
from server.applicability.pool_match import make_match
from server.applicability.subjects import components
from server.audit.keys import ExportKeys
from server.audit.request import QUERY_KIND, ExportRequest
from server.audit.selection import POOL_TIER, SelectedHit, Selection
from server.audit.weight import Weight
from server.reuse.query_vectors import unseal_query_vector
from server.store.database import Database
from tenants.errors import TenantError
from tenants.identifiers import TenantId
from tenants.sealing import sealed_epoch


class Queries:
    """Opens the query vectors of one tenant's hits."""

    def __init__(self, database: Database, tenant: TenantId, keys: ExportKeys, weight: Weight) -> None:
        self._database = database
        self._tenant = tenant
        self._keys = keys
        self._weight = weight

    def open(self, selection: Selection, request: ExportRequest) -> tuple[QueryLine, ...]:
        """Return the lines that open the queries of opened receipts' hits, by hit, if those were asked for.

        A query that is not kept any more stays closed. Raises `ExportError` for more than a bundle takes.
        """
        if QUERY_KIND not in request.kinds:
            return ()
        lines = []
        for hit in _hits_of(selection):
            found = self._read(hit) if request.opens(hit.row.receipt_id) else None
            if found is not None:
                line = QueryLine(hit.row.id, found[0], components(found[1]))
                self._weight.add(encode_line(line.to_json()))
                lines.append(line)
        return tuple(sorted(lines, key=lambda line: line.hit))

    def matches(self, selection: Selection, request: ExportRequest) -> tuple[MatchLine, ...]:
        """Return what the pool's hits matched, by hit, where their queries were to be opened and the pool still has it.

        A match is public to the pool, and tells what its hit's question was about. Raises `ExportError` for more than a
        bundle takes.
        """
        context = None if self._keys.pool is None else self._keys.pool.context
        if context is None or QUERY_KIND not in request.kinds:
            return ()
        lines = []
        for hit in _hits_of(selection):
            if hit.row.tier != POOL_TIER or not request.opens(hit.row.receipt_id):
                continue
            receipt, found = selection.receipts[hit.row.receipt_id], self._read(hit)
            query = None if found is None else np.frombuffer(found[1], np.int8)
            match = self._database.read_now(
                lambda c, record=hit.record, receipt=receipt, query=query: make_match(
                    c, context, record, receipt, query
                )  # type: ignore[misc]
            )
            if match is not None:
                line = MatchLine(hit.row.id, match.to_json())
                self._weight.add(encode_line(line.to_json()))
                lines.append(line)
        return tuple(sorted(lines, key=lambda line: line.hit))

    def _read(self, hit: SelectedHit) -> tuple[bytes, bytes] | None:
        """Return salt and vector that open the query of *hit*; None where it is not kept, or is not what was logged."""
        salt_key, sealed = self._keys.hit_salt_key, hit.row.query_vector
        if salt_key is None or sealed is None:
            return None
        try:
            key = self._keys.key_of_epoch(sealed_epoch(sealed))
            vector = unseal_query_vector(sealed, key=key, tenant=self._tenant, hit=hit.row.id)
        except TenantError:
            return None  # what does not open stays closed
        salt = hit_salt(salt_key, hit.row.id, QUERY_KIND)
        return (salt, vector) if query_vector_commitment(salt, vector) == hit.record.query_vector else None


def _hits_of(selection: Selection) -> Iterator[SelectedHit]:
    return (hit for group in selection.hits.values() for hit in group)
