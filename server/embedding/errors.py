"""Errors about turning text into vectors, and about waiting for a batch.

crypto.errors.Error
├── EmbeddingError                  a text has no vector now: the lookup bypasses, nothing is stored
│   ├── ModelFilesError             files are absent, altered, or of a kind no adapter reads: mend and restart
│   ├── VectorError                 the model gave NaN, infinity, a zero vector or the wrong shape
│   ├── TextError                   the text itself cannot be read by a tokenizer or a service
│   ├── RemoteEmbeddingError        an embeddings service failed or broke its protocol
│   └── EmbedderBusyError           the queue is full, the deadline passed, or the server is stopping (503)
└── BatchingError                   an item got no result from its batch, whatever the batch computes
    ├── BatchQueueFullError         as many items wait as may wait
    ├── BatchDeadlineError          the item's time ran out
    └── BatcherClosedError          the batcher is stopping or has stopped
"""

from __future__ import annotations

from crypto.errors import Error


class EmbeddingError(Error):
    """Root of what can go wrong between a text and its vector."""


class ModelFilesError(EmbeddingError):
    """A model's files are missing, not the pinned ones, or describe something that no adapter computes."""


class VectorError(EmbeddingError):
    """A model answered with something that is no finite, non-zero row of the agreed dimension."""


class TextError(EmbeddingError):
    """A text cannot be embedded: it holds a lone surrogate, or is longer than the service takes."""


class RemoteEmbeddingError(EmbeddingError):
    """An embeddings service did not answer as agreed; *status* is its HTTP status, if it gave one."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    @property
    def blames_input(self) -> bool:
        """Whether the service says that this very input is at fault, so that the other texts may still succeed."""
        return self.status in (400, 413, 422)


class EmbedderBusyError(EmbeddingError):
    """The embedder cannot take or finish this text in time."""


class BatchingError(Error):
    """Root of what can keep an item from its result other than the computation itself."""


class BatchQueueFullError(BatchingError):
    """The queue holds *limit* items already."""

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(f"{limit} items already wait for {name}; try again shortly, or raise its queue limit")
        self.limit = limit


class BatchDeadlineError(BatchingError):
    """The item was not finished within *timeout_s* seconds."""

    def __init__(self, name: str, timeout_s: float) -> None:
        super().__init__(f"{name} gave no result within {timeout_s:g} s; try again, or raise its timeout")
        self.timeout_s = timeout_s


class BatcherClosedError(BatchingError):
    """The batcher takes nothing more because its server is stopping."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is stopping and takes nothing more")
