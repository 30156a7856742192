"""Errors of the verifier's own code.

    Error                      root of every error the house raises on purpose
    └── EncodingError          bytes or a value that have no canonical form, or are not in it
    └── VerificationError      something authentic was expected and something else was found
    └── ReplayUnavailable      a check cannot run on this machine, which says nothing about what it would find

Other packages hang their own branches below `Error`; HTTP status codes live in `server.errors` alone.
"""

from __future__ import annotations


class Error(Exception):
    """Root of all errors of hitproof; its text is safe to show to the person who caused it."""


class EncodingError(Error):
    """A value has no canonical encoding, or bytes are not the canonical encoding of anything."""


class VerificationError(Error):
    """A check failed; *reason* is the word for it in a report, *expected* and *actual* say how, where that helps."""

    def __init__(self, message: str, *, reason: str = "", expected: object = None, actual: object = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.expected = expected
        self.actual = actual


class ReplayUnavailable(Error):
    """A model cannot be run again here: a library, a device or a version is missing. Neither passed nor failed."""
