"""Status lists that are in the log, and the policies of one tenant that are."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, insert, select

from server.store.log_records import AnnouncedPolicy, StatusListRow
from server.store.scoped import TenantRepository, scoped_insert, scoped_select
from server.store.tables import announced_policies, status_lists

ANNOUNCED_MAX: Final = 10_000

_LIST: Final = tuple(status_lists.c[name] for name in StatusListRow.__dataclass_fields__)
_POLICY_FIELDS: Final = tuple(AnnouncedPolicy.__dataclass_fields__)
_POLICY: Final = scoped_select(announced_policies, *(announced_policies.c[name] for name in _POLICY_FIELDS))


class StatusRepository:
    """The status lists; they belong to no tenant."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, row: StatusListRow) -> None:
        """Store a list; one that is there already stays."""
        if self.get(row.digest) is None:
            values = {name: getattr(row, name) for name in StatusListRow.__dataclass_fields__}
            self._connection.execute(insert(status_lists), values)

    def get(self, digest: str) -> StatusListRow | None:
        """Return one list by its digest."""
        row = self._connection.execute(select(*_LIST).where(status_lists.c.digest == digest)).first()
        return None if row is None else StatusListRow(*row)

    def latest(self, *, through_seq: int | None = None) -> StatusListRow | None:
        """Return the list that was logged last, or last among the leaves to number *through_seq*."""
        statement = select(*_LIST).order_by(status_lists.c.seq.desc()).limit(1)
        if through_seq is not None:
            statement = statement.where(status_lists.c.seq <= through_seq)
        row = self._connection.execute(statement).first()
        return None if row is None else StatusListRow(*row)


class AnnouncementRepository(TenantRepository):
    """The policies of one tenant that are in the log."""

    def add(self, policy: AnnouncedPolicy) -> None:
        """Store an announcement; `Conflict` if that version was announced in that epoch."""
        statement = scoped_insert(announced_policies).values(**{name: bindparam(name) for name in _POLICY_FIELDS})
        self._run(statement, {name: getattr(policy, name) for name in _POLICY_FIELDS})

    def find(self, *, epoch: int, version: int) -> AnnouncedPolicy | None:
        """Return the announcement of that version in that epoch."""
        statement = _POLICY.where(
            announced_policies.c.epoch == bindparam("epoch"), announced_policies.c.version == bindparam("version")
        )
        row = self._run(statement, {"epoch": epoch, "version": version}).first()
        return None if row is None else AnnouncedPolicy(*row)

    def list_all(self) -> list[AnnouncedPolicy]:
        """Return every announcement, in the order of the log."""
        statement = _POLICY.order_by(announced_policies.c.seq).limit(ANNOUNCED_MAX)
        return [AnnouncedPolicy(*row) for row in self._run(statement)]
