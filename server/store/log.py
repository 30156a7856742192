"""The log's rows: the outbox that every writer appends to, and what only the holder of the lease may write.

Numbers (`seq`) become visible in the order of commits (`server.store.group_commit.take_turn`), so whoever reads the
outbox in order misses nothing. Every write of the sequencer names its token and fails with `LeaseLost` once somebody
else holds the lease.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, bindparam, func, insert, literal_column, select, update

from server.store.errors import LeaseLost, NotFound, StoreError
from server.store.log_records import CheckpointRow, Lease, StoredLeaf, UnbatchedHit
from server.store.scoped import Prepared
from server.store.tables import hits, log_checkpoints, log_lease, log_leaves, receipts
from tenants.identifiers import TenantId

PAGE_MAX: Final = 100_000
LEASE: Final = "sequencer"

_LEAF: Final = tuple(log_leaves.c[name] for name in StoredLeaf.__dataclass_fields__)
_CHECKPOINT: Final = tuple(log_checkpoints.c[name] for name in CheckpointRow.__dataclass_fields__)
_IS_UNSEQUENCED: Final = log_leaves.c.leaf_index.is_(None)
_APPEND: Final = Prepared(
    insert(log_leaves)
    .values(
        **{name: bindparam(name) for name in ("kind", "tenant_id", "leaf", "body", "at_ms")},
        leaf_index=literal_column("NULL"),
    )
    .returning(log_leaves.c.seq)
)
_NEXT: Final = (
    select(
        log_leaves.c.seq,
        (func.row_number().over(order_by=log_leaves.c.seq) - 1 + bindparam("head", type_=BigInteger)).label("place"),
    )
    .where(_IS_UNSEQUENCED)
    .order_by(log_leaves.c.seq)
    .limit(bindparam("at_most"))
    .subquery("next")
)
_ASSIGN: Final = update(log_leaves).where(log_leaves.c.seq == _NEXT.c.seq).values(leaf_index=_NEXT.c.place)
_PUT_INTO_BATCH: Final = Prepared(
    update(hits)
    .where(hits.c.tenant_id == bindparam("of_tenant"), hits.c.id == bindparam("of_hit"), hits.c.batch_seq.is_(None))
    .values(batch_seq=bindparam("to_batch"), position=bindparam("to_position"))
)


class LogRepository:
    """The log's rows, of all tenants; a tenant's own receipts are read through `server.store.receipts`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def append(self, leaf: bytes, *, kind: int, tenant: TenantId | None, body: bytes | None, at_ms: int) -> int:
        """Put a leaf into the outbox, in the transaction of what it speaks of; return its number."""
        values = {"kind": kind, "tenant_id": tenant, "leaf": leaf, "body": body, "at_ms": at_ms}
        cursor = _APPEND.run(self._connection, values)
        seq = int(cursor.fetchone()[0])
        cursor.close()
        return seq

    def load_unsequenced(self, limit: int) -> list[StoredLeaf]:
        """Return the next leaves without an index, in order."""
        statement = select(*_LEAF).where(_IS_UNSEQUENCED).order_by(log_leaves.c.seq).limit(min(limit, PAGE_MAX))
        return [read_leaf(row) for row in self._connection.execute(statement)]

    def count_unsequenced(self) -> tuple[int, int | None]:
        """Return how many leaves wait for an index, and since when (ms) the first of them does."""
        row = self._connection.execute(select(func.count(), func.min(log_leaves.c.at_ms)).where(_IS_UNSEQUENCED)).one()
        return int(row[0]), None if row[1] is None else int(row[1])

    def assign(self, token: int, *, limit: int) -> int:
        """Give the next leaves, at most *limit*, their indexes from the head on; return how many those were.

        Raises `LeaseLost` for an old *token*, and `StoreError` where a leaf would come behind one that was written later.
        """
        self.require_lease(token)
        head = self.head()
        first = self._connection.execute(select(func.min(log_leaves.c.seq)).where(_IS_UNSEQUENCED)).scalar_one()
        if first is None:
            return 0
        if first <= self.get_through_seq(head):
            raise StoreError(f"leaf number {first} has no index, but later ones have")
        return int(self._connection.execute(_ASSIGN, {"head": head, "at_most": limit}).rowcount)

    def head(self) -> int:
        """Return how many leaves have an index: the size of the tree."""
        statement = select(func.coalesce(func.max(log_leaves.c.leaf_index) + 1, 0))
        return int(self._connection.execute(statement).scalar_one())

    def get_through_seq(self, size: int) -> int:
        """Return the number of the last of the first *size* leaves, 0 for none; raises `NotFound` behind the head."""
        if size == 0:
            return 0
        statement = select(log_leaves.c.seq).where(log_leaves.c.leaf_index == size - 1)
        found = self._connection.execute(statement).scalar_one_or_none()
        if found is None:
            raise NotFound(f"the log has no leaf {size - 1}")
        return int(found)

    def load_leaves(self, from_index: int, to_index: int) -> list[bytes]:
        """Return the leaves of the tree from *from_index* to before *to_index*, at most `PAGE_MAX`."""
        statement = (
            select(log_leaves.c.leaf)
            .where(log_leaves.c.leaf_index >= from_index, log_leaves.c.leaf_index < to_index)
            .order_by(log_leaves.c.leaf_index)
            .limit(PAGE_MAX)
        )
        return [bytes(row[0]) for row in self._connection.execute(statement)]

    def load_sequenced(self, from_index: int, limit: int) -> list[StoredLeaf]:
        """Return whole rows of the tree from *from_index* on, in order."""
        statement = (
            select(*_LEAF)
            .where(log_leaves.c.leaf_index >= from_index)
            .order_by(log_leaves.c.leaf_index)
            .limit(min(limit, PAGE_MAX))
        )
        return [read_leaf(row) for row in self._connection.execute(statement)]

    def load_statement_digests(self, seqs: Sequence[int]) -> dict[int, bytes]:
        """Return the statement digests of the receipts whose leaves have numbers among *seqs*, at most `PAGE_MAX`."""
        if not seqs:
            return {}
        statement = select(receipts.c.seq, receipts.c.statement_digest).where(
            receipts.c.seq >= min(seqs), receipts.c.seq <= max(seqs)
        )
        return {row[0]: bytes(row[1]) for row in self._connection.execute(statement.limit(PAGE_MAX))}

    def get_leaf(self, seq: int) -> StoredLeaf | None:
        """Return one leaf by its number."""
        row = self._connection.execute(select(*_LEAF).where(log_leaves.c.seq == seq)).first()
        return None if row is None else read_leaf(row)

    def load_own(self, kinds: Sequence[int], *, after_index: int, limit: int) -> list[StoredLeaf]:
        """Return sequenced leaves of *kinds* that belong to no tenant, behind *after_index*, in order."""
        statement = (
            select(*_LEAF)
            .where(
                log_leaves.c.kind.in_(kinds), log_leaves.c.tenant_id.is_(None), log_leaves.c.leaf_index > after_index
            )
            .order_by(log_leaves.c.leaf_index)
            .limit(min(limit, PAGE_MAX))
        )
        return [read_leaf(row) for row in self._connection.execute(statement)]

    def load_unbatched(self, limit: int) -> list[UnbatchedHit]:
        """Return hits that wait for a batch, tenant by tenant."""
        statement = (
            select(*(hits.c[name] for name in UnbatchedHit.__dataclass_fields__))
            .where(hits.c.batch_seq.is_(None))
            .order_by(hits.c.tenant_id, hits.c.id)
            .limit(min(limit, PAGE_MAX))
        )
        return [UnbatchedHit(TenantId(row[0]), row[1], bytes(row[2])) for row in self._connection.execute(statement)]

    def put_into_batch(self, token: int, tenant: TenantId, batch_seq: int, in_order: Sequence[str]) -> None:
        """Note which batch the hits *in_order* are in; raises `LeaseLost`, and `StoreError` where one has a batch."""
        self.require_lease(token)
        rows = [
            {"of_tenant": tenant, "of_hit": hit, "to_batch": batch_seq, "to_position": position}
            for position, hit in enumerate(in_order)
        ]
        _PUT_INTO_BATCH.run_many(self._connection, rows)
        counted = select(func.count()).where(hits.c.batch_seq == batch_seq)
        if self._connection.execute(counted).scalar_one() != len(rows):
            raise StoreError("a hit is not there any more or has its batch already")

    def add_checkpoint(self, token: int, row: CheckpointRow) -> None:
        """Store a checkpoint; raises `LeaseLost`, and `StoreError` where a larger or a different one is there."""
        self.require_lease(token)
        newest = self.latest_checkpoint()
        if newest is not None and (newest.size >= row.size or newest.signed_at_ms > row.signed_at_ms):
            raise StoreError(f"a checkpoint over {newest.size} leaves is there already")
        values = {name: getattr(row, name) for name in CheckpointRow.__dataclass_fields__}
        self._connection.execute(insert(log_checkpoints), values)

    def set_cosigned(self, token: int, size: int, *, note: str, witnesses: int) -> None:
        """Replace the note over *size* leaves by the same with cosignatures; raises `LeaseLost`, `NotFound`."""
        self.require_lease(token)
        statement = update(log_checkpoints).where(log_checkpoints.c.size == size)
        if self._connection.execute(statement.values(note=note, witnesses=witnesses)).rowcount != 1:
            raise NotFound(f"there is no checkpoint over {size} leaves")

    def latest_checkpoint(self, *, witnesses_min: int = 0) -> CheckpointRow | None:
        """Return the largest checkpoint that at least *witnesses_min* witnesses cosigned."""
        statement = select(*_CHECKPOINT).order_by(log_checkpoints.c.size.desc()).limit(1)
        if witnesses_min > 0:
            statement = statement.where(log_checkpoints.c.witnesses >= witnesses_min)
        row = self._connection.execute(statement).first()
        return None if row is None else _checkpoint(row)

    def checkpoint_at(self, size: int) -> CheckpointRow | None:
        """Return the checkpoint over exactly *size* leaves."""
        row = self._connection.execute(select(*_CHECKPOINT).where(log_checkpoints.c.size == size)).first()
        return None if row is None else _checkpoint(row)

    def checkpoint_up_to(self, size: int) -> CheckpointRow | None:
        """Return the largest checkpoint over at most *size* leaves."""
        statement = select(*_CHECKPOINT).where(log_checkpoints.c.size <= size)
        row = self._connection.execute(statement.order_by(log_checkpoints.c.size.desc()).limit(1)).first()
        return None if row is None else _checkpoint(row)

    def list_checkpoints(self, *, after_size: int, limit: int) -> list[CheckpointRow]:
        """Return checkpoints over more than *after_size* leaves, smallest first."""
        statement = (
            select(*_CHECKPOINT)
            .where(log_checkpoints.c.size > after_size)
            .order_by(log_checkpoints.c.size)
            .limit(min(limit, PAGE_MAX))
        )
        return [_checkpoint(row) for row in self._connection.execute(statement)]

    def sample_checkpoints(self, *, below_size: int, count: int) -> list[CheckpointRow]:
        """Return at most *count* checkpoints over fewer than *below_size* leaves, spread over them, smallest first."""
        sizes = self._connection.execute(
            select(log_checkpoints.c.size)
            .where(log_checkpoints.c.size < below_size)
            .order_by(log_checkpoints.c.size.desc())
            .limit(PAGE_MAX)
        ).scalars()
        found = sorted(sizes)
        chosen = {found[place * len(found) // count] for place in range(count)} if found else set()
        statement = select(*_CHECKPOINT).where(log_checkpoints.c.size.in_(sorted(chosen)))
        return [_checkpoint(row) for row in self._connection.execute(statement.order_by(log_checkpoints.c.size))]

    def take_lease(self, holder: str, *, now_ms: int, lasts_ms: int) -> Lease | None:
        """Take the lease if nobody holds it; None while somebody else does. A new holder gets a new token."""
        found = self.get_lease()
        until = now_ms + lasts_ms
        if found is None:
            lease = Lease(LEASE, holder, 1, until)
            values = {name: getattr(lease, name) for name in Lease.__dataclass_fields__}
            self._connection.execute(insert(log_lease), values)
            return lease
        if found.is_held(now_ms, lasts_ms=lasts_ms) and found.holder != holder:
            return None
        lease = Lease(LEASE, holder, found.token + 1, until)
        self._connection.execute(
            update(log_lease)
            .where(log_lease.c.name == LEASE, log_lease.c.token == found.token)
            .values(holder=holder, token=lease.token, expires_at_ms=until)
        )
        return lease

    def renew_lease(self, token: int, *, now_ms: int, lasts_ms: int) -> None:
        """Keep the lease longer; raises `LeaseLost`."""
        self.require_lease(token)
        self._connection.execute(update(log_lease).values(expires_at_ms=now_ms + lasts_ms))

    def release_lease(self, token: int) -> None:
        """Give the lease back, so that another may take it at once; nothing happens where it is lost already."""
        self._connection.execute(update(log_lease).where(log_lease.c.token == token).values(expires_at_ms=0))

    def get_lease(self) -> Lease | None:
        """Return who holds the lease, or held it last."""
        columns = [log_lease.c[name] for name in Lease.__dataclass_fields__]
        row = self._connection.execute(select(*columns).where(log_lease.c.name == LEASE)).first()
        return None if row is None else Lease(*row)

    def require_lease(self, token: int) -> None:
        """Raise `LeaseLost` unless *token* is the newest: then nobody else has held the lease since."""
        found = self.get_lease()
        if found is None or found.token != token:
            raise LeaseLost("another process writes the log now")


def read_leaf(row: Any) -> StoredLeaf:
    """Return a row whose columns are the fields of `StoredLeaf`, with bytes as bytes."""
    body = None if row[4] is None else bytes(row[4])
    return StoredLeaf(row[0], row[1], row[2], bytes(row[3]), body, row[5], row[6])


def _checkpoint(row: Any) -> CheckpointRow:
    return CheckpointRow(row[0], row[1], bytes(row[2]), row[3], row[4], row[5])
