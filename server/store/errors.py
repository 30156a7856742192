"""Errors of the store.

crypto.errors.Error
└── StoreError
    ├── StoreBusy           the queue of writes is full, or another process held the database too long
    ├── StoreUnavailable    the database does not answer; nothing was acknowledged
    ├── UnknownSchema       the database was made by a newer release
    ├── Unstorable          a value that the database refuses: too long, out of range, or with a NUL
    ├── Conflict            the row is there already
    ├── LeaseLost           another process writes the log now
    ├── BudgetExhausted     an organisation has not that much privacy left in this period
    └── NotFound            no such row for this tenant
"""

from __future__ import annotations

from crypto.errors import Error


class StoreError(Error):
    """Root of the errors of the store."""


class StoreBusy(StoreError):
    """Too much is queued; try again in a moment."""


class StoreUnavailable(StoreError):
    """The database cannot be used now; what was asked for did not happen."""


class UnknownSchema(StoreError):
    """The database has a schema that this release does not know."""


class Unstorable(StoreError):
    """The database refuses a value; the caller must change it."""


class Conflict(StoreError):
    """Something of that name exists already."""


class LeaseLost(StoreError):
    """The right to write the log has passed to another process; what was asked for did not happen."""


class BudgetExhausted(StoreError):
    """What was to be spent is more than the organisation's period has left; nothing was spent."""


class NotFound(StoreError):
    """There is no such thing, or it belongs to somebody else; the two are not told apart."""
