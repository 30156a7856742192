"""Recorded lookups of one tenant, their labels, and what they add up to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import bindparam, func
from sqlalchemy.dialects import postgresql, sqlite

from server.store.records import LookupRecord, UsageRow
from server.store.scoped import (
    TENANT,
    Prepared,
    TenantRepository,
    scoped_delete,
    scoped_insert,
    scoped_select,
    scoped_update,
)
from server.store.tables import lookups, usage
from tenants.identifiers import LookupId

LIST_MAX: Final = 500

_FIELDS: Final = tuple(LookupRecord.__dataclass_fields__)
_INSERT: Final = Prepared(scoped_insert(lookups).values(**{name: bindparam(name) for name in _FIELDS}))
_GET: Final = scoped_select(lookups, *(lookups.c[name] for name in _FIELDS)).where(lookups.c.id == bindparam("lookup"))
_USAGE_KEY: Final = ("tenant_id", "day", "key_id", "model", "outcome", "tier")
_USAGE_SUMS: Final = ("requests", "saved_prompt_tokens", "saved_output_tokens", "saved_micro", "latency_us")
_USAGE_FIELDS: Final = tuple(UsageRow.__dataclass_fields__)


def _add_up(insert: Any) -> Prepared:
    """Return the upsert that adds to a row that is there; the two databases write it alike, SQLAlchemy does not."""
    statement = insert(usage).values(tenant_id=bindparam(TENANT), **{name: bindparam(name) for name in _USAGE_FIELDS})
    return Prepared(
        statement.on_conflict_do_update(
            index_elements=list(_USAGE_KEY),
            set_={name: usage.c[name] + statement.excluded[name] for name in _USAGE_SUMS},
        )
    )


_ADD_UP: Final = {"sqlite": _add_up(sqlite.insert), "postgresql": _add_up(postgresql.insert)}


class LookupRepository(TenantRepository):
    """The recorded lookups and the usage of one tenant."""

    def add_many(self, records: Iterable[LookupRecord]) -> None:
        """Store lookups."""
        self._do_many(_INSERT, [{name: getattr(record, name) for name in _FIELDS} for record in records])

    def get(self, lookup: LookupId) -> LookupRecord | None:
        """Return one lookup of this tenant."""
        row = self._run(_GET, {"lookup": lookup}).first()
        return None if row is None else LookupRecord(*row)

    def set_label(self, lookup: LookupId, *, label: str, kind: str, at_ms: int) -> bool:
        """Write a label down; a person's word (kind `feedback`) is never overwritten by a free one."""
        statement = (
            scoped_update(lookups)
            .where(lookups.c.id == bindparam("lookup"))
            .values(label=label, label_kind=kind, labelled_at_ms=at_ms)
        )
        if kind != "feedback":
            statement = statement.where(lookups.c.label_kind.is_distinct_from("feedback"))
        return bool(self._run(statement, {"lookup": lookup}).rowcount)

    def list_since(self, since_ms: int, *, limit: int = LIST_MAX) -> list[LookupRecord]:
        """Return lookups since *since_ms*, oldest first: what policies are replayed and calibrated on."""
        statement = (
            scoped_select(lookups, *(lookups.c[name] for name in _FIELDS))
            .where(lookups.c.at_ms >= since_ms)
            .order_by(lookups.c.at_ms)
            .limit(min(limit, LIST_MAX))
        )
        return [LookupRecord(*row) for row in self._run(statement)]

    def delete_all(self) -> None:
        """Delete every recorded lookup and all usage."""
        self._run(scoped_delete(lookups))
        self._run(scoped_delete(usage))

    def count_labels(self) -> dict[tuple[str, str], int]:
        """Count labels by (label, kind)."""
        statement = (
            scoped_select(lookups, lookups.c.label, lookups.c.label_kind, func.count())
            .where(lookups.c.label.is_not(None))
            .group_by(lookups.c.label, lookups.c.label_kind)
        )
        return {(row[0], row[1]): int(row[2]) for row in self._run(statement)}

    def add_usage(self, rows: Iterable[UsageRow]) -> None:
        """Add *rows* to what is there for the same day, key, model and outcome."""
        statement = _ADD_UP[self._connection.dialect.name]
        self._do_many(statement, [{name: getattr(row, name) for name in _USAGE_FIELDS} for row in rows])

    def count_requests(self, *, since_day: str) -> int:
        """Count all requests since *since_day*."""
        statement = scoped_select(usage, func.coalesce(func.sum(usage.c.requests), 0)).where(usage.c.day >= since_day)
        return int(self._run(statement).scalar_one())

    def sum_usage(self, *, since_day: str) -> list[UsageRow]:
        """Return usage rows since *since_day*, oldest first."""
        statement = (
            scoped_select(usage, *(usage.c[name] for name in _USAGE_FIELDS))
            .where(usage.c.day >= since_day)
            .order_by(usage.c.day)
        )
        return [UsageRow(*row) for row in self._run(statement)]
