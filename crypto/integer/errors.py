"""Errors of integer models and of the files that hold them.

crypto.errors.Error
└── IntegerModelError
    ├── UnprovableModel      a bound over all inputs reaches its limit; names the tensor
    ├── WeightsRefused       a weights or tokenizer file is not what its digest or its format promises
    └── SettingRefused       a request asks for what the model does not define; *param* names the field
"""

from __future__ import annotations

from ..errors import Error


class IntegerModelError(Error):
    """Root of the errors of `crypto.integer`."""


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


class SettingRefused(IntegerModelError):
    """The model does not define what was asked for; *param* is the field of the request to change."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message)
        self.param = param
