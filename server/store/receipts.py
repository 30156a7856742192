"""Receipts, hits and evidence of one tenant, each with its leaf of the log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import bindparam, func, literal_column, or_

from server.store.log import read_leaf
from server.store.log_records import (
    NewEvidence,
    NewHit,
    NewReceipt,
    StoredEvidence,
    StoredHit,
    StoredLeaf,
    StoredReceipt,
)
from server.store.scoped import Prepared, TenantRepository, scoped_insert, scoped_select, scoped_update
from server.store.tables import evidence, hits, log_leaves, receipts
from tenants.identifiers import EntryId

PAGE_MAX: Final = 10_000
#: How many ids one statement asks for; SQLite and PostgreSQL both take more.
IDS_MAX: Final = 1000

_LEAF: Final = (log_leaves.c.leaf, log_leaves.c.body, log_leaves.c.leaf_index)
_RECEIPT_FIELDS: Final = tuple(NewReceipt.__dataclass_fields__)
_RECEIPT: Final = scoped_select(receipts, *(receipts.c[name] for name in _RECEIPT_FIELDS), *_LEAF).join_from(
    receipts, log_leaves, log_leaves.c.seq == receipts.c.seq
)
_ADD_RECEIPT: Final = Prepared(scoped_insert(receipts).values(**{name: bindparam(name) for name in _RECEIPT_FIELDS}))
_GET_RECEIPT: Final = Prepared(_RECEIPT.where(receipts.c.id == bindparam("receipt")))
_HIT_FIELDS: Final = tuple(NewHit.__dataclass_fields__)
_HIT: Final = scoped_select(hits, *(hits.c[name] for name in StoredHit.__dataclass_fields__))
_ADD_HIT: Final = Prepared(scoped_insert(hits).values(**{name: bindparam(name) for name in _HIT_FIELDS}))
#: The tier stands in the statement itself: an index over some rows serves only a statement that says which.
_OF_POOL: Final = (
    scoped_select(hits, hits.c.id)
    .where(hits.c.tier == literal_column("'pool'"), hits.c.receipt_id == bindparam("receipt"))
    .limit(1)
)
_EVIDENCE_FIELDS: Final = tuple(NewEvidence.__dataclass_fields__)
_EVIDENCE: Final = scoped_select(evidence, *(evidence.c[name] for name in _EVIDENCE_FIELDS), *_LEAF).join_from(
    evidence, log_leaves, log_leaves.c.seq == evidence.c.seq
)
_ADD_EVIDENCE: Final = Prepared(scoped_insert(evidence).values(**{name: bindparam(name) for name in _EVIDENCE_FIELDS}))


class ReceiptRepository(TenantRepository):
    """The receipts of one tenant."""

    def add(self, receipt: NewReceipt) -> None:
        """Store a receipt behind its leaf; `Conflict` if it is there already."""
        self._do(_ADD_RECEIPT, {name: getattr(receipt, name) for name in _RECEIPT_FIELDS})

    def get(self, receipt: str) -> StoredReceipt | None:
        """Return one receipt of this tenant with its leaf."""
        row = self._one(_GET_RECEIPT, {"receipt": receipt})
        return None if row is None else _receipt(row)

    def get_many(self, ids: Sequence[str]) -> list[StoredReceipt]:
        """Return those of at most `IDS_MAX` receipts that this tenant has, in no order."""
        return [_receipt(row) for row in self._run(_RECEIPT.where(receipts.c.id.in_(ids[:IDS_MAX])))]

    def list_of_entry(self, entry: EntryId) -> list[StoredReceipt]:
        """Return the receipts of one entry, oldest first."""
        statement = _RECEIPT.where(receipts.c.entry_id == entry).order_by(receipts.c.issued_at_ms, receipts.c.id)
        return [_receipt(row) for row in self._run(statement.limit(PAGE_MAX))]

    def list_page(
        self,
        *,
        since_ms: int | None,
        until_ms: int | None,
        model_version: str | None,
        after: tuple[int, str] | None,
        limit: int,
    ) -> list[StoredReceipt]:
        """Return receipts issued in [since, until), of one model version or of all, behind *after* (time, id)."""
        statement = _between(_RECEIPT, receipts.c.issued_at_ms, receipts.c.id, since_ms, until_ms, after)
        if model_version is not None:
            statement = statement.where(receipts.c.model_version == model_version)
        return [_receipt(row) for row in self._run(statement.limit(min(limit, PAGE_MAX)))]

    def count(self) -> int:
        """Count this tenant's receipts."""
        return int(self._run(scoped_select(receipts, func.count()).select_from(receipts)).scalar_one())


