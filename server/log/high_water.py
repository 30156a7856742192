"""How far the log is, as one gateway last read it: what the state of a receipt comes from."""

from __future__ import annotations

from typing import Literal, TypeAlias

from sqlalchemy import Connection

from server.store.log import LogRepository
from server.store.log_records import CheckpointRow

ReceiptState: TypeAlias = Literal["pending", "included", "witnessed"]
#: The newest checkpoint, and the newest one that enough witnesses cosigned.
Found: TypeAlias = tuple[CheckpointRow | None, CheckpointRow | None]


class HighWater:
    """The newest checkpoint and the newest one that enough witnesses cosigned; it never goes back."""

    __slots__ = ("_quorum", "included_seq", "size", "witnessed_seq")

    def __init__(self, *, quorum: int) -> None:
        """Start at nothing; with a *quorum* of 0 nothing ever counts as witnessed."""
        self._quorum = quorum
        self.included_seq = 0
        self.witnessed_seq = 0
        self.size = 0

    def state_of(self, seq: int) -> ReceiptState:
        """Return the state of a receipt whose leaf has number *seq*."""
        if seq <= self.witnessed_seq:
            return "witnessed"
        return "included" if seq <= self.included_seq else "pending"

    def read(self, connection: Connection) -> Found:
        """Read the newest checkpoint and the newest witnessed one."""
        repository = LogRepository(connection)
        latest = repository.latest_checkpoint()
        if latest is None or self._quorum == 0:
            return latest, None
        return latest, repository.latest_checkpoint(witnesses_min=self._quorum)

    def update(self, found: Found) -> None:
        """Rise to what `read` found."""
        latest, witnessed = found
        if latest is not None:
            self.size = max(self.size, latest.size)
            self.included_seq = max(self.included_seq, latest.through_seq)
        if witnessed is not None:
            self.witnessed_seq = max(self.witnessed_seq, witnessed.through_seq)
