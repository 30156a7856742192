"""Which rows an export is about: hits and receipts in scope, the receipts that those hits refer to, and their evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from crypto.hit import HitRecord, parse_hit_record
from server.audit.request import ExportError, ExportRequest
from server.audit.weight import Weight
from server.store.database import Database
from server.store.log import LogRepository
from server.store.log_records import StoredEvidence, StoredHit, StoredLeaf, StoredReceipt
from server.store.receipts import EvidenceRepository, HitRepository, ReceiptRepository
from tenants.identifiers import TenantId

PAGE: Final = 1_000
#: A larger bundle would be beyond what a verifier takes; exports of a shorter time are the way.
ROWS_MAX: Final = 500_000
#: The tier of hits whose receipts are the pool's.
POOL_TIER: Final = "pool"


@dataclass(frozen=True, slots=True)
class SelectedHit:
    """A logged hit with its record and the leaf of its batch."""

    row: StoredHit
    record: HitRecord


@dataclass(frozen=True, slots=True)
class Selection:
    """Everything in scope that stands in the first *size* leaves, and how the hits lie in their batches.

    *of_pool* are the receipts that are the pool's: those that answered a hit in scope.
    """

    receipts: dict[str, StoredReceipt]
    of_pool: frozenset[str]
    hits: dict[int, list[SelectedHit]]
    batches: dict[int, StoredLeaf]
    evidence: list[StoredEvidence]


class Selector:
    """Reads one tenant's rows, and of the *pool*'s those that answered it."""

    def __init__(
        self,
        database: Database,
        tenant: TenantId,
        request: ExportRequest,
        weight: Weight,
        *,
        size: int,
        pool: TenantId | None = None,
    ) -> None:
        self._database = database
        self._tenant = tenant
        self._pool = pool
        self._request = request
        self._weight = weight
        self._size = size

    def select(self, on_read: Callable[[int], None]) -> Selection:
        """Read all that is in scope; *on_read* hears after each page how many rows that were.

        Raises `ExportError` where that is more than one bundle holds.
        """
        receipts = {row.id: row for page in self._receipts(on_read) for row in page if self._is_logged(row)}
        of_pool: dict[str, StoredReceipt] = {}
        hits: dict[int, list[SelectedHit]] = {}
        batches: dict[int, StoredLeaf] = {}
        for page in self._hits(on_read):
            self._add_missing(receipts, self._tenant, [row for row in page if row.tier != POOL_TIER])
            self._add_missing(of_pool, self._pool, [row for row in page if row.tier == POOL_TIER])
            for row in page:
                receipt = (of_pool if row.tier == POOL_TIER else receipts).get(row.receipt_id)
                if receipt is None or row.batch_seq is None or not self._is_of_model(receipt):
                    continue
                if self._batch(row.batch_seq, batches) is not None:
                    hits.setdefault(row.batch_seq, []).append(SelectedHit(row, parse_hit_record(row.record)))
        hit_on = {hit.row.receipt_id for group in hits.values() for hit in group}
        kept = {name: row for name, row in receipts.items() if name in hit_on or self._is_in_scope(row)}
        answered = {name: row for name, row in of_pool.items() if name in hit_on}
        evidence = self._evidence(self._tenant, sorted(kept)) + self._evidence(self._pool, sorted(answered))
        return Selection({**kept, **answered}, frozenset(answered), hits, batches, evidence)

    def _receipts(self, on_read: Callable[[int], None]) -> Iterator[list[StoredReceipt]]:
        request, after, total = self._request, None, 0
        while True:

            def load(connection: Connection, after: tuple[int, str] | None = after) -> list[StoredReceipt]:
                return ReceiptRepository(connection, self._tenant).list_page(
                    since_ms=request.since_ms,
                    until_ms=request.until_ms,
                    model_version=request.model_version,
                    after=after,
                    limit=PAGE,
                )

            page = self._database.read_now(load)
            if not page:
                return
            total = _bounded(total + len(page))
            for row in page:
                self._weight.add(row.body, leaves=1)
            on_read(len(page))
            yield page
            after = (page[-1].issued_at_ms, page[-1].id)

    def _hits(self, on_read: Callable[[int], None]) -> Iterator[list[StoredHit]]:
        request, after, total = self._request, None, 0
        while True:

            def load(connection: Connection, after: tuple[int, str] | None = after) -> list[StoredHit]:
                return HitRepository(connection, self._tenant).list_page(
                    since_ms=request.since_ms, until_ms=request.until_ms, after=after, limit=PAGE
                )

            page = self._database.read_now(load)
            if not page:
                return
            total = _bounded(total + len(page))
            for row in page:
                self._weight.add(row.record)
            on_read(len(page))
            yield page
            after = (page[-1].at_ms, page[-1].id)

    def _add_missing(self, receipts: dict[str, StoredReceipt], owner: TenantId | None, page: list[StoredHit]) -> None:
        """Read the *owner*'s receipts that hits of *page* refer to and that were not read for the scope's time."""
        missing = sorted({row.receipt_id for row in page} - receipts.keys())
        if owner is None or not missing:
            return
        found = self._database.read_now(lambda c: ReceiptRepository(c, owner).get_many(missing))
        for row in found:
            self._weight.add(row.body, leaves=1)
        receipts.update({row.id: row for row in found if self._is_logged(row)})

    def _batch(self, seq: int, batches: dict[int, StoredLeaf]) -> StoredLeaf | None:
        """Return the leaf of a batch that stands within the checkpoint, reading each once."""
        if seq not in batches:
            leaf = self._database.read_now(lambda connection: LogRepository(connection).get_leaf(seq))
            if leaf is None or leaf.leaf_index is None or leaf.leaf_index >= self._size or leaf.body is None:
                return None
            self._weight.add(leaf.body, leaves=1)
            batches[seq] = leaf
        return batches[seq]

    def _evidence(self, owner: TenantId | None, receipts: list[str]) -> list[StoredEvidence]:
        found: list[StoredEvidence] = []
        if owner is None:
            return found
        for start in range(0, len(receipts), PAGE):
            ids = receipts[start : start + PAGE]
            page = self._database.read_now(
                lambda connection, ids=ids: EvidenceRepository(connection, owner).list_of_receipts(ids)  # type: ignore[misc]
            )
            for row in page:
                self._weight.add(row.body, leaves=1)
            found += page
        return [row for row in found if row.body is not None and self._is_within(row.leaf_index)]

    def _is_logged(self, row: StoredReceipt) -> bool:
        return row.body is not None and self._is_within(row.leaf_index)

    def _is_within(self, leaf_index: int | None) -> bool:
        return leaf_index is not None and leaf_index < self._size

    def _is_of_model(self, row: StoredReceipt) -> bool:
        return self._request.model_version in (None, row.model_version)

    def _is_in_scope(self, row: StoredReceipt) -> bool:
        since_ms, until_ms = self._request.since_ms, self._request.until_ms
        in_time = (since_ms is None or since_ms <= row.issued_at_ms) and (
            until_ms is None or row.issued_at_ms < until_ms
        )
        return in_time and self._is_of_model(row)


def _bounded(total: int) -> int:
    if total > ROWS_MAX:
        raise ExportError(f"more than {ROWS_MAX} rows are in scope; export a shorter time")
    return total
