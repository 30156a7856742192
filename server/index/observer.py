"""What partitions report about themselves; telemetry implements it, tests listen to it."""

from __future__ import annotations

from typing import Protocol

from server.index.errors import NotReadyReason


class PartitionObserver(Protocol):
    """Called on the event loop; must be quick, must not raise, and is never told a tenant."""

    def searched(self, *, queries: int, rows: int, seconds: float) -> None:
        """One batch of queries was searched, in *seconds* of wall time."""
        ...

    def loaded(self, *, rows: int, seconds: float) -> None:
        """A partition became resident."""
        ...

    def load_failed(self, error: BaseException) -> None:
        """A partition could not be loaded; the next search tries again."""
        ...

    def not_ready(self, reason: NotReadyReason) -> None:
        """A search was told to treat its partition as a miss."""
        ...

    def evicted(self, *, size_bytes: int) -> None:
        """A partition was unloaded to keep the byte budget."""
        ...

    def write_failed(self, error: BaseException) -> None:
        """A write failed; its partition was unloaded and will be loaded from the store when it is asked for."""
        ...

    def build_failed(self, error: BaseException) -> None:
        """A better stage could not be built aside; the partition goes on with the one it has."""
        ...


class SilentObserver:
    """Listens to nothing."""

    def searched(self, *, queries: int, rows: int, seconds: float) -> None:
        """Ignore."""

    def loaded(self, *, rows: int, seconds: float) -> None:
        """Ignore."""

    def load_failed(self, error: BaseException) -> None:
        """Ignore."""

    def not_ready(self, reason: NotReadyReason) -> None:
        """Ignore."""

    def evicted(self, *, size_bytes: int) -> None:
        """Ignore."""

    def write_failed(self, error: BaseException) -> None:
        """Ignore."""

    def build_failed(self, error: BaseException) -> None:
        """Ignore."""
