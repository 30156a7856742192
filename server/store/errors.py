"""Errors of the store.

crypto.errors.Error
└── StoreError
    ├── StoreBusy           the queue of writes is full, or the database stayed locked
    ├── StoreUnavailable    the database does not answer; nothing was acknowledged
    ├── Conflict            the row is there already
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


class Conflict(StoreError):
    """Something of that name exists already."""


class NotFound(StoreError):
    """There is no such thing, or it belongs to somebody else; the two are not told apart."""
