"""Prepared statements give what SQLAlchemy would have given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import bindparam, literal_column
from sqlalchemy.dialects import postgresql, sqlite

from server.store.database import Database, sqlite_url
from server.store.entries import _BY_EXACT_KEY, _INSERT, _TOUCH, EntryRepository
from server.store.migrate import upgrade
from server.store.platform import PlatformRepository
from server.store.records import OrganisationRecord, TenantRecord
from server.store.scoped import TENANT, Prepared, scoped_insert, scoped_select, scoped_update
from server.store.tables import entries, usage
from tenants.identifiers import OrganisationId, TenantId
from tests.contract.stores import A, exact_key, new_entry, new_usage


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(sqlite_url(tmp_path / "store.db"))
    upgrade(opened.engine)
    opened.write_now(lambda c: PlatformRepository(c).add_organisation(OrganisationRecord(OrganisationId("o"), "o", 1)))
    tenant = TenantRecord(A, OrganisationId("o"), "t", "active", "{}", 1)
    opened.write_now(lambda c: PlatformRepository(c).add_tenant(tenant))
    yield opened
    opened.close()


def test_a_value_written_into_the_statement_is_sent_too(database: Database) -> None:
    statement = scoped_select(usage, usage.c.requests).where(usage.c.outcome == "hit")
    row = {**{name: getattr(new_usage(), name) for name in type(new_usage()).__dataclass_fields__}, TENANT: A}
    put = scoped_insert(usage).values(**{name: bindparam(name) for name in row if name != TENANT})
    database.write_now(lambda c: Prepared(put).run(c, row).close())
    found = database.read_now(lambda c: Prepared(statement).run(c, {TENANT: A}).fetchall())
    assert found == [(1,)]


def test_a_prepared_read_and_sqlalchemys_agree(database: Database) -> None:
    database.write_now(lambda c: EntryRepository(c, A).add(new_entry(1)))
    values = {"exact_key": exact_key(1), TENANT: A}
    ours = database.read_now(lambda c: _BY_EXACT_KEY.run(c, values).fetchone())
    theirs = database.read_now(lambda c: c.execute(_BY_EXACT_KEY._statement, values).first())
    assert ours == tuple(theirs)


def test_a_missing_value_is_an_error_and_not_a_null(database: Database) -> None:
    with pytest.raises(KeyError):
        database.write_now(lambda c: _INSERT.run(c, {TENANT: A}))
    with pytest.raises(KeyError):
        database.write_now(lambda c: _TOUCH.run_many(c, [{TENANT: A, "entry_id": 1, "hits": 1}]))


def test_it_is_compiled_once_per_dialect(database: Database) -> None:
    statement = Prepared(scoped_update(entries).values(model=literal_column("'x'")))
    for _ in range(3):
        database.write_now(lambda c: statement.run(c, {TENANT: TenantId("nobody")}).close())
    assert list(statement._by_dialect) == ["sqlite"]


def test_the_exact_read_names_its_state_so_that_sqlite_need_not_plan_it_anew() -> None:
    for dialect in (sqlite.dialect(), postgresql.dialect()):
        compiled = str(_BY_EXACT_KEY._statement.compile(dialect=dialect))
        assert "state = 'live'" in compiled
