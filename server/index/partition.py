"""One partition while it is resident: what waits for it, what is written to it, in which order."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from server.index.growing import GrowingIndex, Growth
from server.ports import Int8Matrix, Int32Matrix, Int64Matrix, Int64Vector
from tenants.identifiers import TenantId

#: The objects around a resident partition, measured by tests/bench/index.py and rounded up.
PARTITION_BYTES: Final = 768


@dataclass(frozen=True, slots=True)
class PartitionLimits:
    """What partitions may take. The one that was used last stays, even if it alone exceeds *bytes_max*."""

    bytes_max: int = 2 << 30
    #: The longest that a search waits for its partition; the load goes on and serves a later search.
    load_wait_s: float = 0.5
    #: For a million sealed rows on a busy machine; searches wait `load_wait_s` at most.
    load_timeout_s: float = 300.0
    loads_max: int = 4
    loads_waiting_max: int = 256
    threads: int = 2
    #: Up to here a search costs less (60 us) than handing it to a thread does (250 us; tests/bench/index.py).
    inline_rows_max: int = 2048
    batch_max: int = 64
    queue_max: int = 1024
    journal_rows_max: int = 65_536
    removed_ids_max: int = 16_384
    growth: Growth = field(default_factory=Growth)


@dataclass(frozen=True, slots=True)
class PartitionKey:
    """Whose entries, and under which fingerprint; the tenant chooses the index and is never only a filter."""

    tenant: TenantId
    scope: bytes


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry that may answer, and its exact inner product with the query."""

    id: int
    score: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """One search in the queue of its partition."""

    query: Int8Matrix
    k: int
    answer: asyncio.Future[list[Candidate]]


class Journal:
    """Writes that arrive while rows are being loaded, reduced to what they come to: the last word on each id."""

    __slots__ = ("_added", "_removed")

    def __init__(self) -> None:
        self._added: dict[int, Int8Matrix] = {}
        self._removed: set[int] = set()

    def add(self, ids: Int64Vector, vectors: Int8Matrix) -> None:
        """Note rows that were added."""
        for number, vector in zip(ids.tolist(), vectors, strict=True):
            self._added[number] = vector
            self._removed.discard(number)

    def remove(self, ids: Int64Vector) -> None:
        """Note rows that were removed."""
        for number in ids.tolist():
            self._added.pop(number, None)
            self._removed.add(number)

    def replay(self, index: GrowingIndex) -> None:
        """Make up for what *index* missed; rows it read already are replaced by themselves."""
        if self._removed:
            index.remove(np.fromiter(self._removed, dtype=np.int64, count=len(self._removed)))
        if self._added:
            ids = np.fromiter(self._added, dtype=np.int64, count=len(self._added))
            index.add(ids, np.stack(list(self._added.values())))

    def __len__(self) -> int:
        return len(self._added) + len(self._removed)


class Partition:
    """The state of one key; touched on the event loop only, except for `index`, which locks itself."""

    __slots__ = (
        "drains",
        "index",
        "journal",
        "key",
        "loading",
        "maintaining",
        "queue",
        "size_bytes",
        "write_turn",
        "writes_pending",
    )

    def __init__(self, key: PartitionKey) -> None:
        self.key = key
        self.index: GrowingIndex | None = None
        self.loading: asyncio.Task[None] | None = None
        self.journal: Journal | None = Journal()
        self.queue: deque[Waiting] | None = None
        self.drains = 0
        self.maintaining = False
        self.size_bytes = 0
        self.write_turn: asyncio.Lock | None = None
        self.writes_pending = 0

    def become_resident(self, index: GrowingIndex) -> None:
        """Serve from *index* from now on, once it has been told what it missed."""
        if self.journal is not None:
            self.journal.replay(index)
        self.index, self.journal, self.loading = index, None, None


def candidates_of(ids: Int64Matrix, scores: Int32Matrix, row: int, k: int) -> list[Candidate]:
    """Return one row of search results without its padding, at most *k*."""
    pairs = zip(ids[row, :k].tolist(), scores[row, :k].tolist(), strict=True)
    return [Candidate(number, score) for number, score in pairs if number >= 0]
