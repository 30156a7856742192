"""From what a driver or SQLAlchemy raises to the errors of the store, in one place."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Final

from sqlalchemy.exc import DBAPIError, PendingRollbackError

from server.store.errors import Conflict, StoreBusy, StoreUnavailable, Unstorable

_BUSY_MARKS: Final = ("database is locked", "statement timeout", "lock timeout")
#: PEP 249's errors that are about one statement and its values, and leave the connection as it was.
_STATEMENTS_OWN: Final = ("IntegrityError", "DataError", "ProgrammingError", "NotSupportedError")


def translate(error: BaseException) -> BaseException:
    """Return the error of the store that *error* means; what is no database's error comes back as it is."""
    kind = _driver_kind(error)
    if kind is None:
        return error
    found: BaseException
    if kind == "IntegrityError":
        found = Conflict("something of that name exists already, or what it belongs to is gone")
    elif kind == "DataError":
        found = Unstorable("a value is too long, out of range or has a NUL in it; change it")
    elif any(mark in str(error).lower() for mark in _BUSY_MARKS):
        found = StoreBusy("another process holds the database; try again in a moment")
    else:
        found = StoreUnavailable("the database does not answer; nothing was changed")
    found.__cause__ = error
    return found


def is_databases_own(error: BaseException) -> bool:
    """Tell whether *error* is about the database itself, so that nothing done in its transaction can be relied on."""
    return _driver_kind(error) not in (None, *_STATEMENTS_OWN)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Let errors of the store out where a database's errors came in."""
    try:
        yield
    except Exception as error:
        found = translate(error)
        if found is error:
            raise
        raise found from error


def is_connection_lost(error: BaseException) -> bool:
    """Tell whether *error* says that the connection is gone, so that another one may work."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    # PostgreSQL's classes 08 (connection exception) and 57P (shut down by the operator); none: the socket broke.
    state = getattr(error, "sqlstate", "")
    return _driver_kind(error) == "OperationalError" and (state is None or state.startswith(("08", "57P")))


def is_disk_failure(error: BaseException) -> bool:
    """After a failed fsync nobody knows what reached the disk (Rebello et al., ATC 2020): do not go on."""
    text = str(error.__cause__ or error).lower()
    return "disk i/o error" in text or "input/output error" in text


def _driver_kind(error: BaseException) -> str | None:
    """Return the PEP 249 name of a database's error, whether SQLAlchemy wrapped it or not; None for other errors."""
    if isinstance(error, DBAPIError):
        error = error.orig or error
    elif isinstance(error, PendingRollbackError):
        return "OperationalError"
    elif not _is_driver_error(error):
        return None
    names = [found.__name__ for found in type(error).__mro__]
    return next((name for name in _STATEMENTS_OWN if name in names), "OperationalError")


def _is_driver_error(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        return True
    # Named, not imported: the driver of PostgreSQL need not be installed.
    return any(found.__module__.startswith("psycopg") and found.__name__ == "Error" for found in type(error).__mro__)
