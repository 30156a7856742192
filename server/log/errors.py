"""Errors of the log.

crypto.errors.Error
└── LogError
    ├── LogRefusal      signing would contradict what was signed before; a person must look
    ├── LogDamaged      what lies on disk is not what was written; the database can make it anew
    └── WitnessError    a witness did not cosign, this time
"""

from __future__ import annotations

from crypto.errors import Error


class LogError(Error):
    """Root of the errors of the log."""


class LogRefusal(LogError):
    """Nothing is signed any more until somebody has put this right; *reason* is a word for logs and metrics."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class LogDamaged(LogError):
    """A file of the log is missing, cut short or changed."""


class WitnessError(LogError):
    """A witness is away, slow, or answers with something else than a cosignature."""
