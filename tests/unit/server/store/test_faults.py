"""From a driver's errors to the store's."""

from __future__ import annotations

import sqlite3

import psycopg
import psycopg.errors
import pytest
from sqlalchemy.exc import DBAPIError, PendingRollbackError, StatementError

from server.store.errors import Conflict, StoreBusy, StoreError, StoreUnavailable, Unstorable
from server.store.faults import is_connection_lost, is_databases_own, is_disk_failure, translate, translated

#: A driver's error, what it becomes, and whether it spoils the whole transaction.
ERRORS: list[tuple[Exception, type[StoreError], bool]] = [
    (sqlite3.IntegrityError("UNIQUE constraint failed: x"), Conflict, False),
    (psycopg.errors.UniqueViolation("duplicate key"), Conflict, False),
    (psycopg.errors.ForeignKeyViolation("no such tenant"), Conflict, False),
    (psycopg.errors.StringDataRightTruncation("value too long"), Unstorable, False),
    (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), Unstorable, False),
    (sqlite3.ProgrammingError("no such parameter"), StoreUnavailable, False),
    (sqlite3.OperationalError("database is locked"), StoreBusy, True),
    (psycopg.errors.QueryCanceled("canceling statement due to statement timeout"), StoreBusy, True),
    (sqlite3.OperationalError("disk I/O error"), StoreUnavailable, True),
    (sqlite3.OperationalError("database or disk is full"), StoreUnavailable, True),
    (sqlite3.DatabaseError("database disk image is malformed"), StoreUnavailable, True),
    (psycopg.errors.AdminShutdown("terminating connection"), StoreUnavailable, True),
    (psycopg.InterfaceError("the connection is closed"), StoreUnavailable, True),
]


@pytest.mark.parametrize(("error", "kind", "spoils"), ERRORS, ids=[str(row[0]) for row in ERRORS])
@pytest.mark.parametrize("wrapped", [False, True])
def test_each_error_becomes_what_a_caller_can_act_on(
    error: Exception, kind: type[StoreError], spoils: bool, wrapped: bool
) -> None:
    given = DBAPIError("SELECT secret", {}, error) if wrapped else error
    found = translate(given)
    assert type(found) is kind
    assert found.__cause__ is given
    assert is_databases_own(given) is spoils
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("x"), OverflowError("x"), StatementError("x", "y", {}, None)]
)
def test_what_is_no_databases_error_stays_what_it_is(error: Exception) -> None:
    assert translate(error) is error
    assert is_databases_own(error) is False


def test_a_connection_left_in_a_failed_transaction_is_the_databases_own() -> None:
    assert is_databases_own(PendingRollbackError("x"))


def test_the_error_of_a_block_is_translated_and_others_pass() -> None:
    with pytest.raises(Conflict), translated():
        raise sqlite3.IntegrityError("UNIQUE")
    with pytest.raises(ValueError, match="mine"), translated():
        raise ValueError("mine")


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (psycopg.errors.AdminShutdown("terminating connection"), True),
        (psycopg.errors.ConnectionFailure("x"), True),
        (psycopg.OperationalError("the socket broke"), True),
        (psycopg.errors.QueryCanceled("statement timeout"), False),
        (psycopg.errors.UniqueViolation("x"), False),
        (sqlite3.OperationalError("disk I/O error"), False),
        (ValueError("x"), False),
        (DBAPIError("x", {}, psycopg.OperationalError("x"), connection_invalidated=True), True),
        (DBAPIError("x", {}, psycopg.OperationalError("x")), False),
    ],
)
def test_only_a_lost_connection_is_worth_another_try(error: Exception, lost: bool) -> None:
    assert is_connection_lost(error) is lost


@pytest.mark.parametrize(
    ("message", "failed"),
    [("disk I/O error", True), ("could not fsync: Input/output error", True), ("database is locked", False)],
)
def test_a_failed_disk_is_told_from_a_busy_one(message: str, failed: bool) -> None:
    assert is_disk_failure(translate(sqlite3.OperationalError(message))) is failed
