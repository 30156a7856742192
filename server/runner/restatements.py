"""Saying again, for another tenant and under fresh salts, what this runner once signed.

A tenant may publish an answer by consent. The statement behind it names that tenant; the one that is made here names the
pool, opens with other salts, and cannot be linked to the first by anybody who has not seen what both are about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from crypto.canonical import JsonValue
from crypto.closed import Reader, read_integer, read_list, read_pseudonym, read_record
from crypto.commitment import (
    SALT_BYTES,
    output_commitment,
    output_tokens_commitment,
    prompt_commitment,
    prompt_tokens_commitment,
)
from crypto.dsse import verify_envelope
from crypto.ed25519 import Signer
from crypto.errors import EncodingError, VerificationError
from crypto.statement import EvidenceReference, ReceiptStatement, parse_receipt, sign_receipt
from server.ports import Clock, JsonObject, RandomSource
from server.runner.errors import NotRestated, RequestInvalid
from server.runner.protocol import restatement_object
from server.runner.statement_requests import read_evidence, read_policy

TOKENS_MAX: Final = 2**20
TOKEN_MAX: Final = 2**31 - 1
KINDS: Final = ("output", "prompt", "output_tokens", "prompt_tokens")
_SALT: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class RestatementRequest:
    """What is to be said again: the statement, what it is about, the salts that show so, and whose the new one is."""

    choices: Any
    envelope: Any
    evidence: tuple[EvidenceReference, ...]
    messages: Any
    openings: Mapping[str, bytes]
    output_token_ids: tuple[int, ...]
    policy: str | None
    prompt_token_ids: tuple[int, ...]
    tenant: str


class RestatementMaker:
    """Makes restatements under the key that signed the statements."""

    def __init__(self, signer: Signer, *, clock: Clock, random_source: RandomSource) -> None:
        self._signer = signer
        self._clock = clock
        self._random_source = random_source

    def restate(self, body: JsonObject) -> JsonObject:
        """Return the answer of the restatements' path to *body*.

        Raises `RequestInvalid` for another form, and `NotRestated` where the statement is not one that this key signed,
        is not `attested`, has parents, or is about something else than what was sent with it.
        """
        asked = read_restatement_request(body)
        before = self._verified(asked)
        salts = {kind: self._random_source.token_bytes(SALT_BYTES) for kind in KINDS}
        made = commitments(asked, salts)
        statement = replace(
            before,
            evidence=asked.evidence,
            issued_at_ms=self._clock.now_ms(),
            nonce=self._random_source.token_bytes(SALT_BYTES),
            output_commitment=made["output"],
            output_tokens_commitment=made["output_tokens"],
            prompt_tokens_commitment=made["prompt_tokens"],
            policy=asked.policy,
            prompt_commitment=made["prompt"],
            tenant=asked.tenant,
        )
        envelope = sign_receipt(statement, self._signer).to_json()
        return restatement_object(envelope, openings={kind: salt.hex() for kind, salt in salts.items()})

    def _verified(self, asked: RestatementRequest) -> ReceiptStatement:
        try:
            envelope, statement = parse_receipt(asked.envelope)
            verify_envelope(envelope, self._signer.public_key)
        except VerificationError as error:
            raise NotRestated(f"the envelope is not a receipt that this runner signed ({error.reason})") from None
        if statement.grade != "attested" or statement.parents:
            raise NotRestated("only an attested statement without parents is said again")
        signed = (
            statement.output_commitment,
            statement.prompt_commitment,
            statement.output_tokens_commitment,
            statement.prompt_tokens_commitment,
        )
        if signed != tuple(commitments(asked, asked.openings).values()):
            raise NotRestated("the statement is about something else than what was sent with it")
        return statement


def commitments(asked: RestatementRequest, salts: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the commitments to what *asked* is about, in the order of `KINDS`; raises `RequestInvalid`."""
    try:
        return {
            "output": output_commitment(salts["output"], asked.choices),
            "prompt": prompt_commitment(salts["prompt"], asked.messages),
            "output_tokens": output_tokens_commitment(salts["output_tokens"], asked.output_token_ids),
            "prompt_tokens": prompt_tokens_commitment(salts["prompt_tokens"], asked.prompt_token_ids),
        }
    except EncodingError:
        # Not the error's own text: it can quote the answer.
        raise RequestInvalid("the messages or choices have no stated form") from None


def read_restatement_request(body: JsonObject) -> RestatementRequest:
    """Read the body of a restatement's request; raises `RequestInvalid`."""
    try:
        return RestatementRequest(**read_record(body, "the request", _REQUEST))
    except EncodingError as error:
        raise RequestInvalid(str(error)) from None


def _read_as_it_is(value: JsonValue, where: str) -> JsonValue:
    if not isinstance(value, list | dict):
        raise EncodingError(f"{where} is neither an array nor an object")
    return value


def _read_salts(value: JsonValue, where: str) -> dict[str, bytes]:
    if not isinstance(value, dict) or value.keys() != set(KINDS):
        raise EncodingError(f"{where} has not exactly the fields {', '.join(KINDS)}")
    texts = [value[kind] for kind in KINDS]
    if not all(isinstance(text, str) and _SALT.fullmatch(text) for text in texts):
        raise EncodingError(f"{where} holds something else than salts of 64 hexadecimal digits")
    return {kind: bytes.fromhex(str(text)) for kind, text in zip(KINDS, texts, strict=True)}


def _read_tokens(value: JsonValue, where: str) -> Sequence[int]:
    read = partial(read_integer, most=TOKEN_MAX)
    return tuple(read(token, f"a token of {where}") for token in read_list(value, where, TOKENS_MAX))


_REQUEST: Final[Mapping[str, Reader]] = {
    "choices": _read_as_it_is,
    "envelope": _read_as_it_is,
    "evidence": read_evidence,
    "messages": _read_as_it_is,
    "openings": _read_salts,
    "output_token_ids": _read_tokens,
    "policy": read_policy,
    "prompt_token_ids": _read_tokens,
    "tenant": read_pseudonym,
}
