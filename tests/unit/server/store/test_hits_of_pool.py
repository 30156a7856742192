"""Whether a receipt of the pool answered a tenant is found by an index, however many hits the tenant has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import event

from server.store.database import Database
from server.store.migrate import upgrade
from server.store.receipts import HitRepository
from tenants.identifiers import TenantId


def test_a_receipt_of_the_pool_is_looked_for_in_the_index_of_the_pools_hits(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'hitproof.db'}")
    upgrade(database.engine)
    asked: list[tuple[str, Any]] = []
    event.listen(
        database.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, parameters, *_rest: asked.append((statement, parameters)),
    )
    assert not database.read_now(lambda c: HitRepository(c, TenantId("ten_a")).has_of_pool("rcp_1"))
    statement, parameters = asked[-1]
    with database.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    assert "USING INDEX ix_hits_of_pool (receipt_id=? AND tenant_id=?)" in plan[0][-1]
    database.close()
