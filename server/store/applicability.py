"""Proofs of one tenant that a reused answer was close enough, each with its leaf of the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import and_, bindparam, func, literal_column, or_

from server.store.log_records import (
    NewApplicability,
    NewWellFormedness,
    StoredApplicability,
    StoredHit,
    StoredWellFormedness,
)
from server.store.receipts import IDS_MAX, PAGE_MAX, read_hit
from server.store.scoped import Prepared, TenantRepository, scoped_delete, scoped_insert, scoped_select
from server.store.tables import applicability, hits, log_leaves, well_formedness

_LEAF: Final = (log_leaves.c.leaf, log_leaves.c.body, log_leaves.c.leaf_index)
_FIELDS: Final = tuple(NewApplicability.__dataclass_fields__)
_PROOF: Final = scoped_select(applicability, *(applicability.c[name] for name in _FIELDS), *_LEAF).join_from(
    applicability, log_leaves, log_leaves.c.seq == applicability.c.seq
)
_ADD: Final = Prepared(scoped_insert(applicability).values(**{name: bindparam(name) for name in _FIELDS}))
_FORMED_FIELDS: Final = tuple(NewWellFormedness.__dataclass_fields__)
_FORMED: Final = scoped_select(
    well_formedness, *(well_formedness.c[name] for name in _FORMED_FIELDS), *_LEAF
).join_from(well_formedness, log_leaves, log_leaves.c.seq == well_formedness.c.seq)
_ADD_FORMED: Final = Prepared(
    scoped_insert(well_formedness).values(**{name: bindparam(name) for name in _FORMED_FIELDS})
)
#: That a query vector is kept stands here as in the partial index `ix_hits_with_query_vector`.
_UNPROVED: Final = (
    scoped_select(hits, *(hits.c[name] for name in StoredHit.__dataclass_fields__))
    .outerjoin_from(
        hits,
        applicability,
        and_(applicability.c.hit_id == hits.c.id, applicability.c.tenant_id == hits.c.tenant_id),
    )
    .where(
        hits.c.query_vector.is_not(None),
        hits.c.tier == literal_column("'private'"),
        applicability.c.hit_id.is_(None),
    )
    .order_by(hits.c.at_ms, hits.c.id)
)


class ApplicabilityRepository(TenantRepository):
    """The proofs of one tenant: of hits, and of the commitments that they go by."""

    def get(self, hit: str) -> StoredApplicability | None:
        """Return the proof of one hit of this tenant."""
        row = self._run(_PROOF.where(applicability.c.hit_id == bindparam("hit")), {"hit": hit}).first()
        return None if row is None else _proof(row)

    def get_well_formedness(self, evidence_id: str) -> StoredWellFormedness | None:
        """Return the well-formedness proof of the commitment in one embedding statement of this tenant."""
        statement = _FORMED.where(well_formedness.c.evidence_id == bindparam("evidence"))
        row = self._run(statement, {"evidence": evidence_id}).first()
        return None if row is None else _formed(row)

    def add(self, proof: NewApplicability) -> None:
        """Store a hit's proof behind its leaf; `Conflict` if the hit has one."""
        self._do(_ADD, {name: getattr(proof, name) for name in _FIELDS})

    def add_well_formedness(self, proof: NewWellFormedness) -> None:
        """Store a well-formedness proof behind its leaf; `Conflict` if the statement has one."""
        self._do(_ADD_FORMED, {name: getattr(proof, name) for name in _FORMED_FIELDS})

    def count_since(self, evidence_id: str, since_ms: int) -> int:
        """Count the proofs made from *since_ms* on under the commitment of one embedding statement."""
        statement = scoped_select(applicability, func.count()).where(
            applicability.c.evidence_id == bindparam("evidence"), applicability.c.created_at_ms >= bindparam("since")
        )
        return int(self._run(statement, {"evidence": evidence_id, "since": since_ms}).scalar_one())

    def list_of_hits(self, ids: Sequence[str]) -> list[StoredApplicability]:
        """Return the proofs of at most `IDS_MAX` hits, in the order of the log's outbox."""
        statement = _PROOF.where(applicability.c.hit_id.in_(ids[:IDS_MAX])).order_by(applicability.c.seq)
        return [_proof(row) for row in self._run(statement)]

    def list_well_formedness(self, evidence_ids: Sequence[str]) -> list[StoredWellFormedness]:
        """Return the well-formedness proofs of at most `IDS_MAX` embedding statements, in the outbox's order."""
        wanted = well_formedness.c.evidence_id.in_(evidence_ids[:IDS_MAX])
        return [_formed(row) for row in self._run(_FORMED.where(wanted).order_by(well_formedness.c.seq))]

    def list_unproved(self, after: tuple[int, str] | None, limit: int) -> list[StoredHit]:
        """Return hits of the private tier behind *after* (time, id) whose query vector is kept and that have no proof."""
        statement = _UNPROVED
        if after is not None:
            at_ms, name = after
            statement = statement.where(or_(hits.c.at_ms > at_ms, and_(hits.c.at_ms == at_ms, hits.c.id > name)))
        return [read_hit(row) for row in self._run(statement.limit(min(limit, PAGE_MAX)))]

    def erase(self) -> None:
        """Delete every proof of this tenant; the leaves stay."""
        for table in (applicability, well_formedness):
            self._run(scoped_delete(table))


def _proof(row: Any) -> StoredApplicability:
    return StoredApplicability(row[0], row[1], row[2], bytes(row[3]), row[4], bytes(row[5]), _bytes(row[6]), row[7])


def _formed(row: Any) -> StoredWellFormedness:
    return StoredWellFormedness(row[0], row[1], bytes(row[2]), row[3], bytes(row[4]), _bytes(row[5]), row[6])


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
