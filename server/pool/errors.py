"""Errors of the pool.

Error
└── PoolError              the pool cannot do what was asked
    ├── EpochOpen          the epoch still takes votes
    ├── ReleaseRunning     another process has paid for a release and is drawing it
    └── CalendarChanged    the settings name another calendar than the one that was fixed
"""

from __future__ import annotations

from crypto.errors import Error


class PoolError(Error):
    """The pool cannot do what was asked of it; nothing was spent and nothing was released."""


class EpochOpen(PoolError):
    """The epoch still takes votes; it can be released once it is closed."""


class ReleaseRunning(PoolError):
    """Another process has paid for a release and is drawing it, or died doing so a short while ago."""


class CalendarChanged(PoolError):
    """The settings name another calendar than the one that epochs and budgets were counted by so far."""
