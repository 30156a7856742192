"""What a bundle opens and proves of its hits: the proof of a hit goes only where that hit's query is opened."""

from __future__ import annotations

from dataclasses import dataclass

from crypto.applicability_lines import MatchLine, QueryLine
from server.audit.keys import ExportKeys
from server.audit.proof_selection import ProofSelection, select_proofs
from server.audit.queries import Queries
from server.audit.request import ExportRequest
from server.audit.selection import Selection
from server.audit.weight import Weight
from server.store.database import Database
from tenants.identifiers import TenantId


@dataclass(frozen=True, slots=True)
class AboutHits:
    """Opened queries, proofs of hits whose query is opened, and what hits of the pool matched."""

    queries: tuple[QueryLine, ...]
    matches: tuple[MatchLine, ...]
    proofs: ProofSelection


def select_about_hits(
    database: Database,
    tenant: TenantId,
    keys: ExportKeys,
    request: ExportRequest,
    selection: Selection,
    weight: Weight,
    *,
    size: int,
) -> AboutHits:
    """Open and prove what *request* asks for of the hits in *selection*, within *size* leaves.

    Raises `ExportError` for more than a bundle takes.
    """
    queries = Queries(database, tenant, keys, weight)
    opened = queries.open(selection, request)
    proofs = select_proofs(
        database,
        tenant,
        keys.key_of_epoch,
        selection,
        weight,
        size=size,
        opened=frozenset(line.hit for line in opened),
    )
    return AboutHits(opened, queries.matches(selection, request), proofs)
