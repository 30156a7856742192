"""The questions that entries of the pool answer, opened once and kept: what candidates are ranked by.

Ranking decides nothing: what may answer is read and opened anew. What is kept goes in the order in which it came, never
by use, so that nobody's questions decide what another finds quickly.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from sqlalchemy import Connection

from crypto.similarity import is_matchable
from server.ports import Int8Matrix
from server.reuse.opening import EntryOpener
from server.reuse.payload import Alias
from server.reuse.quantise import norms_squared
from server.reuse.tenant_directory import TenantContext
from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.records import StoredEntry
from tenants.identifiers import EntryId

#: Reads the aliases of entries of the pool.
AliasLoader: TypeAlias = Callable[[TenantContext, Sequence[EntryId]], Awaitable[dict[EntryId, tuple[Alias, ...]]]]


@dataclass(frozen=True, slots=True)
class Best:
    """The alias nearest to a query: its place in the payload, exact ⟨q, e⟩ and |e|²."""

    position: int
    score: int
    norm_squared: int


@dataclass(frozen=True, slots=True)
class AliasRows:
    """The aliases of one entry that may be matched: their places in the payload and rows, shape (n, dimension)."""

    positions: tuple[int, ...]
    rows: Int8Matrix

    def best(self, query: Int8Matrix) -> Best | None:
        """Return the alias with the largest exact inner product, the first of equals; None where there is none."""
        if not self.positions:
            return None
        scores = self.rows.astype(np.int64) @ query.astype(np.int64)
        place = int(np.argmax(scores))
        return Best(self.positions[place], int(scores[place]), int(norms_squared(self.rows[place : place + 1])[0]))


def rows_of(aliases: Sequence[Alias], dimension: int) -> AliasRows:
    """Return the rows of those *aliases* that have *dimension* components and may be matched."""
    found = [(place, alias.row) for place, alias in enumerate(aliases) if len(alias.vector) == dimension]
    kept = [(place, row) for place, row in found if is_matchable(int(norms_squared(row[np.newaxis])[0]))]
    if not kept:
        return AliasRows((), np.empty((0, dimension), np.int8))
    return AliasRows(tuple(place for place, _ in kept), np.stack([row for _, row in kept]))


def best_scores(found: Mapping[EntryId, AliasRows], query: Int8Matrix) -> dict[EntryId, int]:
    """Return, for each entry that has one, the largest exact inner product of its aliases with *query*."""
    entries = [entry for entry, aliases in found.items() if aliases.positions]
    if not entries:
        return {}
    counts = [len(found[entry].positions) for entry in entries]
    rows = np.concatenate([found[entry].rows for entry in entries])
    # Vectors that may be matched have norms of at most 510, so no product passes 510².
    scores = rows.astype(np.int32) @ query.astype(np.int32)
    best = np.maximum.reduceat(scores, np.cumsum([0, *counts[:-1]]))
    return dict(zip(entries, best.tolist(), strict=True))


class AliasReader:
    """Reads the aliases of the pool's entries from the store."""

    def __init__(self, database: Database, opener: EntryOpener) -> None:
        self._database = database
        self._opener = opener

    async def load(self, pool: TenantContext, entries: Sequence[EntryId]) -> dict[EntryId, tuple[Alias, ...]]:
        """Return the aliases of those of *entries* that are live and open; raises `StoreError`."""
        found: dict[EntryId, tuple[Alias, ...]] = {}
        for row in await self._database.read(lambda connection: _load(connection, pool, entries)):
            payload = await self._opener.open(pool, row)
            if payload is not None and payload.aliases is not None:
                found[row.id] = payload.aliases
        return found


class AliasBook:
    """Keeps at most *aliases_max* aliases of the pool's entries, which *load* reads."""

    def __init__(self, load: AliasLoader, *, aliases_max: int) -> None:
        self._load = load
        self._aliases_max = aliases_max
        self._kept: OrderedDict[EntryId, AliasRows] = OrderedDict()
        self._count = 0

    async def find(self, pool: TenantContext, entries: Sequence[EntryId], dimension: int) -> dict[EntryId, AliasRows]:
        """Return the aliases of those of *entries* that open; raises `StoreError`."""
        found = {entry: self._kept[entry] for entry in entries if entry in self._kept}
        missing = [entry for entry in entries if entry not in found]
        for entry, aliases in (await self._load(pool, missing)).items() if missing else ():
            found[entry] = rows_of(aliases, dimension)
            self._keep(entry, found[entry])
        return found

    def _keep(self, entry: EntryId, aliases: AliasRows) -> None:
        if entry in self._kept:
            return
        self._kept[entry] = aliases
        self._count += len(aliases.positions)
        while self._count > self._aliases_max:
            _, gone = self._kept.popitem(last=False)
            self._count -= len(gone.positions)


def _load(connection: Connection, pool: TenantContext, entries: Sequence[EntryId]) -> list[StoredEntry]:
    repository = EntryRepository(connection, pool.id)
    rows = [repository.get(entry) for entry in entries]
    return [row for row in rows if row is not None and row.state == "live"]
