"""Errors at the edge: which status each error of the house becomes, and how it is written.

`/v1/*` answers with OpenAI's error object, everything else with RFC 9457 problem details. A body is never echoed, a
traceback never shown; what is not in the table is a 500 that says nothing but its request id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from crypto.errors import EncodingError, Error
from server.audit.request import ExportError, ExportNotReady, ExportRunning, ExportsBusy, ExportUnavailable
from server.prover.errors import ProverBusy, ProverError
from server.reuse.budget import BudgetSpent
from server.reuse.eviction import OverQuota
from server.reuse.flights import TooManyFlights
from server.reuse.models import UnknownModel
from server.reuse.policy import PolicyError
from server.store.errors import Conflict, NotFound, StoreBusy, StoreError, Unstorable
from server.upstream.directory import KeyReferenceError
from server.upstream.errors import (
    CircuitOpen,
    ForbiddenAddress,
    UpstreamMalformed,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from tenants.errors import AuthenticationError, QuotaError, ScopeError, SealedError


class RequestError(Error):
    """A request that cannot be served as it is; *param* names the field to change."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str = "invalid_request", status: int = 400
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.status = status


class RateLimited(Error):
    """A limit of the caller's key or tenant was reached; try again after *retry_after_s*."""

    def __init__(self, message: str, *, retry_after_s: int, code: str = "rate_limit_exceeded") -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.code = code


class Overloaded(Error):
    """The process is full or shutting down; nothing was done."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the client gets to see of an error."""

    status: int
    type: str
    code: str
    message: str
    param: str | None = None
    retry_after_s: int | None = None


#: (error, status, type, code), most specific first.
_TABLE: Final[tuple[tuple[type[Error], int, str, str], ...]] = (
    (AuthenticationError, 401, "authentication_error", "invalid_api_key"),
    (ScopeError, 403, "permission_error", "missing_scope"),
    (UnknownModel, 404, "invalid_request_error", "model_not_found"),
    (NotFound, 404, "invalid_request_error", "not_found"),
    (Conflict, 409, "invalid_request_error", "conflict"),
    (PolicyError, 400, "invalid_request_error", "invalid_policy"),
    (QuotaError, 400, "invalid_request_error", "invalid_quota"),
    (ForbiddenAddress, 400, "invalid_request_error", "forbidden_address"),
    (KeyReferenceError, 400, "invalid_request_error", "invalid_key_reference"),
    (EncodingError, 400, "invalid_request_error", "invalid_json"),
    (ProverBusy, 503, "server_error", "busy"),
    (ProverError, 503, "server_error", "prover_unavailable"),
    (ExportUnavailable, 503, "server_error", "export_unavailable"),
    (ExportRunning, 429, "rate_limit_error", "concurrency_limit_exceeded"),
    (ExportsBusy, 503, "server_error", "busy"),
    (ExportNotReady, 409, "invalid_request_error", "export_not_ready"),
    (ExportError, 400, "invalid_request_error", "export_refused"),
    (SealedError, 503, "server_error", "sealed"),
    (OverQuota, 400, "invalid_request_error", "over_quota"),
    (Unstorable, 400, "invalid_request_error", "invalid_value"),
    (StoreBusy, 503, "server_error", "busy"),
    (StoreError, 503, "server_error", "store_unavailable"),
    (TooManyFlights, 503, "server_error", "busy"),
    (Overloaded, 503, "server_error", "overloaded"),
    (CircuitOpen, 503, "server_error", "upstream_unavailable"),
    (UpstreamTimeout, 504, "server_error", "upstream_timeout"),
    (UpstreamUnavailable, 502, "server_error", "upstream_unavailable"),
    (UpstreamMalformed, 502, "server_error", "upstream_malformed"),
)
RETRY_AFTER_S: Final = 1


def show(error: Error) -> Shown:
    """Return what a client may see of *error*."""
    if isinstance(error, RequestError):
        return Shown(error.status, "invalid_request_error", error.code, str(error), error.param)
    if isinstance(error, RateLimited):
        return Shown(429, "rate_limit_error", error.code, str(error), retry_after_s=error.retry_after_s)
    if isinstance(error, BudgetSpent):
        return Shown(429, "rate_limit_error", "token_budget_spent", str(error), retry_after_s=error.retry_after_s)
    if isinstance(error, UpstreamRejected):
        return _show_rejected(error)
    for kind, status, type_, code in _TABLE:
        if isinstance(error, kind):
            retry_after_s = getattr(error, "retry_after_s", None) or (RETRY_AFTER_S if status in (429, 503) else None)
            param = getattr(error, "field", None)
            return Shown(status, type_, code, str(error), param, None if retry_after_s is None else int(retry_after_s))
    return Shown(500, "server_error", "internal_error", "something went wrong here; the request id names it in the log")


def _show_rejected(error: UpstreamRejected) -> Shown:
    """Pass on what the upstream says of the request, but never its word about keys that are ours."""
    if error.status in (401, 403):
        return Shown(502, "server_error", "upstream_refused_key", "the upstream refused the platform's own key")
    found = error.error
    status = error.status if error.status in (400, 404, 409, 413, 422, 429) else 400
    return Shown(
        400 if status == 422 else status,
        str(found.get("type") or "invalid_request_error")[:100],
        str(found.get("code") or "upstream_rejected")[:100],
        str(found.get("message") or error)[:1000],
        None if found.get("param") is None else str(found["param"])[:100],
        None if error.retry_after_s is None else int(error.retry_after_s),
    )


def error_object(shown: Shown) -> dict[str, object]:
    """Return OpenAI's error object."""
    return {"error": {"message": shown.message, "type": shown.type, "param": shown.param, "code": shown.code}}


def error_response(path: str, shown: Shown, *, request_id: str = "") -> Response:
    """Write *shown* in the form that *path* promises."""
    headers: dict[str, str] = {}
    if shown.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, shown.retry_after_s))
    if shown.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="hitproof"'
    if path.startswith("/v1/") or path == "/v1":
        return Response(orjson.dumps(error_object(shown)), shown.status, headers, "application/json")
    problem = {
        "type": f"urn:hitproof:problem:{shown.code}",
        "title": shown.code.replace("_", " "),
        "status": shown.status,
        "detail": shown.message,
        "instance": path[:200],
        "request_id": request_id,
    }
    if shown.param is not None:
        problem["param"] = shown.param
    return Response(orjson.dumps(problem), shown.status, headers, "application/problem+json")


async def answer_with_error(request: Request, error: Exception) -> Response:
    """Starlette's exception handler for every `Error`."""
    shown = show(error) if isinstance(error, Error) else show(Error())
    return error_response(request.url.path, shown, request_id=request.scope.get("request_id", ""))
