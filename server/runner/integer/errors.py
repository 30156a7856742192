"""Errors of integer models and of the files that hold them.

    server.runner.errors.RunnerError
    └── IntegerModelError
        ├── UnprovableModel      a bound over all inputs reaches its limit; names the tensor
        ├── WeightsRefused       a weights or tokenizer file is not what its digest or its format promises
        └── InexactBackend       this machine's arithmetic does not give the integers of the definition

What a request asks for and the model does not define is `server.runner.errors.RequestInvalid`.
"""

from __future__ import annotations

from server.runner.errors import RunnerError


class IntegerModelError(RunnerError):
    """Root of the errors of `server.runner.integer`."""


class UnprovableModel(IntegerModelError):
    """The bound *quantity* of *tensor* reaches *limit* for some input, so a proof could wrap around."""

    def __init__(self, tensor: str, quantity: str, bound: int, limit: int) -> None:
        super().__init__(
            f"the model cannot be proved: {quantity} of {tensor!r} can reach {bound}, which must stay below {limit};"
            " use smaller weights in this tensor"
        )
        self.tensor = tensor
        self.quantity = quantity
        self.bound = bound
        self.limit = limit


class WeightsRefused(IntegerModelError):
    """A file of the model was changed, cut short or written by something else."""


class InexactBackend(IntegerModelError):
    """The serving arithmetic is not exact here, for example because TF32 or bfloat16 products are switched on."""
