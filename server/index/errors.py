"""Errors of the vector indexes.

crypto.errors.Error
└── VectorIndexError
    ├── RowsRefused             ids or vectors of a wrong shape, type or size: nothing was changed
    ├── IndexBroken             an adapter failed half-way; drop the index and load it again from the store
    ├── DeviceUnusable          a device that is absent, cannot scan, or does not score exactly
    ├── PartitionNotReady       a partition cannot answer now; its caller turns that into a miss
    └── FaissInstallationError  faiss is absent, installed twice, or ignores a setting that searches rely on
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from crypto.errors import Error

NotReadyReason: TypeAlias = Literal["loading", "load_failed", "dropped", "overloaded", "broken", "closed"]


class VectorIndexError(Error):
    """Root of the errors of `server.index`."""


class RowsRefused(VectorIndexError):
    """Ids, vectors or a query that no index may hold or search for."""


class IndexBroken(VectorIndexError):
    """An index lost step with its own rows and refuses to answer rather than to answer wrongly."""


class DeviceUnusable(VectorIndexError):
    """A device that is not there, cannot scan, or rounds; scores must be exact integers."""


class PartitionNotReady(VectorIndexError):
    """A partition cannot answer now; *reason* is one of `NotReadyReason`."""

    def __init__(self, reason: NotReadyReason) -> None:
        super().__init__(f"the partition cannot answer now ({reason}); treat it as a miss")
        self.reason = reason


class FaissInstallationError(VectorIndexError):
    """The environment's faiss cannot be used; the message says how to mend it."""
