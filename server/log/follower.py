"""A copy of the tiles on a machine that does not write the log: made from the database, up to what was signed."""

from __future__ import annotations

from crypto.checkpoint import Checkpoint
from crypto.note import VerifierKey
from server.log.errors import LogRefusal
from server.log.history import extend_tree, open_tree
from server.log.state import save_state
from server.log.storage import CHECKPOINT, LogStorage
from server.log.transactions import Transactions
from server.log.tree import TileTree
from server.store.log import LogRepository


class TileFollower:
    """Brings this machine's tiles up to the newest checkpoint, so that it can prove and serve without asking another."""

    def __init__(self, transactions: Transactions, storage: LogStorage, log_key: VerifierKey) -> None:
        self._transactions = transactions
        self._storage = storage
        self._log_key = log_key
        self._tree: TileTree | None = None

    def forget(self) -> None:
        """Start from the disk next time: somebody else in this process has written there."""
        self._tree = None

    def step(self) -> int:
        """Catch up; return the size. Raises `LogRefusal` for leaves that are not those that were signed, and `OSError`."""
        try:
            return self._catch_up()
        except BaseException:
            self._tree = None
            raise

    def _catch_up(self) -> int:
        newest = self._transactions.read(lambda connection: LogRepository(connection).latest_checkpoint())
        if newest is None:
            return 0
        if self._tree is None:
            self._tree = open_tree(self._transactions, self._storage, self._log_key)
        tree = self._tree
        if tree.size < newest.size:
            extend_tree(self._transactions, tree, newest.size)
            tree.verify()
            if tree.root() != newest.root:
                raise LogRefusal(
                    f"the leaves in the database do not make the tree of {newest.size} leaves that was signed",
                    reason="history_differs",
                )
        save_state(self._storage, Checkpoint(self._log_key.name, tree.size, tree.root()))
        if self._storage.read(CHECKPOINT) != newest.note.encode():
            self._storage.write({CHECKPOINT: newest.note.encode()})
        return tree.size
