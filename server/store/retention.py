"""Take out of the store what was kept long enough to prove a tenant's answers; the leaves of the log stay."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, func, select

from server.store.scoped import TenantRepository, scoped_delete, scoped_select, scoped_update
from server.store.tables import (
    applicability,
    entries,
    evidence,
    hits,
    log_leaves,
    receipts,
    status_lists,
    well_formedness,
)

#: Hits that are looked at to find old batches: more than one batch holds.
HITS_MAX = 10_000


class ProofRetention(TenantRepository):
    """The old proofs of one tenant."""

    def list_old_batches(self, *, before_ms: int) -> list[int]:
        """Return batches, by their leaves' numbers, all of whose hits were answered before *before_ms*; not all at once.

        A batch goes whole or not at all: its root is over every hit in it.
        """
        old = (
            scoped_select(hits, hits.c.batch_seq)
            .where(hits.c.at_ms < bindparam("before"), hits.c.batch_seq.is_not(None))
            .order_by(hits.c.at_ms)
            .limit(HITS_MAX)
        )
        statement = (
            scoped_select(hits, hits.c.batch_seq)
            .where(hits.c.batch_seq.in_(old))
            .group_by(hits.c.batch_seq)
            .having(func.max(hits.c.at_ms) < bindparam("before"))
        )
        return [int(row[0]) for row in self._run(statement, {"before": before_ms})]

    def delete_batch(self, batch_seq: int) -> int:
        """Delete the hits of a batch with their proofs, and forget what its leaf and theirs stand for.

        Returns how many hits those were.
        """
        of_batch = applicability.c.hit_id.in_(scoped_select(hits, hits.c.id).where(hits.c.batch_seq == batch_seq))
        self._delete_proofs(of_batch)
        gone = int(self._run(scoped_delete(hits).where(hits.c.batch_seq == batch_seq)).rowcount)
        self._forget_bodies([batch_seq])
        return gone

    def oldest_query_vector_ms(self) -> int | None:
        """Return when the oldest hit was answered whose query vector is kept; None where none is."""
        statement = scoped_select(hits, hits.c.at_ms).where(hits.c.query_vector.is_not(None))
        found = self._run(statement.order_by(hits.c.at_ms).limit(1)).scalar()
        return None if found is None else int(found)

    def forget_query_vectors(self, *, before_ms: int, limit: int) -> int:
        """Forget the query vectors of at most *limit* hits answered before *before_ms*; return how many those were.

        Their proofs go with them: guesses of a query could be tested with its proof.
        """
        old = (
            scoped_select(hits, hits.c.id)
            .where(hits.c.query_vector.is_not(None), hits.c.at_ms < bindparam("before"))
            .order_by(hits.c.at_ms)
            .limit(limit)
        )
        ids = list(self._run(old, {"before": before_ms}).scalars())
        if not ids:
            return 0
        self._delete_proofs(applicability.c.hit_id.in_(ids))
        return int(self._run(scoped_update(hits).where(hits.c.id.in_(ids)).values(query_vector=None)).rowcount)

    def list_old_receipts(self, *, before_ms: int, after: tuple[int, str], limit: int) -> list[tuple[int, str]]:
        """Return (time, id) of receipts issued before *before_ms*, behind *after*, that no entry refers to any more."""
        statement = (
            scoped_select(receipts, receipts.c.issued_at_ms, receipts.c.id)
            .where(
                receipts.c.issued_at_ms < bindparam("before"),
                (receipts.c.issued_at_ms > after[0])
                | ((receipts.c.issued_at_ms == after[0]) & (receipts.c.id > after[1])),
                ~self._has_entry(),
            )
            .order_by(receipts.c.issued_at_ms, receipts.c.id)
            .limit(limit)
        )
        return [(int(row[0]), str(row[1])) for row in self._run(statement, {"before": before_ms})]

    def list_hit_on(self, ids: Sequence[str]) -> set[str]:
        """Return those receipts that a hit which is still kept refers to."""
        statement = scoped_select(hits, hits.c.receipt_id).where(hits.c.receipt_id.in_(ids)).distinct()
        return {str(row[0]) for row in self._run(statement)}

    def list_hit_on_by_anybody(self, ids: Sequence[str]) -> set[str]:
        """Return those receipts that a kept hit of any tenant refers to: asked of the pool's, which answer everybody."""
        statement = select(hits.c.receipt_id).where(hits.c.tier == "pool", hits.c.receipt_id.in_(ids)).distinct()
        return {str(row[0]) for row in self._connection.execute(statement)}

    def delete_receipts(self, ids: Sequence[str]) -> int:
        """Delete receipts with their evidence and what proves of it, unless an entry refers to one; return how many."""
        free = scoped_select(receipts, receipts.c.id, receipts.c.seq).where(receipts.c.id.in_(ids), ~self._has_entry())
        found = {str(row[0]): int(row[1]) for row in self._run(free)}
        of_these = scoped_select(evidence, evidence.c.id, evidence.c.seq).where(_is_of(found))
        stated = {str(row[0]): int(row[1]) for row in self._run(of_these)}
        formed = well_formedness.c.evidence_id.in_(list(stated))
        proofs = self._run(scoped_select(well_formedness, well_formedness.c.seq).where(formed)).scalars().all()
        self._run(scoped_delete(well_formedness).where(formed))
        self._run(scoped_delete(evidence).where(_is_of(found)))
        self._run(scoped_delete(receipts).where(receipts.c.id.in_(list(found))))
        self._forget_bodies([*found.values(), *stated.values(), *proofs])
        return len(found)

    def _delete_proofs(self, which: ColumnElement[bool]) -> None:
        """Delete proofs of hits, and forget what their leaves stand for."""
        proofs = self._run(scoped_select(applicability, applicability.c.seq).where(which)).scalars().all()
        self._run(scoped_delete(applicability).where(which))
        self._forget_bodies(proofs)

    def _has_entry(self) -> ColumnElement[bool]:
        return exists().where(
            entries.c.tenant_id == receipts.c.tenant_id,
            entries.c.id == receipts.c.entry_id,
            entries.c.receipt_id == receipts.c.id,
        )

    def _forget_bodies(self, seqs: Sequence[int]) -> None:
        self._run(scoped_update(log_leaves).where(log_leaves.c.seq.in_(seqs)).values(body=None))


def _is_of(found: dict[str, int]) -> ColumnElement[bool]:
    return evidence.c.receipt_id.in_(list(found))


def trim_status_lists(connection: Connection, *, before_ms: int) -> int:
    """Delete status lists said before *before_ms*, but never the newest; return how many those were."""
    newest = select(func.max(status_lists.c.seq)).scalar_subquery()
    old = delete(status_lists).where(status_lists.c.at_ms < before_ms, status_lists.c.seq < newest)
    return connection.execute(old).rowcount
