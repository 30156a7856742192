"""Errors of the runner.

    crypto.errors.Error
    └── RunnerError
        ├── RequestInvalid          a field the runner cannot honour; *param* names it
        │   └── RequestTooLong      prompt and answer do not fit the model's window
        ├── ModelUnknown            no engine of that name is loaded here
        ├── RunnerBusy              queue full or waited too long; *retry_after_s* says when to come back
        ├── EmbeddingNotSigned      no statement about this vector: it, or its embedder, is not this runner's
        ├── NotRestated             a statement is not said again: not this runner's, or about something else
        ├── GenerationFailed        the engine broke its contract or crashed while answering
        ├── ModelFolderError        the model folder is missing, unsafe or of a kind that is not loaded
        └── RunnerConfigurationError  token file, address or engines cannot be used as given

The HTTP statuses stand in one table in `server.runner.app`.
"""

from __future__ import annotations

from crypto.errors import Error


class RunnerError(Error):
    """Root of the errors of `server.runner`."""


class RequestInvalid(RunnerError):
    """The request asks for something that this runner cannot do; *param* is the field to change."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class RequestTooLong(RequestInvalid):
    """The prompt leaves no room for an answer: *tokens* were asked for and *tokens_max* fit."""

    def __init__(self, tokens: int, tokens_max: int) -> None:
        super().__init__(
            f"prompt and answer need {tokens} tokens and this model holds {tokens_max}; shorten the messages",
            param="messages",
        )
        self.tokens = tokens
        self.tokens_max = tokens_max


class ModelUnknown(RunnerError):
    """No model of this name is loaded; GET /v1/models lists those that are."""


class RunnerBusy(RunnerError):
    """The queue is full or was waited in too long; come back after *retry_after_s* seconds."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EmbeddingNotSigned(RunnerError):
    """The runner signs nothing about this vector: its own differs, its embedder does, or it has no key or embedder."""


class NotRestated(RunnerError):
    """The runner does not say a statement again: not its own, not attested, with parents, or about something else."""


class GenerationFailed(RunnerError):
    """The engine crashed or ended without a finished answer; nothing it said so far counts."""


class ModelFolderError(RunnerError):
    """A model folder cannot be loaded as it is; the text says which file to change."""


class RunnerConfigurationError(RunnerError):
    """The runner cannot start as configured; the text says what to change."""
