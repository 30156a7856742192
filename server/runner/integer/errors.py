"""Errors of serving integer models.

    server.runner.errors.RunnerError
    └── InexactBackend      this machine's arithmetic does not give the integers of the definition

What is wrong with a model or its files is `crypto.integer.errors`.
"""

from __future__ import annotations

from server.runner.errors import RunnerError


class InexactBackend(RunnerError):
    """The serving arithmetic is not exact here, for example because TF32 or bfloat16 products are switched on."""
