"""The log's tree for proofs: from tiles where this process has them, else from the database."""

from __future__ import annotations

from typing import Final

from crypto.merkle import MemoryTree, NodeSource, leaf_hash
from server.audit.request import ExportUnavailable
from server.log.errors import LogDamaged
from server.log.storage import LogStorage
from server.log.tiles import TileReader
from server.store.database import Database
from server.store.log import LogRepository
from server.store.log_records import CheckpointRow

PAGE: Final = 50_000
#: Without tiles the whole tree is built in memory, 64 bytes a leaf.
LEAVES_IN_MEMORY_MAX: Final = 5_000_000


def open_tree(database: Database, storage: LogStorage, checkpoint: CheckpointRow) -> NodeSource:
    """Return the nodes of the tree under *checkpoint*; raises `ExportUnavailable` where neither source gives its root."""
    reader = TileReader(storage, checkpoint.size)
    try:
        if reader.root() == checkpoint.root:
            return reader.node
    except (LogDamaged, OSError):
        pass
    tree = _build(database, checkpoint.size)
    if tree.size != checkpoint.size or tree.root() != checkpoint.root:
        raise ExportUnavailable("the stored leaves do not make the tree that was signed; `hitproof log fsck` says more")
    return tree.node


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
