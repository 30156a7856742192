"""Statements that cannot be written without a tenant, and the repository that runs them.

A tenant's table is reached only through `scoped_select`, `scoped_update`, `scoped_delete` and `scoped_insert`: each binds
`tenant_id`, and `TenantRepository` supplies it from its constructor. The tenant itself comes from the authenticated key
and from nowhere else. tests/house/test_tenant_scope.py refuses any other way to a tenant's table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Select, Table, Update, bindparam
from sqlalchemy import delete as _delete
from sqlalchemy import insert as _insert
from sqlalchemy import select as _select
from sqlalchemy import update as _update

from tenants.identifiers import TenantId

#: The bound parameter that carries the tenant; its name collides with no column, so that it can stand in an UPDATE too.
TENANT = "scoped_tenant"


def scoped_select(table: Table, *columns: Any) -> Select[Any]:
    """Start a SELECT that sees only the repository's tenant."""
    return _select(*(columns or (table,))).where(table.c.tenant_id == bindparam(TENANT))


def scoped_update(table: Table) -> Update:
    """Start an UPDATE that touches only the repository's tenant."""
    return _update(table).where(table.c.tenant_id == bindparam(TENANT))


def scoped_delete(table: Table) -> Delete:
    """Start a DELETE that touches only the repository's tenant."""
    return _delete(table).where(table.c.tenant_id == bindparam(TENANT))


def scoped_insert(table: Table) -> Insert:
    """Start an INSERT whose rows all belong to the repository's tenant."""
    return _insert(table).values(tenant_id=bindparam(TENANT))


class Prepared:
    """A scoped statement on the hot path: compiled once per dialect and handed to the driver as it is.

    SQLAlchemy's own execution costs 40 µs and more per statement, whatever the statement; this costs 2. Values are
    passed as they are: for columns of text, whole numbers and bytes alone.
    """

    __slots__ = ("_by_dialect", "_statement")

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._by_dialect: dict[str, tuple[str, tuple[str, ...] | None, dict[str, Any]]] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """Execute and return the driver's cursor; raises the driver's errors, which `Database` translates."""
        sql, order, fixed = self._compiled(connection)
        cursor = connection.connection.cursor()
        if order is None:
            cursor.execute(sql, {**fixed, **values})
        else:
            filled = {**fixed, **values} if fixed else values
            cursor.execute(sql, [filled[name] for name in order])
        return cursor

    def run_many(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Execute once per row."""
        sql, order, fixed = self._compiled(connection)
        cursor = connection.connection.cursor()
        if order is None:
            cursor.executemany(sql, [{**fixed, **row} for row in rows])
        else:
            filled = ({**fixed, **row} for row in rows)
            cursor.executemany(sql, [[row[name] for name in order] for row in filled])
        cursor.close()

    def _compiled(self, connection: Connection) -> tuple[str, tuple[str, ...] | None, dict[str, Any]]:
        found = self._by_dialect.get(connection.dialect.name)
        if found is None:
            compiled = self._statement.compile(dialect=connection.dialect)
            order = tuple(compiled.positiontup) if compiled.positional else None
            given = {name for name, bound in compiled.binds.items() if bound.required}
            fixed = {name: value for name, value in compiled.params.items() if name not in given}
            found = self._by_dialect[connection.dialect.name] = (str(compiled), order, fixed)
        return found


class TenantRepository:
    """Base of every repository of a tenant's rows: holds one connection and one tenant."""

    def __init__(self, connection: Connection, tenant: TenantId) -> None:
        if not tenant:
            raise ValueError("a tenant's rows are reached with a tenant; this one is empty")
        self._connection = connection
        self._tenant = tenant

    def _run(self, statement: Any, parameters: Mapping[str, Any] | None = None) -> Any:
        return self._connection.execute(statement, {**(parameters or {}), TENANT: self._tenant})

    def _one(self, statement: Prepared, values: Mapping[str, Any]) -> Any:
        cursor = statement.run(self._connection, {**values, TENANT: self._tenant})
        row = cursor.fetchone()
        cursor.close()
        return row

    def _all(self, statement: Prepared, values: Mapping[str, Any]) -> list[Any]:
        cursor = statement.run(self._connection, {**values, TENANT: self._tenant})
        rows: list[Any] = cursor.fetchall()
        cursor.close()
        return rows

    def _do(self, statement: Prepared, values: Mapping[str, Any]) -> int:
        cursor = statement.run(self._connection, {**values, TENANT: self._tenant})
        count = int(cursor.rowcount)
        cursor.close()
        return count

    def _do_many(self, statement: Prepared, rows: Iterable[Mapping[str, Any]]) -> None:
        filled = [{**row, TENANT: self._tenant} for row in rows]
        if filled:
            statement.run_many(self._connection, filled)
