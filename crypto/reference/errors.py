"""Errors of the second verifier, which has a tree of its own because it shares nothing with the first.

ReferenceFault     root of both
├── NotInForm       bytes or a value are not as the format says; whoever reads them gives the reason
└── Refused         a check failed, with the reason word of the report
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ReferenceFault(Exception):
    """Root of what the second verifier raises on purpose."""


class NotInForm(ReferenceFault):
    """Bytes or a value are not in the one form that the format gives them."""


class Refused(ReferenceFault):
    """A check failed; *reason* is a word of the list "What a verifier checks"."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


@contextmanager
def named(reason: str) -> Iterator[None]:
    """Give whatever is not in form inside the block this reason."""
    try:
        yield
    except NotInForm as error:
        raise Refused(reason, str(error)) from error
