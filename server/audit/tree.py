"""The log's tree for proofs: from tiles where this process has them, else from the database."""

from __future__ import annotations

import time
from typing import Final

from crypto.checkpoint import parse_checkpoint
from crypto.errors import VerificationError
from crypto.merkle import MemoryTree, NodeSource, leaf_hash
from server.audit.request import ExportUnavailable
from server.log.errors import LogDamaged
from server.log.storage import CHECKPOINT, LogStorage
from server.log.tiles import TileReader
from server.store.database import Database
from server.store.log import LogRepository
from server.store.log_records import CheckpointRow

PAGE: Final = 50_000
#: A machine that follows the log has its tiles within a second or two of the checkpoint.
TILES_WAIT_S: Final = 5.0
POLL_S: Final = 0.1
#: Without tiles the whole tree is built in memory, 64 bytes a leaf.
LEAVES_IN_MEMORY_MAX: Final = 5_000_000


def open_tree(database: Database, storage: LogStorage, checkpoint: CheckpointRow) -> NodeSource:
    """Return the nodes of the tree under *checkpoint*; raises `ExportUnavailable` where neither source gives its root.

    Where this machine's tiles are behind, they are waited for a moment before the tree is made anew; not for a request.
    """
    for _ in range(round(TILES_WAIT_S / POLL_S)):
        tiles = open_tiles(storage, checkpoint)
        if tiles is not None or published_size(storage) >= checkpoint.size:
            break
        time.sleep(POLL_S)
    if tiles is not None:
        return tiles
    tree = _build(database, checkpoint.size)
    if tree.size != checkpoint.size or tree.root() != checkpoint.root:
        raise ExportUnavailable("the stored leaves do not make the tree that was signed; `hitproof log fsck` says more")
    return tree.node


def open_tiles(storage: LogStorage, checkpoint: CheckpointRow) -> NodeSource | None:
    """Return the nodes of the tree under *checkpoint* from this machine's tiles; None where they do not make its root."""
    reader = TileReader(storage, checkpoint.size)
    try:
        return reader.node if reader.root() == checkpoint.root else None
    except (LogDamaged, OSError):
        return None


def published_size(storage: LogStorage) -> int:
    """Return how many leaves this machine has tiles of, by the checkpoint that it publishes; 0 for none."""
    try:
        text = storage.read(CHECKPOINT)
        return 0 if text is None else parse_checkpoint(text.decode()).checkpoint.size
    except (OSError, UnicodeDecodeError, VerificationError):
        return 0


def _build(database: Database, size: int) -> MemoryTree:
    if size > LEAVES_IN_MEMORY_MAX:
        raise ExportUnavailable("this gateway has no tiles of so large a log; export where the sequencer runs")
    tree = MemoryTree()
    while tree.size < size:
        start, end = tree.size, min(size, tree.size + PAGE)
        page = database.read_now(lambda c, start=start, end=end: LogRepository(c).load_leaves(start, end))  # type: ignore[misc]
        if not page:
            break
        tree.extend([leaf_hash(leaf) for leaf in page])
    return tree
