"""Statements of vectors before they are stored: what the gateway signs itself, and what a runner's must say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from crypto.applicability.blinding import SEED_BYTES
from crypto.commitment import SALT_BYTES, text_commitment, vector_commitment
from crypto.dsse import Envelope, verify_envelope
from crypto.ed25519 import Signer
from crypto.embedding_statement import EmbeddingStatement, parse_embedding, sign_embedding
from crypto.errors import VerificationError
from server.ports import Clock, RandomSource
from server.reuse.embedding_subjects import EmbeddingSubject, StatingRunner
from server.reuse.pseudonyms import pseudonym_at
from server.reuse.receipt_making import CLOCK_TOLERANCE_MS


class CommitsBeside(Protocol):
    """Commits to a vector in another process, so that nothing here waits for the arithmetic."""

    async def __call__(self, suite_name: str, vector: Sequence[int], seed: bytes) -> bytes:
        """Return the compressed point; raises `crypto.errors.Error` where it cannot be made now."""
        ...


@dataclass(frozen=True, slots=True)
class Stated:
    """A statement that was found right, with the salts that open it by kind, as they are sealed."""

    statement: EmbeddingStatement
    envelope: Envelope
    salts: dict[str, bytes]


class OwnStatements:
    """States vectors under the gateway's own key, *signer*."""

    def __init__(
        self, signer: Signer, commit: CommitsBeside, clock: Clock, random: RandomSource, *, embedder_digest: str
    ) -> None:
        self._signer = signer
        self._commit = commit
        self._clock = clock
        self._random = random
        self._embedder_digest = embedder_digest

    async def state(self, subject: EmbeddingSubject) -> Stated:
        """Sign what the gateway's embedder made of the question, with a commitment where the dimension has a suite."""
        salts = {kind: self._random.token_bytes(SALT_BYTES) for kind in ("text", "vector")}
        suite, commitment = subject.suite, None
        if suite is not None:
            salts["commitment"] = self._random.token_bytes(SEED_BYTES)
            commitment = await self._commit(suite.name, subject.components, salts["commitment"])
        now_ms = self._clock.now_ms()
        statement = EmbeddingStatement(
            commitment=None if commitment is None else commitment.hex(),
            dimension=len(subject.vector),
            embedder=self._embedder_digest,
            issued_at_ms=now_ms,
            nonce=self._random.token_bytes(SALT_BYTES),
            signer=self._signer.key_id,
            statement=subject.receipt.statement,
            suite=None if suite is None else suite.name,
            tenant=pseudonym_at(subject.tenant, now_ms),
            text_commitment=text_commitment(salts["text"], subject.text),
            vector_commitment=vector_commitment(salts["vector"], subject.vector.tobytes()),
        )
        return Stated(statement, sign_embedding(statement, self._signer), salts)


class RunnerStatements:
    """Has runners state vectors, and believes them only what was asked and what their salts open."""

    def __init__(self, commit: CommitsBeside, clock: Clock, *, embedder_digest: str) -> None:
        self._commit = commit
        self._clock = clock
        self._embedder_digest = embedder_digest

    async def state(self, subject: EmbeddingSubject, runner: StatingRunner) -> Stated:
        """Return what *runner* signed; raises `UpstreamError`, and `VerificationError` for anything but what was asked."""
        answer = await runner.upstream.embedding_statement(
            embedder=self._embedder_digest,
            statement=subject.receipt.statement,
            tenant=pseudonym_at(subject.tenant, self._clock.now_ms()),
            text=subject.text,
            vector=subject.components,
        )
        envelope, statement = parse_embedding(answer.envelope)
        verify_envelope(envelope, runner.identity.public_key)
        salts = {"text": answer.text_salt, "vector": answer.vector_salt}
        self._verify_terms(subject, statement, salts)
        await self._verify_commitment(subject, statement, answer.commitment_seed)
        if answer.commitment_seed is not None:
            salts["commitment"] = answer.commitment_seed
        return Stated(statement, envelope, salts)

    def _verify_terms(self, subject: EmbeddingSubject, statement: EmbeddingStatement, salts: dict[str, bytes]) -> None:
        said = (statement.embedder, statement.dimension, statement.statement)
        if said != (self._embedder_digest, len(subject.vector), subject.receipt.statement):
            raise VerificationError("the runner states another embedding", reason="evidence_mismatch")
        if statement.tenant != pseudonym_at(subject.tenant, statement.issued_at_ms):
            raise VerificationError("the statement is for another tenant", reason="tenant_mismatch")
        if abs(self._clock.now_ms() - statement.issued_at_ms) > CLOCK_TOLERANCE_MS:
            raise VerificationError("the runner's clock is more than 5 minutes off", reason="signer_expired")
        if (
            text_commitment(salts["text"], subject.text) != statement.text_commitment
            or vector_commitment(salts["vector"], subject.vector.tobytes()) != statement.vector_commitment
        ):
            raise VerificationError("the salts do not open what was signed", reason="opening_mismatch")

    async def _verify_commitment(
        self, subject: EmbeddingSubject, statement: EmbeddingStatement, seed: bytes | None
    ) -> None:
        """Commit anew and compare; a runner of an older release, which commits to nothing, is believed the rest."""
        if (statement.commitment is None) != (seed is None):
            raise VerificationError("a commitment came without its seed, or a seed alone", reason="opening_mismatch")
        if statement.commitment is None or seed is None:
            return
        suite = subject.suite
        if suite is None or statement.suite != suite.name:
            raise VerificationError("the runner committed in a suite that does not fit", reason="evidence_mismatch")
        commitment = await self._commit(suite.name, subject.components, seed)
        if commitment.hex() != statement.commitment:
            raise VerificationError("the seed does not open the commitment", reason="opening_mismatch")
