"""Before anything is signed: does the database still hold the history that was signed and written down before?

Three memories are held against its leaves: the state on this machine's disk, the checkpoint published there, and the
checkpoints in the database itself. One root per size, or nothing is signed any more. Tiles are derived: where they lack,
they are made anew from the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import Connection

from crypto.checkpoint import Checkpoint, verify_checkpoint
from crypto.errors import VerificationError
from crypto.merkle import leaf_hash
from crypto.note import VerifierKey
from server.log.errors import LogDamaged, LogRefusal
from server.log.state import load_state
from server.log.storage import CHECKPOINT, LogStorage
from server.log.tiles import TILE_WIDTH, TileReader
from server.log.transactions import Transactions
from server.log.tree import CompactRange, TileTree
from server.store.log import LogRepository
from server.store.log_records import CheckpointRow

log = structlog.get_logger()

PAGE_LEAVES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Known:
    """A tree that somebody remembers, and who."""

    size: int
    root: bytes
    source: str


@dataclass(frozen=True, slots=True)
class _Facts:
    head: int
    latest: CheckpointRow | None
    before: CheckpointRow | None


def open_tree(transactions: Transactions, storage: LogStorage, log_key: VerifierKey) -> TileTree:
    """Return the tree that is on disk, once the database's leaves were found to make every root that is remembered.

    Raises `LogRefusal` where they do not: a database that was restored from a backup, or another history.
    """
    state = load_state(storage)
    facts = transactions.read(lambda connection: _read_facts(connection, 0 if state is None else state.size))
    known = _known(storage, log_key, state, facts)
    for one in known:
        if one.size > facts.head:
            raise LogRefusal(
                f"{one.source} knows {one.size} leaves, and the database has {facts.head}: it was restored from an older "
                "backup. Restore a newer one; without it this log can never be continued, only a new one begun",
                reason="database_older",
            )
    tree = _load(storage, state)
    if tree is not None:
        try:
            _compare_with_tiles(transactions, storage, tree.size, known, facts.before)
        except LogDamaged as damage:
            log.warning("log_tiles_damaged", what=str(damage))
            tree = None
    start = CompactRange() if tree is None else CompactRange(tree.size, TileReader(storage, tree.size).node)
    _compare_with_leaves(transactions, start, [one for one in known if one.size > start.size])
    if tree is None:
        tree = TileTree(storage)
        extend_tree(transactions, tree, max((one.size for one in known), default=0))
    return tree


def extend_tree(transactions: Transactions, tree: TileTree, size: int) -> None:
    """Write the tiles of the database's leaves up to *size*, in bounded steps. Raises `LogDamaged`, `OSError`."""
    for leaves in _pages(transactions, tree.size, size):
        tree.extend(leaves)


def _read_facts(connection: Connection, size: int) -> _Facts:
    repository = LogRepository(connection)
    return _Facts(repository.head(), repository.latest_checkpoint(), repository.checkpoint_up_to(size))


def _known(storage: LogStorage, log_key: VerifierKey, state: Checkpoint | None, facts: _Facts) -> list[Known]:
    found = []
    if state is not None:
        if state.origin != log_key.name:
            raise LogRefusal(
                f"this log folder belongs to the log {state.origin}, and the database to {log_key.name}; "
                "start with the folder of this log, or an empty one",
                reason="other_log",
            )
        found.append(Known(state.size, state.root, "this machine's log state"))
    published = storage.read(CHECKPOINT)
    if published is not None:
        try:
            checkpoint = verify_checkpoint(published.decode(), log_key).checkpoint
        except (VerificationError, UnicodeDecodeError) as error:
            raise LogRefusal(
                f"the published checkpoint is damaged ({error}); restore it, or remove the file to have it written anew",
                reason="checkpoint_damaged",
            ) from None
        found.append(Known(checkpoint.size, checkpoint.root, "the published checkpoint"))
    for row in (facts.before, facts.latest):
        if row is not None:
            _verify_row(row, log_key)
            found.append(Known(row.size, row.root, "a checkpoint in the database"))
    return sorted(set(found), key=lambda one: one.size)


def _verify_row(row: CheckpointRow, log_key: VerifierKey) -> None:
    try:
        checkpoint = verify_checkpoint(row.note, log_key).checkpoint
    except VerificationError as error:
        raise LogRefusal(
            f"the checkpoint over {row.size} leaves in the database: {error}", reason="database_damaged"
        ) from None
    if (checkpoint.size, checkpoint.root) != (row.size, row.root):
        raise LogRefusal(
            f"the checkpoint over {row.size} leaves in the database is not what was signed", reason="database_damaged"
        )


def _load(storage: LogStorage, state: Checkpoint | None) -> TileTree | None:
    """Return the tree of the state, None where the tiles do not make it: then they are rebuilt."""
    if state is None:
        return None
    try:
        tree = TileTree.load(storage, state.size)
    except LogDamaged as damage:
        log.warning("log_tiles_damaged", what=str(damage))
        return None
    if tree.root() == state.root:
        return tree
    log.warning("log_tiles_damaged", what="the tiles do not make the root in the state")
    return None


def _compare_with_tiles(
    transactions: Transactions, storage: LogStorage, size: int, known: list[Known], before: CheckpointRow | None
) -> None:
    """Hold what is known up to *size* against the tiles, and the leaves behind the last checkpoint against both."""
    for one in known:
        if one.size <= size and TileReader(storage, one.size).root() != one.root:
            raise _other_history(one)
    reader, place = TileReader(storage, size), 0 if before is None else before.size
    for leaves in _pages(transactions, place, size):
        for leaf in leaves:
            if reader.node(0, place) != leaf_hash(leaf):
                raise LogRefusal(
                    f"leaf {place} in the database is not the one that was written down; restore the database",
                    reason="history_differs",
                )
            place += 1


def _compare_with_leaves(transactions: Transactions, start: CompactRange, known: list[Known]) -> None:
    """Add the database's leaves up and hold the root against what is known at each size on the way."""
    for one in known:
        for leaves in _pages(transactions, start.size, one.size):
            start.extend(leaf_hash(leaf) for leaf in leaves)
        if start.root() != one.root:
            raise _other_history(one)


def _pages(transactions: Transactions, start: int, end: int) -> Iterator[list[bytes]]:
    """Yield the leaves from *start* to before *end*, cut where tiles end."""
    while start < end:
        until = min(end, (start + PAGE_LEAVES) // TILE_WIDTH * TILE_WIDTH)
        leaves = transactions.read(_loader(start, until))
        if len(leaves) != until - start:
            raise LogRefusal(
                f"the database lacks leaves between {start} and {until}; restore it", reason="database_damaged"
            )
        yield leaves
        start = until


def _loader(start: int, until: int) -> Callable[[Connection], list[bytes]]:
    return lambda connection: LogRepository(connection).load_leaves(start, until)


def _other_history(one: Known) -> LogRefusal:
    return LogRefusal(
        f"{one.source} has another root over {one.size} leaves than the database: one of them holds another history. "
        "Restore the database that the checkpoint was signed from",
        reason="history_differs",
    )
