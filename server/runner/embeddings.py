"""Signing that a stored vector is what an embedder makes of its text: recomputed here, component by component.

What is signed also commits to the vector algebraically, where its dimension has a suite. An embedder is loaded when the
first statement asks for one, in the thread that then does all the work; few requests wait.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

import structlog

from crypto.commitment import SALT_BYTES, text_commitment, vector_commitment
from crypto.ed25519 import Signer
from crypto.embedding_statement import EmbeddingStatement, sign_embedding
from crypto.similarity import quantise_reference
from server.ports import Clock, Embedder, JsonObject, RandomSource
from server.runner.commitments import Commits, Committed, commit_to
from server.runner.errors import EmbeddingNotSigned, RunnerBusy
from server.runner.limits import RunnerLimits
from server.runner.protocol import embedding_statement_object
from server.runner.statement_requests import EmbeddingRequest, read_embedding_request

log = structlog.get_logger()

EmbedderLoader: TypeAlias = Callable[[], Embedder]

#: Two builds of one model round differently now and then; more than this is another vector.
COMPONENT_DIFFERENCE_MAX: Final = 1


class EmbeddingStatementMaker:
    """Recomputes vectors, and signs those that agree with a commitment that *commit* makes.

    *loaders* are tried in order until one gives the embedder that is asked for; what is loaded stays.
    """

    def __init__(
        self,
        signer: Signer,
        loaders: Sequence[EmbedderLoader],
        *,
        clock: Clock,
        random_source: RandomSource,
        limits: RunnerLimits,
        commit: Commits,
    ) -> None:
        self._signer = signer
        self._pending = list(loaders)
        self._embedders: dict[str, Embedder] = {}
        self._clock = clock
        self._random_source = random_source
        self._limits = limits
        self._commit = commit
        self._places = threading.BoundedSemaphore(limits.embeddings_max)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedding")

    async def sign(self, body: JsonObject) -> JsonObject:
        """Return the answer of the embedding statements' path to *body*.

        Raises `RequestInvalid`, `EmbeddingNotSigned` where vector or embedder differ, `RunnerBusy`,
        `server.embedding.errors.EmbeddingError` where the embedder fails, and `SetupError` without the ceremony's file.
        """
        asked = read_embedding_request(body)
        if not self._places.acquire(blocking=False):
            raise RunnerBusy(f"{self._limits.embeddings_max} embedding statements wait already", retry_after_s=1)
        working = self._executor.submit(self._recompute_and_commit, asked)
        # The place is free when the thread is done or never began, not when the caller has left.
        working.add_done_callback(lambda _: self._places.release())
        try:
            async with asyncio.timeout(self._limits.answer_timeout_s):
                committed = await asyncio.wrap_future(working)
        except TimeoutError:
            raise RunnerBusy("the embedder took longer than the runner's time limit", retry_after_s=30) from None
        return self._sign(asked, committed)

    async def close(self) -> None:
        """Let the thread end."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _recompute_and_commit(self, asked: EmbeddingRequest) -> Committed | None:
        self._recompute(asked)
        return commit_to(asked.vector, self._commit, self._random_source)

    def _recompute(self, asked: EmbeddingRequest) -> None:
        embedder = self._find_embedder(asked.embedder)
        own = quantise_reference(embedder.embed([asked.text])[0].tolist())
        if len(own) != len(asked.vector):
            raise EmbeddingNotSigned(f"the embedder's vectors have {len(own)} components, not {len(asked.vector)}")
        difference = max(abs(mine - given) for mine, given in zip(own, asked.vector, strict=True))
        if difference > COMPONENT_DIFFERENCE_MAX:
            raise EmbeddingNotSigned(f"the recomputed vector differs by {difference} in a component")

    def _find_embedder(self, digest: str) -> Embedder:
        while digest not in self._embedders and self._pending:
            embedder = self._pending[0]()
            del self._pending[0]
            self._embedders[embedder.digest] = embedder
            log.info("embedder_loaded", digest=embedder.digest)
        if digest not in self._embedders:
            raise EmbeddingNotSigned("the vector was made by another embedder than this runner's; see --embedder")
        return self._embedders[digest]

    def _sign(self, asked: EmbeddingRequest, committed: Committed | None) -> JsonObject:
        text_salt, vector_salt, nonce = (self._random_source.token_bytes(SALT_BYTES) for _ in range(3))
        vector = bytes(part & 0xFF for part in asked.vector)
        statement = EmbeddingStatement(
            commitment=None if committed is None else committed.commitment.hex(),
            dimension=len(asked.vector),
            embedder=asked.embedder,
            issued_at_ms=self._clock.now_ms(),
            nonce=nonce,
            signer=self._signer.key_id,
            statement=asked.statement,
            suite=None if committed is None else committed.suite.name,
            tenant=asked.tenant,
            text_commitment=text_commitment(text_salt, asked.text),
            vector_commitment=vector_commitment(vector_salt, vector),
        )
        envelope = sign_embedding(statement, self._signer)
        return embedding_statement_object(
            envelope.to_json(),
            text_salt=text_salt,
            vector_salt=vector_salt,
            commitment_seed=None if committed is None else committed.seed,
        )
