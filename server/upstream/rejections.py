"""What an upstream's refusal means here, and how much of its own words go on to the caller."""

from __future__ import annotations

from typing import Final

import httpx2

from crypto.canonical import parse_json
from crypto.errors import EncodingError
from server.ports import JsonObject
from server.upstream.errors import UpstreamError, UpstreamMalformed, UpstreamRejected, UpstreamUnavailable
from server.upstream.retries import parse_retry_after

_MESSAGE_LENGTH_MAX: Final = 2_000
_FIELD_LENGTH_MAX: Final = 200
#: The platform's own trouble with the upstream: callers can do nothing about it and learn nothing of it.
_PLATFORM_STATUSES: Final = frozenset({401, 403, 407})
_BUSY_STATUSES: Final = frozenset({408, 425})


class NotConnected(UpstreamUnavailable):
    """No connection came about, so nothing was asked yet."""


class PoolFull(UpstreamUnavailable):
    """All connections are in use: our load, and no sign of trouble on the other side."""


def failure_of(name: str, response: httpx2.Response, data: bytes, *, secret: str | None) -> UpstreamError:
    """Return the error for a *response* that is not 200, whose body began with *data*; *secret* is blotted out."""
    status = response.status_code
    retry_after_s = parse_retry_after(response.headers.get("retry-after"))
    if status in _PLATFORM_STATUSES:
        return UpstreamUnavailable(
            f"the upstream {name!r} refused the platform's own credentials; the operator must check its api_key",
            status=status,
        )
    if status >= 500 or status in _BUSY_STATUSES:
        message = f"the upstream {name!r} failed with status {status}"
        return UpstreamUnavailable(message, status=status, retry_after_s=retry_after_s)
    if status >= 400:
        message = f"the upstream {name!r} refused the request with status {status}"
        error = _error_object(data, message, secret)
        return UpstreamRejected(message, status=status, error=error, retry_after_s=retry_after_s)
    if status >= 300:
        return UpstreamMalformed(f"the upstream {name!r} redirects, which is not followed; set its final base_url")
    return UpstreamMalformed(f"the upstream {name!r} answered with status {status}")


def _error_object(data: bytes, message: str, secret: str | None) -> JsonObject:
    try:
        value = parse_json(data)
    except EncodingError:
        value = None
    given = value.get("error") if isinstance(value, dict) else None
    fields = given if isinstance(given, dict) else {}
    return {
        "message": _text(fields.get("message"), _MESSAGE_LENGTH_MAX, secret) or message,
        "type": _text(fields.get("type"), _FIELD_LENGTH_MAX, secret) or "invalid_request_error",
        "param": _text(fields.get("param"), _FIELD_LENGTH_MAX, secret),
        "code": _text(fields.get("code"), _FIELD_LENGTH_MAX, secret),
    }


def _text(value: object, length_max: int, secret: str | None) -> str | None:
    if not isinstance(value, str):
        return None
    if secret:
        value = value.replace(secret, "[redacted]")
    return value[:length_max]
