"""The statement a runner signs about one answer, and the salts that open its commitments.

`attested` is for models that this process loaded itself; beside another server a statement is `declared`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from crypto.commitment import (
    SALT_BYTES,
    output_commitment,
    output_tokens_commitment,
    prompt_commitment,
    prompt_tokens_commitment,
)
from crypto.ed25519 import Signer
from crypto.errors import EncodingError
from crypto.statement import ReceiptStatement, runtime_digest, sign_receipt
from server.ports import Clock, JsonObject, RandomSource, UpstreamModel
from server.runner.statement_requests import StatementRequest

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answered:
    """One finished answer: *messages* as they were sent, *choices* as the whole answer has them.

    *model* has no manifest where this process did not load it; then the token ids are None.
    """

    model: UpstreamModel
    messages: Any
    choices: Any
    parameters: Mapping[str, Any]
    prompt_token_ids: Sequence[int] | None
    output_token_ids: Sequence[int] | None


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """A signed statement as JSON and the salts of its commitments in hexadecimal, by kind."""

    statement: JsonObject
    openings: JsonObject


@dataclass(frozen=True, slots=True)
class _Salts:
    output: bytes
    prompt: bytes
    output_tokens: bytes | None
    prompt_tokens: bytes | None

    def to_json(self) -> JsonObject:
        return {
            "output": self.output.hex(),
            "prompt": self.prompt.hex(),
            "output_tokens": None if self.output_tokens is None else self.output_tokens.hex(),
            "prompt_tokens": None if self.prompt_tokens is None else self.prompt_tokens.hex(),
        }


class StatementMaker:
    """Makes receipt statements under one key; salts, nonces and times come from the ports."""

    def __init__(self, signer: Signer, *, clock: Clock, random_source: RandomSource) -> None:
        self._signer = signer
        self._clock = clock
        self._random_source = random_source

    @property
    def signing_key(self) -> str:
        """The public key in hexadecimal."""
        return self._signer.public_key.hex()

    def sign(self, asked: StatementRequest, answered: Answered) -> SignedAnswer | None:
        """Return the signed statement; None, and a log line, for an answer that has no stated form."""
        salts = self._make_salts(answered)
        try:
            envelope = sign_receipt(self._state(asked, answered, salts), self._signer)
        except EncodingError:
            # Not the error's own text: it can quote the answer.
            log.warning("answer_not_signed", model=answered.model.name[:64], reason="it cannot be stated")
            return None
        return SignedAnswer(envelope.to_json(), salts.to_json())

    def _make_salts(self, answered: Answered) -> _Salts:
        return _Salts(
            output=self._make_salt(),
            prompt=self._make_salt(),
            output_tokens=None if answered.output_token_ids is None else self._make_salt(),
            prompt_tokens=None if answered.prompt_token_ids is None else self._make_salt(),
        )

    def _make_salt(self) -> bytes:
        return self._random_source.token_bytes(SALT_BYTES)

    def _state(self, asked: StatementRequest, answered: Answered, salts: _Salts) -> ReceiptStatement:
        manifest = answered.model.manifest
        return ReceiptStatement(
            derivation=asked.derivation,
            evidence=asked.evidence,
            grade="declared" if manifest is None else "attested",
            issued_at_ms=self._clock.now_ms(),
            model_name=answered.model.name,
            openssf_digest=None if manifest is None else manifest["openssf_digest"],
            model_version=answered.model.model_version,
            nonce=self._make_salt(),
            output_commitment=output_commitment(salts.output, answered.choices),
            output_tokens_commitment=_commit(output_tokens_commitment, salts.output_tokens, answered.output_token_ids),
            prompt_tokens_commitment=_commit(prompt_tokens_commitment, salts.prompt_tokens, answered.prompt_token_ids),
            parameters=answered.parameters,
            parents=asked.parents,
            policy=asked.policy,
            prompt_commitment=prompt_commitment(salts.prompt, answered.messages),
            runtime=None if manifest is None else runtime_digest(manifest),
            signer=self._signer.key_id,
            tenant=asked.tenant,
        )


def _commit(
    commit: Callable[[bytes, Sequence[int]], bytes], salt: bytes | None, ids: Sequence[int] | None
) -> bytes | None:
    return None if salt is None or ids is None else commit(salt, ids)
