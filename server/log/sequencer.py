"""The one writer of the log: indexes, tiles, state, signature, in this order and never another.

    batch hits → give leaves their indexes (commit) → tiles (sync) → read back and compare → state (sync)
    → sign → checkpoint row (commit) → checkpoint file (sync) → witnesses → row and file once more

A crash between any two of them is made good by the next run: what is behind is derived from what is before. Every commit
names the lease's token. Nothing is signed that is not on the disk, and no size is ever signed over two roots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from crypto.checkpoint import Checkpoint, append_cosignature, sign_checkpoint
from crypto.ed25519 import Signer
from crypto.merkle import NodeSource
from crypto.note import VerifierKey
from server.log.batching import HITS_MAX, log_batches, make_batches
from server.log.history import extend_tree, open_tree
from server.log.state import save_state
from server.log.status import restate_status
from server.log.storage import CHECKPOINT, LogStorage
from server.log.tiles import TileReader
from server.log.transactions import Transactions
from server.log.tree import TileTree
from server.log.witnesses import Witnesses
from server.ports import Clock, RandomSource
from server.store.errors import LeaseLost
from server.store.log import LogRepository
from server.store.log_records import CheckpointRow, Lease, UnbatchedHit
from server.store.status import StatusRepository

#: After a crash nobody writes the log for so long; a process that lives renews at half of it.
LEASE_LASTS_MS: Final = 6_000


@dataclass(frozen=True, slots=True)
class SequencerLimits:
    """How much is done at once, and how often the status list is said again (0: never)."""

    batch_max: int = 10_000
    status_interval_ms: int = 3_600_000


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did: whether this process leads, the signed size, and whether there is more to do at once."""

    leads: bool
    size: int = 0
    has_more: bool = False
    witnesses: int = 0
    oldest_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a step finds before it begins."""

    waiting: list[UnbatchedHit]
    listed_at_ms: int | None
    head: int


class Sequencer:
    """Writes the log while it holds the lease; not for the event loop. After an error it starts from the disk again."""

    def __init__(
        self,
        transactions: Transactions,
        storage: LogStorage,
        *,
        signer: Signer,
        log_key: VerifierKey,
        witnesses: Witnesses,
        clock: Clock,
        random: RandomSource,
        holder: str,
        limits: SequencerLimits,
    ) -> None:
        self._transactions = transactions
        self._storage = storage
        self._signer = signer
        self._log_key = log_key
        self._witnesses = witnesses
        self._clock = clock
        self._random = random
        self._holder = holder
        self._limits = limits
        self._lease: Lease | None = None
        self._tree: TileTree | None = None

    def step(self) -> Step:
        """Do what is to be done now, a bounded part of it.

        Raises `LogRefusal`, after which nothing may be signed before a person has looked, and `StoreError`, `OSError`
        or `LogDamaged`, after which the next step starts from the disk again.
        """
        try:
            lease = self._hold_lease()
            if lease is None:
                self._tree = None
                return Step(leads=False)
            return self._lead(lease.token)
        except LeaseLost:
            self._lease = self._tree = None
            return Step(leads=False)
        except BaseException:
            self._tree = None
            raise

    def release(self) -> None:
        """Let another process take over at once."""
        lease, self._lease, self._tree = self._lease, None, None
        if lease is not None:
            self._transactions.write(lambda connection: LogRepository(connection).release_lease(lease.token))

    def _lead(self, token: int) -> Step:
        if self._tree is None:
            self._tree = open_tree(self._transactions, self._storage, self._log_key)
            # A witness that is ahead of us has seen what we have lost: ask before anything else is signed.
            self._cosign(token)
        tree, seen = self._tree, self._transactions.read(_look)
        self._batch_hits(seen, token)
        self._restate_status(seen, token)
        assigned = self._assign(token)
        extend_tree(self._transactions, tree, seen.head + assigned)
        oldest_ms = self._sign(tree, token)
        witnesses = self._cosign(token)
        has_more = assigned >= self._limits.batch_max or len(seen.waiting) >= HITS_MAX
        return Step(leads=True, size=tree.size, has_more=has_more, witnesses=witnesses, oldest_ms=oldest_ms)

    def _hold_lease(self) -> Lease | None:
        now_ms, held = self._clock.now_ms(), self._lease
        if held is not None and LEASE_LASTS_MS // 2 <= held.expires_at_ms - now_ms <= LEASE_LASTS_MS:
            return held
        if held is not None:
            self._transactions.write(
                lambda found: LogRepository(found).renew_lease(held.token, now_ms=now_ms, lasts_ms=LEASE_LASTS_MS)
            )
            self._lease = Lease(held.name, held.holder, held.token, now_ms + LEASE_LASTS_MS)
            return self._lease
        other = self._transactions.read(lambda connection: LogRepository(connection).get_lease())
        if other is not None and other.holder != self._holder and other.is_held(now_ms, lasts_ms=LEASE_LASTS_MS):
            return None
        self._lease = self._transactions.write(
            lambda found: LogRepository(found).take_lease(self._holder, now_ms=now_ms, lasts_ms=LEASE_LASTS_MS)
        )
        return self._lease

    def _batch_hits(self, seen: _Seen, token: int) -> None:
        if seen.waiting:
            batches = make_batches(seen.waiting, at_ms=self._clock.now_ms(), random=self._random)
            self._transactions.write(lambda connection: log_batches(connection, batches, token))

    def _restate_status(self, seen: _Seen, token: int) -> None:
        """Say the status list again where the last one is old: an auditor asks how fresh it is."""
        now_ms, interval_ms = self._clock.now_ms(), self._limits.status_interval_ms
        if not interval_ms or (seen.listed_at_ms is not None and now_ms < seen.listed_at_ms + interval_ms):
            return

        def restate(connection: Connection) -> None:
            LogRepository(connection).require_lease(token)
            restate_status(connection, now_ms=now_ms, random=self._random)

        self._transactions.write(restate)

    def _assign(self, token: int) -> int:
        pending = self._transactions.read(lambda connection: LogRepository(connection).load_unsequenced(1))
        if not pending:
            return 0
        limit = self._limits.batch_max
        return self._transactions.write(lambda connection: LogRepository(connection).assign(token, limit=limit))

    def _sign(self, tree: TileTree, token: int) -> int | None:
        """Sign the tree unless that was done; return since when (ms) its first new leaf had waited."""
        if tree.size == 0:
            return None
        newest, through_seq, oldest_ms = self._transactions.read(_facts_at(tree.size))
        state = Checkpoint(self._log_key.name, tree.size, tree.root())
        if newest is not None and newest.size == tree.size:
            save_state(self._storage, state)
            self._publish(newest)
            return None
        tree.verify()
        save_state(self._storage, state)
        self._transactions.read(lambda connection: LogRepository(connection).require_lease(token))
        note = sign_checkpoint(state, self._signer)
        # The time of a checkpoint never goes back, whatever the clock does.
        at_ms = max(self._clock.now_ms(), 0 if newest is None else newest.signed_at_ms)
        row = CheckpointRow(state.size, through_seq, state.root, note, 0, at_ms)
        self._transactions.write(lambda connection: LogRepository(connection).add_checkpoint(token, row))
        self._publish(row)
        return oldest_ms

    def _publish(self, row: CheckpointRow) -> None:
        if self._storage.read(CHECKPOINT) != row.note.encode():
            self._storage.write({CHECKPOINT: row.note.encode()})

    def _cosign(self, token: int) -> int:
        """Bring the newest checkpoint to the witnesses that have not cosigned it; return how many have."""
        newest = self._transactions.read(lambda connection: LogRepository(connection).latest_checkpoint())
        if newest is None:
            return 0
        lines = self._witnesses.cosign(newest.note, self._nodes_of(newest.size))
        if not lines:
            return newest.witnesses
        note = newest.note
        for line in lines:
            note = append_cosignature(note, line)
        count = self._witnesses.count(note)
        self._transactions.write(
            lambda found: LogRepository(found).set_cosigned(token, newest.size, note=note, witnesses=count)
        )
        self._storage.write({CHECKPOINT: note.encode()})
        return count

    def _nodes_of(self, size: int) -> NodeSource:
        return TileReader(self._storage, size).node


def _look(connection: Connection) -> _Seen:
    repository = LogRepository(connection)
    listed = StatusRepository(connection).latest()
    return _Seen(repository.load_unbatched(HITS_MAX), None if listed is None else listed.at_ms, repository.head())


def _facts_at(size: int) -> Callable[[Connection], tuple[CheckpointRow | None, int, int | None]]:
    """Return what reads the newest checkpoint, the number of leaf *size*, and the time of the first one behind it."""

    def read(connection: Connection) -> tuple[CheckpointRow | None, int, int | None]:
        repository = LogRepository(connection)
        newest = repository.latest_checkpoint()
        first = repository.load_sequenced(0 if newest is None else newest.size, 1)
        return newest, repository.get_through_seq(size), first[0].at_ms if first else None

    return read
