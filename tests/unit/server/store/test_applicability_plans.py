"""What is still to be proved, stated or forgotten is found by an index, however much a tenant has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from server.store.applicability import ApplicabilityRepository
from server.store.database import Database
from server.store.embedding_queue import load_unstated
from server.store.migrate import upgrade
from server.store.retention import ProofRetention
from tenants.identifiers import EntryId, TenantId

A = TenantId("ten_a")


@pytest.mark.parametrize(
    ("work", "index"),
    [
        (lambda c: ApplicabilityRepository(c, A).list_unproved((5, "hit_1"), 10), "ix_hits_with_query_vector"),
        (lambda c: ProofRetention(c, A).oldest_query_vector_ms(), "ix_hits_with_query_vector"),
        (lambda c: ProofRetention(c, A).forget_query_vectors(before_ms=5, limit=10), "ix_hits_with_query_vector"),
        (lambda c: ApplicabilityRepository(c, A).count_since("evd_1", 5), "ix_applicability_tenant_id_evidence_id"),
        (lambda c: load_unstated(c, after=EntryId(0), limit=10), "ix_entries_not_stated"),
    ],
    ids=["unproved", "oldest", "forgotten", "counted", "unstated"],
)
def test_the_index_made_for_it_is_used(tmp_path: Path, work: Callable[[Connection], Any], index: str) -> None:
    database = Database(f"sqlite:///{tmp_path / 'hitproof.db'}")
    upgrade(database.engine)
    asked: list[tuple[str, Any]] = []
    event.listen(
        database.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, parameters, *_rest: asked.append((statement, parameters)),
    )
    database.write_now(work)
    statement, parameters = next(one for one in reversed(asked) if one[0].startswith(("SELECT", "UPDATE")))
    with database.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    assert any(f"INDEX {index}" in row[-1] for row in plan), plan
    database.close()
