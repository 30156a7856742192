"""A route for the hottest endpoint: documented by FastAPI, called without its machinery."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response


class DirectRoute(APIRoute):
    """Calls an endpoint that takes the request alone and returns a response; nothing is injected or serialised.

    Measured with tests/bench/exact_hit.py: docs/explanation/serving.md.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint itself."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint
