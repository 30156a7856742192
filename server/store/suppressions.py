"""Entries of the pool that a tenant does not want to see again: its own feedback, and felt by nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam

from server.store.scoped import TenantRepository, scoped_delete, scoped_insert, scoped_select
from server.store.tables import pool_suppressions
from tenants.identifiers import EntryId

#: How many one tenant may keep; above it those of the oldest entries go, which expire first anyway.
SUPPRESSIONS_MAX: Final = 10_000
#: How many entries one question asks about.
ENTRIES_MAX: Final = 1_000

_ENTRY: Final = scoped_select(pool_suppressions, pool_suppressions.c.entry_id)


class SuppressionRepository(TenantRepository):
    """The suppressed entries of one tenant; one that leaves the pool leaves here too."""

    def add(self, entry: EntryId) -> None:
        """Suppress an entry of the pool for this tenant; `Conflict` if there is no such entry any more."""
        if entry in self.find_among([entry]):
            return
        self._run(scoped_insert(pool_suppressions).values(entry_id=bindparam("entry")), {"entry": entry})
        newest = _ENTRY.order_by(pool_suppressions.c.entry_id.desc()).offset(SUPPRESSIONS_MAX)
        surplus = [row[0] for row in self._run(newest.limit(ENTRIES_MAX))]
        if surplus:
            self._run(scoped_delete(pool_suppressions).where(pool_suppressions.c.entry_id.in_(surplus)))

    def remove(self, entry: EntryId) -> bool:
        """Let this tenant see an entry of the pool again; False where it was not suppressed."""
        statement = scoped_delete(pool_suppressions).where(pool_suppressions.c.entry_id == bindparam("entry"))
        return int(self._run(statement, {"entry": entry}).rowcount) > 0

    def find_among(self, entries: Sequence[EntryId]) -> frozenset[EntryId]:
        """Return those of at most `ENTRIES_MAX` *entries* that are suppressed."""
        if not entries:
            return frozenset()
        statement = _ENTRY.where(pool_suppressions.c.entry_id.in_(list(entries[:ENTRIES_MAX])))
        return frozenset(EntryId(row[0]) for row in self._run(statement))

    def list_all(self) -> frozenset[EntryId]:
        """Return every entry that this tenant suppressed, at most `SUPPRESSIONS_MAX`."""
        return frozenset(EntryId(row[0]) for row in self._run(_ENTRY.limit(SUPPRESSIONS_MAX)))

    def delete_all(self) -> int:
        """Forget every suppression of this tenant; return how many there were."""
        return int(self._run(scoped_delete(pool_suppressions)).rowcount)
