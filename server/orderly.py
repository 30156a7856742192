"""A uvicorn server that takes SIGINT and SIGTERM as a request to end well."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import uvicorn


class OrderlyServer(uvicorn.Server):
    """Drains and returns; uvicorn itself would raise the signal again afterwards."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle both signals for as long as the block lasts."""
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
