"""The proofs of a bundle's hits by meaning whose queries are opened in it, with the well-formedness that each rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import Final

import structlog

from crypto.applicability.documents import read_document
from crypto.applicability_lines import ProofLine
from crypto.canonical import parse_canonical_json
from server.applicability.sealed_documents import unseal_document
from server.audit.keys import KeyOfEpoch
from server.audit.selection import Selection
from server.audit.weight import Weight
from server.store.applicability import ApplicabilityRepository
from server.store.database import Database
from server.store.log_records import StoredApplicability, StoredWellFormedness
from server.store.receipts import IDS_MAX
from tenants.errors import TenantError
from tenants.identifiers import TenantId
from tenants.sealing import sealed_epoch

log = structlog.get_logger()

PROVABLE_TIER: Final = "private"


@dataclass(frozen=True, slots=True)
class ProofSelection:
    """Documents of one bundle, each with its leaf within the checkpoint; *unproved* hits by meaning have none."""

    documents: tuple[StoredWellFormedness | StoredApplicability, ...] = ()
    unproved: int = 0

    def lines(self) -> tuple[ProofLine, ...]:
        """Return their lines, by index."""
        lines = [
            ProofLine(row.leaf_index, read_document(parse_canonical_json(row.document)))
            for row in self.documents
            if row.leaf_index is not None
        ]
        return tuple(sorted(lines, key=lambda line: line.index))


def select_proofs(
    database: Database,
    tenant: TenantId,
    key_of_epoch: KeyOfEpoch,
    selection: Selection,
    weight: Weight,
    *,
    size: int,
    opened: Set[str],
) -> ProofSelection:
    """Read the proofs of the *opened* hits, as far as all that they rest on is in *selection* and within *size* leaves.

    The proof of a hit whose query stays closed stays out: guesses of that query could be tested with it. Raises
    `ExportError` for more than a bundle takes.
    """
    hits = [hit.row.id for group in selection.hits.values() for hit in group if hit.row.tier == PROVABLE_TIER]
    stated = {row.id for row in selection.evidence}

    def is_whole(row: StoredApplicability | StoredWellFormedness) -> bool:
        is_logged = row.body is not None and row.leaf_index is not None and row.leaf_index < size
        return is_logged and row.evidence_id in stated

    proved = [
        row
        for ids in _chunks([hit for hit in hits if hit in opened])
        for row in database.read_now(lambda c, ids=ids: ApplicabilityRepository(c, tenant).list_of_hits(ids))  # type: ignore[misc]
        if is_whole(row)
    ]
    formed = {
        row.evidence_id: row
        for ids in _chunks(sorted({row.evidence_id for row in proved}))
        for row in database.read_now(lambda c, ids=ids: ApplicabilityRepository(c, tenant).list_well_formedness(ids))  # type: ignore[misc]
        if is_whole(row)
    }
    # A proof says nothing without its commitment's well-formedness, and stays out with it.
    proved = [
        whole for row in proved if row.evidence_id in formed and (whole := _open(row, tenant, key_of_epoch)) is not None
    ]
    documents: tuple[StoredWellFormedness | StoredApplicability, ...] = (*formed.values(), *proved)
    for row in documents:
        weight.add(row.document, leaves=1)
        weight.add(row.body)
    return ProofSelection(documents, len(hits) - len(proved))


def _open(row: StoredApplicability, tenant: TenantId, key_of_epoch: KeyOfEpoch) -> StoredApplicability | None:
    try:
        key = key_of_epoch(sealed_epoch(row.document))
        return replace(row, document=unseal_document(row.document, key=key, tenant=tenant, hit=row.hit_id))
    except TenantError as error:
        log.warning("proof_not_opened", hit=row.hit_id, error=type(error).__name__)
        return None  # what does not open stays closed


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + IDS_MAX] for start in range(0, len(ids), IDS_MAX))
