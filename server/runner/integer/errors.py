"""Errors of integer models and of the files that hold them.

    crypto.errors.Error
    └── IntegerModelError
        ├── UnprovableModel      a bound over all inputs reaches its limit; names the tensor
        ├── WeightsRefused       a weights or tokenizer file is not what its digest or its format promises
        ├── InexactBackend       this machine's arithmetic does not give the integers of the definition
        └── RequestRefused       a conversation, or a setting, that the model has no meaning for
"""

from __future__ import annotations

from crypto.errors import Error


class IntegerModelError(Error):
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


class RequestRefused(IntegerModelError):
    """The request asks for something that the model does not define."""
