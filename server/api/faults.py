"""Every way in which a request can fail inside the framework, answered in the form that its path promises."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route

from crypto.errors import Error
from server.errors import RequestError, Shown, answer_with_error, error_response, show


def add_fault_handlers(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Replace the framework's own error pages, which echo input and do not look like the API's.

    *routers* are those of *app*: of the routes at a path, the framework's 405 names only the first one's method.
    """
    routes = [route for router in routers for route in router.routes if isinstance(route, Route)]

    app.add_exception_handler(Error, answer_with_error)
    app.add_exception_handler(HTTPException, partial(_answer_http_exception, routes))
    app.add_exception_handler(RequestValidationError, _answer_invalid_parameters)
    app.add_exception_handler(ClientDisconnect, _answer_nobody)
    app.add_exception_handler(Exception, _answer_unexpected)


async def _answer_http_exception(routes: Sequence[Route], request: Request, error: Exception) -> Response:
    """Write the framework's own 404 and 405."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "http_error")
    message = {404: "there is nothing at this path", 405: "this path does not take that method"}.get(status, code)
    response = _write(request, Shown(status, "invalid_request_error", code, message))
    if status == 405:
        response.headers["Allow"] = ", ".join(sorted(_methods_at(routes, request)) or "GET")
    return response


async def _answer_invalid_parameters(request: Request, error: Exception) -> Response:
    """Name the query or path parameter that is wrong; its value is not repeated."""
    if not isinstance(error, RequestValidationError):
        return await _answer_unexpected(request, error)
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:])[:200]
    message = f"{param}: {first['msg']}" if param else str(first["msg"])
    return _write(request, show(RequestError(message, param=param, code="invalid_value")))


async def _answer_nobody(request: Request, error: Exception) -> Response:
    """The client went away while its body was read; whatever is written here reaches nobody."""
    return _write(request, Shown(400, "invalid_request_error", "client_disconnected", "the client went away"))


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    """Say nothing but the request id; `server.middleware` logs the error, which the framework raises again."""
    return _write(request, show(Error()))


def _write(request: Request, shown: Shown) -> Response:
    return error_response(request.url.path, shown, request_id=request.scope.get("request_id", ""))


def _methods_at(routes: Sequence[Route], request: Request) -> set[str]:
    found: set[str] = set()
    for route in routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found
