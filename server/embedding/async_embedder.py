"""An embedder for many awaiting callers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from server.embedding.batching import BatchReport, MicroBatcher
from server.embedding.errors import BatchingError, EmbedderBusyError, RemoteEmbeddingError, VectorError
from server.ports import Embedder, Float32Matrix

Float32Vector: TypeAlias = npt.NDArray[np.float32]

#: Larger batches save little more on a CPU and make everybody in them wait for all (docs/reference/embedder.md).
BATCH_MAX: Final = 16
QUEUE_MAX: Final = 1024
TIMEOUT_S: Final = 5.0


class AsyncEmbedder:
    """*embedder*, micro-batched: callers that arrive while it works share its next run.

    Every failure is an `EmbeddingError`: a full queue, a passed deadline and a stopping server are `EmbedderBusyError`.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        batch_max: int = BATCH_MAX,
        queue_max: int = QUEUE_MAX,
        timeout_s: float = TIMEOUT_S,
        observe: Callable[[BatchReport], None] | None = None,
    ) -> None:
        self._embedder = embedder
        self._batch_max = batch_max
        self._timeout_s = timeout_s
        self._batcher: MicroBatcher[str, Float32Vector] = MicroBatcher(
            self._run,
            name="the embedder",
            batch_max=batch_max,
            queue_max=queue_max,
            isolates=_may_be_one_text,
            observe=observe,
        )

    @property
    def digest(self) -> str:
        """The embedder's own."""
        return self._embedder.digest

    @property
    def dimension(self) -> int:
        """Components per vector."""
        return self._embedder.dimension

    @property
    def queue_depth(self) -> int:
        """Texts that wait for a run."""
        return self._batcher.depth

    async def embed(self, text: str, *, timeout_s: float | None = None) -> Float32Vector:
        """Return the unit vector of *text*, shape (dimension,). Raises `EmbeddingError`, in time."""
        try:
            return await self._batcher.submit(text, timeout_s=self._timeout_s if timeout_s is None else timeout_s)
        except BatchingError as error:
            raise EmbedderBusyError(str(error)) from error

    async def embed_many(self, texts: Sequence[str], *, timeout_s: float | None = None) -> Float32Matrix:
        """Return unit rows of shape (len(texts), dimension); one text that fails fails all.

        Submits no more than one batch at a time, so that a long list leaves room for others; *timeout_s* is per batch.
        """
        rows = np.empty((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), self._batch_max):
            part = texts[start : start + self._batch_max]
            tasks = [asyncio.ensure_future(self.embed(text, timeout_s=timeout_s)) for text in part]
            try:
                rows[start : start + len(part)] = await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                # Those that failed beside the first are taken note of here, so that none is reported as forgotten.
                await asyncio.gather(*tasks, return_exceptions=True)
        return rows

    async def close(self, *, grace_s: float = 5.0) -> None:
        """Stop: fail what waits, let the running batch end within *grace_s*."""
        await self._batcher.close(grace_s=grace_s)

    def _run(self, texts: list[str]) -> list[Float32Vector]:
        rows = self._embedder.embed(texts)
        if rows.shape != (len(texts), self._embedder.dimension):
            raise VectorError(f"the embedder gave shape {rows.shape} for {len(texts)} texts")
        return list(rows)


def _may_be_one_text(error: Exception) -> bool:
    """Whether trying fewer texts may help; it does not where a service is down, and would multiply its timeouts."""
    return not isinstance(error, RemoteEmbeddingError) or error.blames_input
