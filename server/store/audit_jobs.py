"""Exports of one tenant: what was asked for, how far it is, and where the file lies."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, delete, select

from server.store.errors import NotFound
from server.store.log_records import AuditJob
from server.store.scoped import TenantRepository, scoped_insert, scoped_select, scoped_update
from server.store.tables import audit_jobs

LIST_MAX: Final = 500

_FIELDS: Final = tuple(AuditJob.__dataclass_fields__)
_JOB: Final = scoped_select(audit_jobs, *(audit_jobs.c[name] for name in _FIELDS))


class AuditJobRepository(TenantRepository):
    """The exports of one tenant."""

    def add(self, job: AuditJob) -> None:
        """Store a job."""
        statement = scoped_insert(audit_jobs).values(**{name: bindparam(name) for name in _FIELDS})
        self._run(statement, {name: getattr(job, name) for name in _FIELDS})

    def get(self, job: str) -> AuditJob:
        """Return one job of this tenant; raises `NotFound`."""
        row = self._run(_JOB.where(audit_jobs.c.id == bindparam("job")), {"job": job}).first()
        if row is None:
            raise NotFound("there is no such export")
        return AuditJob(*row)

    def list_all(self) -> list[AuditJob]:
        """Return this tenant's jobs, newest first."""
        statement = _JOB.order_by(audit_jobs.c.created_at_ms.desc(), audit_jobs.c.id).limit(LIST_MAX)
        return [AuditJob(*row) for row in self._run(statement)]

    def update(
        self, job: str, *, state: str, done: int, total: int, file: str | None = None, error: str | None = None
    ) -> None:
        """Write down how far a job is; raises `NotFound`."""
        statement = scoped_update(audit_jobs).where(audit_jobs.c.id == bindparam("job"))
        values = {"state": state, "done": done, "total": total, "file": file, "error": error}
        if self._run(statement.values(**values), {"job": job}).rowcount == 0:
            raise NotFound("there is no such export")


def has_old_jobs(connection: Connection, *, before_ms: int) -> bool:
    """Say whether any tenant has a job made before *before_ms*."""
    old = select(audit_jobs.c.id).where(audit_jobs.c.created_at_ms < before_ms).limit(1)
    return connection.execute(old).first() is not None


def forget_old_jobs(connection: Connection, *, before_ms: int) -> int:
    """Forget every tenant's jobs made before *before_ms*; return how many those were."""
    return connection.execute(delete(audit_jobs).where(audit_jobs.c.created_at_ms < before_ms)).rowcount


def load_files(connection: Connection) -> set[str]:
    """Return the names of the files that any tenant's jobs are known to have."""
    rows = connection.execute(select(audit_jobs.c.file).where(audit_jobs.c.file.is_not(None)))
    return {row[0] for row in rows}