class HitRepository(TenantRepository):
    """The hits of one tenant."""

    def add_many(self, found: Iterable[NewHit]) -> None:
        """Store hits; the sequencer puts them into a batch."""
        self._do_many(_ADD_HIT, [{name: getattr(hit, name) for name in _HIT_FIELDS} for hit in found])

    def get(self, hit: str) -> StoredHit | None:
        """Return one hit of this tenant."""
        row = self._run(_HIT.where(hits.c.id == bindparam("hit")), {"hit": hit}).first()
        return None if row is None else read_hit(row)

    def has_of_pool(self, receipt: str) -> bool:
        """Return whether the pool's *receipt* answered this tenant."""
        return self._run(_OF_POOL, {"receipt": receipt}).first() is not None

    def list_batch(self, batch_seq: int) -> list[StoredHit]:
        """Return every hit of one batch, by position."""
        statement = _HIT.where(hits.c.batch_seq == batch_seq).order_by(hits.c.position)
        return [read_hit(row) for row in self._run(statement.limit(PAGE_MAX))]

    def list_page(
        self, *, since_ms: int | None, until_ms: int | None, after: tuple[int, str] | None, limit: int
    ) -> list[StoredHit]:
        """Return hits answered in [since, until), behind *after* (time, id), batched or not."""
        statement = _between(_HIT, hits.c.at_ms, hits.c.id, since_ms, until_ms, after)
        return [read_hit(row) for row in self._run(statement.limit(min(limit, PAGE_MAX)))]

    def last_unlogged_ms(self, *, through_seq: int, before_ms: int) -> int | None:
        """Return when the last hit until *before_ms* was answered whose batch is not among the leaves to *through_seq*."""
        statement = scoped_select(hits, func.max(hits.c.at_ms)).where(
            hits.c.at_ms <= before_ms, or_(hits.c.batch_seq.is_(None), hits.c.batch_seq > through_seq)
        )
        found = self._run(statement).scalar_one()
        return None if found is None else int(found)

    def count(self) -> int:
        """Count this tenant's hits."""
        return int(self._run(scoped_select(hits, func.count()).select_from(hits)).scalar_one())


class TenantLeafRepository(TenantRepository):
    """The leaves that speak of one tenant: its receipts, batches, policies, evidence and erasures."""

    def list_of_kinds(self, kinds: Sequence[int], *, after_index: int, limit: int) -> list[StoredLeaf]:
        """Return sequenced leaves of *kinds* behind *after_index*, in order."""
        columns = (log_leaves.c[name] for name in StoredLeaf.__dataclass_fields__)
        statement = (
            scoped_select(log_leaves, *columns)
            .where(log_leaves.c.kind.in_(kinds), log_leaves.c.leaf_index > after_index)
            .order_by(log_leaves.c.leaf_index)
            .limit(min(limit, PAGE_MAX))
        )
        return [read_leaf(row) for row in self._run(statement)]

    def erase(self) -> int:
        """Forget whose these leaves are and what stood behind them; the leaves stay, so the tree does. Return how many.

        Runs last: afterwards no row says that they were this tenant's.
        """
        return int(self._run(scoped_update(log_leaves).values(body=None, tenant_id=None)).rowcount)


class EvidenceRepository(TenantRepository):
    """The evidence of one tenant."""

    def add(self, found: NewEvidence) -> None:
        """Store evidence behind its leaf; `Conflict` if it is there already."""
        self._do(_ADD_EVIDENCE, {name: getattr(found, name) for name in _EVIDENCE_FIELDS})

    def get(self, name: str) -> StoredEvidence | None:
        """Return one piece of evidence of this tenant."""
        row = self._run(_EVIDENCE.where(evidence.c.id == bindparam("evidence")), {"evidence": name}).first()
        return None if row is None else _evidence(row)

    def list_of_receipts(self, ids: Sequence[str]) -> list[StoredEvidence]:
        """Return the evidence of at most `IDS_MAX` receipts, oldest first."""
        statement = _EVIDENCE.where(evidence.c.receipt_id.in_(ids[:IDS_MAX])).order_by(evidence.c.seq)
        return [_evidence(row) for row in self._run(statement.limit(PAGE_MAX))]

    def erase_openings(self) -> int:
        """Forget every opening of this tenant; return how many there were."""
        statement = scoped_update(evidence).where(evidence.c.opening.is_not(None)).values(opening=None)
        return int(self._run(statement).rowcount)


def _between(
    statement: Any, time: Any, name: Any, since_ms: int | None, until_ms: int | None, after: tuple[int, str] | None
) -> Any:
    if since_ms is not None:
        statement = statement.where(time >= since_ms)
    if until_ms is not None:
        statement = statement.where(time < until_ms)
    if after is not None:
        statement = statement.where(or_(time > after[0], (time == after[0]) & (name > after[1])))
    return statement.order_by(time, name)


def _receipt(row: Any) -> StoredReceipt:
    return StoredReceipt(
        row[0], row[1], bytes(row[2]), row[3], row[4], row[5], row[6], row[7], bytes(row[8]), _bytes(row[9]), row[10]
    )


def read_hit(row: Any) -> StoredHit:
    """Return the columns of a `StoredHit`, in their order, as one."""
    return StoredHit(row[0], row[1], row[2], row[3], bytes(row[4]), row[5], row[6], _bytes(row[7]))


def _evidence(row: Any) -> StoredEvidence:
    return StoredEvidence(row[0], row[1], row[2], row[3], _bytes(row[4]), row[5], bytes(row[6]), _bytes(row[7]), row[8])


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
