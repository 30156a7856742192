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


class TenantRepository:
    """Base of every repository of a tenant's rows: holds one connection and one tenant."""

    def __init__(self, connection: Connection, tenant: TenantId) -> None:
        self._connection = connection
        self._tenant = tenant

    def _run(self, statement: Any, parameters: Mapping[str, Any] | None = None) -> Any:
        return self._connection.execute(statement, {**(parameters or {}), TENANT: self._tenant})

    def _run_many(self, statement: Any, rows: Iterable[Mapping[str, Any]]) -> None:
        filled = [{**row, TENANT: self._tenant} for row in rows]
        if filled:
            self._connection.execute(statement, filled)
