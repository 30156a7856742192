"""The proof file of one receipt or one hit: `c2sp.org/tlog-proof@v1`, under the newest checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from crypto.merkle import MemoryTree, NodeSource, inclusion_proof, leaf_hash
from crypto.tlog_proof import HitProofExtra, ReceiptProofExtra, TlogProof, format_tlog_proof
from server.audit.lines import stored_object
from server.audit.request import ExportUnavailable
from server.audit.settling import newest_checkpoint
from server.audit.tree import open_tiles, published_size
from server.log.storage import LogStorage
from server.store.database import Database
from server.store.errors import NotFound
from server.store.log import LogRepository
from server.store.log_records import CheckpointRow, StoredEvidence, StoredHit, StoredLeaf, StoredReceipt
from server.store.platform import PlatformRepository
from server.store.pool_items import POOL_TENANT_META
from server.store.receipts import HitRepository, ReceiptRepository
from tenants.identifiers import TenantId


@dataclass(frozen=True, slots=True)
class Pending:
    """What was asked for is signed and durable, and not yet under a checkpoint; *receipt* is its receipt."""

    receipt: StoredReceipt


@dataclass(frozen=True, slots=True)
class Proved:
    """A finished proof file."""

    text: str
    receipt: StoredReceipt


@dataclass(frozen=True, slots=True)
class LoggedHit:
    """A hit whose batch has the leaf *index* under *checkpoint*, with what its proof file says of it."""

    receipt: StoredReceipt
    checkpoint: CheckpointRow
    tree: NodeSource
    index: int
    extra: HitProofExtra

    def path_of(self, leaf_index: int) -> tuple[bytes, ...]:
        """Return the path of a leaf under the same checkpoint."""
        return tuple(inclusion_proof(leaf_index, self.checkpoint.size, self.tree))

    def prove(self, extra: bytes) -> Proved:
        """Return the proof file of the batch's leaf that carries *extra*."""
        proof = TlogProof(self.index, self.path_of(self.index), self.checkpoint.note, extra)
        return Proved(format_tlog_proof(proof), self.receipt)


class ProofFiles:
    """Makes proof files of any tenant's receipts and hits."""

    def __init__(self, database: Database, storage: LogStorage, *, quorum: int) -> None:
        """Prefer checkpoints that *quorum* witnesses cosigned."""
        self._database = database
        self._storage = storage
        self._quorum = quorum

    def prove_receipt(self, tenant: TenantId, receipt: str) -> Pending | Proved:
        """Return the proof of a receipt of *tenant*, or of the pool's if it answered *tenant*; raises `NotFound`."""
        row = self._database.read_now(lambda c: _receipt_of(c, tenant, receipt))
        if row is None or row.body is None:
            raise NotFound("there is no such receipt")
        newest = self._newest(row.seq)
        if newest is None or row.leaf_index is None or row.leaf_index >= newest.size:
            return Pending(row)
        extra = ReceiptProofExtra(stored_object(row.body)).to_payload()
        path = inclusion_proof(row.leaf_index, newest.size, self._tree(newest))
        return Proved(format_tlog_proof(TlogProof(row.leaf_index, tuple(path), newest.note, extra)), row)

    def prove_hit(self, tenant: TenantId, hit: str) -> Pending | Proved:
        """Return the proof of a hit of *tenant*, and of its receipt under the same checkpoint; raises `NotFound`."""
        found = self.find_hit(tenant, hit)
        return found if isinstance(found, Pending) else found.prove(found.extra.to_payload())

    def find_hit(self, tenant: TenantId, hit: str, *, beside: StoredEvidence | None = None) -> Pending | LoggedHit:
        """Return a hit of *tenant* in the log, under one checkpoint with its receipt and the evidence *beside* it.

        Raises `NotFound`.
        """
        found = self._database.read_now(lambda c: HitRepository(c, tenant).get(hit))
        if found is None:
            raise NotFound("there is no such hit; one of a moment ago is written down within a second")
        receipt, batch = self._database.read_now(
            lambda c: (
                ReceiptRepository(c, _owner(c, tenant, found.tier)).get(found.receipt_id),
                None if found.batch_seq is None else LogRepository(c).get_leaf(found.batch_seq),
            )
        )
        if receipt is None or receipt.body is None:
            raise NotFound("the receipt of this hit is gone")
        newest = self._newest(max(found.batch_seq or 0, 0 if beside is None else beside.seq))
        if newest is None or batch is None or not _is_within(batch, newest) or receipt.leaf_index is None:
            return Pending(receipt)
        if beside is not None and not _is_within(beside, newest):
            return Pending(receipt)
        return self._logged(tenant, found, batch, receipt, newest)

    def _logged(
        self, tenant: TenantId, hit: StoredHit, batch: StoredLeaf, receipt: StoredReceipt, newest: CheckpointRow
    ) -> LoggedHit:
        whole = self._database.read_now(lambda c: HitRepository(c, tenant).list_batch(batch.seq))
        records = MemoryTree()
        records.extend([leaf_hash(one.record) for one in whole])
        tree, position = self._tree(newest), hit.position or 0
        receipt_index = receipt.leaf_index or 0
        extra = HitProofExtra(
            batch=stored_object(batch.body),
            envelope=stored_object(receipt.body),
            path=tuple(inclusion_proof(position, records.size, records.node)),
            position=position,
            receipt_index=receipt_index,
            receipt_path=tuple(inclusion_proof(receipt_index, newest.size, tree)),
            record=stored_object(hit.record),
        )
        return LoggedHit(receipt, newest, tree, batch.leaf_index or 0, extra)

    def _newest(self, seq: int) -> CheckpointRow | None:
        """Return the newest checkpoint that this machine has tiles for: no request has a whole tree made."""
        found = self._database.read_now(lambda c: newest_checkpoint(c, through_seq=seq, quorum=self._quorum))
        size = published_size(self._storage)
        if found is None or found.size <= size:
            return found
        return self._database.read_now(lambda c: LogRepository(c).checkpoint_at(size))

    def _tree(self, checkpoint: CheckpointRow) -> NodeSource:
        tiles = open_tiles(self._storage, checkpoint)
        if tiles is None:
            raise ExportUnavailable("this gateway's tiles are damaged; `hitproof log fsck` says where")
        return tiles


def _receipt_of(connection: Connection, tenant: TenantId, receipt: str) -> StoredReceipt | None:
    """Return a receipt of *tenant*, or one of the pool's that answered it."""
    found = ReceiptRepository(connection, tenant).get(receipt)
    if found is not None or not HitRepository(connection, tenant).has_of_pool(receipt):
        return found
    return ReceiptRepository(connection, _pool(connection)).get(receipt)


def _owner(connection: Connection, tenant: TenantId, tier: str) -> TenantId:
    """Return whose receipt stands behind a hit of *tenant*: the pool's in the tier `pool`, else its own."""
    return _pool(connection) if tier == "pool" else tenant


def _pool(connection: Connection) -> TenantId:
    pool = PlatformRepository(connection).get_meta(POOL_TENANT_META)
    if pool is None:
        raise NotFound("there is no pool any more")
    return TenantId(pool)


def _is_within(leaf: StoredLeaf | StoredEvidence, checkpoint: CheckpointRow) -> bool:
    return leaf.leaf_index is not None and leaf.leaf_index < checkpoint.size and leaf.body is not None
