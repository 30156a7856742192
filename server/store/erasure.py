"""Take out of the store what is kept to prove a tenant's answers or was shared, once its keys are destroyed."""

from __future__ import annotations

from sqlalchemy import Connection

from server.store.applicability import ApplicabilityRepository
from server.store.receipts import TenantLeafRepository
from server.store.scoped import TenantRepository, scoped_delete, scoped_select
from server.store.tables import announced_policies, audit_jobs, evidence, hits, receipts


class ProofErasure(TenantRepository):
    """Erases one tenant's receipts, hits, evidence, proofs of applicability, announced policies and exports."""

    def run(self) -> list[str]:
        """Delete them, and forget whose the leaves of the log are; return the names of the exports' files.

        The leaves stay: they hide what they stand for, and without them nobody else's proof would hold.
        """
        files = [row[0] for row in self._run(scoped_select(audit_jobs, audit_jobs.c.file)) if row[0] is not None]
        ApplicabilityRepository(self._connection, self._tenant).erase()
        for table in (hits, evidence, receipts, announced_policies, audit_jobs):
            self._run(scoped_delete(table))
        TenantLeafRepository(self._connection, self._tenant).erase()
        return files


def overwrite_freed_space(connection: Connection) -> None:
    """Have what is deleted from here on overwritten as well; for a connection that erases, before it does.

    SQLite otherwise leaves deleted rows in free pages. PostgreSQL does so until it vacuums, and offers no other way.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")


def empty_journal(connection: Connection) -> bool:
    """Take over and empty SQLite's journal, in which erased pages stand as they were; False while somebody uses it."""
    if connection.dialect.name != "sqlite":
        return True
    return int(connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]) == 0
