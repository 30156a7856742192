"""Errors of computing an answer elsewhere.

crypto.errors.Error
└── UpstreamError
    ├── UpstreamUnavailable     not reached, connection lost, 5xx, or it reported an error in mid-stream
    ├── UpstreamTimeout         one of the time limits passed
    ├── UpstreamMalformed       it answered with something that is not a whole answer
    ├── UpstreamRejected        it refused the request (4xx); its error object may be passed on
    ├── CircuitOpen             it failed so often that it is left alone for *retry_after_s*
    └── ForbiddenAddress        its name resolves to an address that nobody may be sent to
"""

from __future__ import annotations

from crypto.errors import Error
from server.ports import JsonObject


class UpstreamError(Error):
    """Root of the errors of `server.upstream`; nothing that raised one may be stored or reused."""


class UpstreamUnavailable(UpstreamError):
    """The upstream did not answer; *status* is its HTTP status where there was one."""

    def __init__(self, message: str, *, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class UpstreamTimeout(UpstreamError):
    """The upstream was too slow to connect, to begin, to continue or to finish."""


class UpstreamMalformed(UpstreamError):
    """The upstream's answer is not the whole, well-formed object that the API promises."""


class UpstreamRejected(UpstreamError):
    """The upstream refused the request with *status*; *error* is its OpenAI error object, bounded, for the caller."""

    def __init__(self, message: str, *, status: int, error: JsonObject, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.retry_after_s = retry_after_s


class CircuitOpen(UpstreamError):
    """Calls are held back until the upstream answers a probe; try again after *retry_after_s* seconds."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ForbiddenAddress(UpstreamError):
    """The upstream's address is one that the platform never connects to; *address* is the offending one."""

    def __init__(self, message: str, *, address: str) -> None:
        super().__init__(message)
        self.address = address
