"""Make the receipt of a fresh answer: verify what the runner signed, or sign what nobody loaded a model for.

A runner's word is believed only when it says exactly what was asked and what is about to be stored. Where no runner signs
(another vendor's model, an answer that a client put), the gateway signs under its own key, and only `declared`.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crypto.canonical import JsonValue
from crypto.closed import write_record
from crypto.commitment import (
    SALT_BYTES,
    output_commitment,
    output_tokens_commitment,
    prompt_commitment,
    prompt_tokens_commitment,
    stated_json,
)
from crypto.dsse import Envelope, verify_envelope
from crypto.ed25519 import Signer
from crypto.errors import VerificationError
from crypto.leaf import LeafKind, envelope_leaf
from crypto.statement import (
    EvidenceReference,
    ReceiptStatement,
    parse_receipt,
    receipt_id,
    sign_receipt,
    statement_digest,
)
from server.ports import Clock, JsonObject, Provenance, RandomSource
from server.reuse.pseudonyms import pseudonym_at
from server.reuse.receipts import choices_of, salt_of
from server.reuse.runner_identity import RunnerIdentity
from server.reuse.tenant_directory import TenantContext

#: How far a runner's clock may be from ours before its receipts are refused: an auditor goes by what it signed.
CLOCK_TOLERANCE_MS: Final = 5 * 60_000
#: Longest text that stands in a declared receipt's parameters as it is.
PARAMETER_CHARACTERS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Receiptable:
    """What a receipt is about: a conversation, its parameters, the whole response and the model version behind it."""

    messages: Sequence[JsonObject]
    parameters: JsonObject
    response: JsonObject
    model: str
    model_version: str


@dataclass(frozen=True, slots=True)
class MadeReceipt:
    """A receipt that is right and not stored yet: statement, envelope, log leaf, and the salts that open it."""

    id: str
    digest: str
    statement: ReceiptStatement
    envelope: bytes
    leaf: bytes
    openings: JsonObject


class ReceiptMaker:
    """Makes the receipts of one gateway, whose own key is *signer*."""

    def __init__(self, signer: Signer, clock: Clock, random: RandomSource) -> None:
        self._signer = signer
        self._clock = clock
        self._random = random

    @property
    def signer(self) -> Signer:
        """The gateway's own key."""
        return self._signer

    def ask(self, tenant: TenantContext, *, evidence: Sequence[EvidenceReference] = ()) -> JsonObject:
        """Return what a runner is asked to sign beside its answer to a request of *tenant*, naming *evidence*."""
        asked: JsonObject = {
            "derivation": "none",
            "parents": [],
            "policy": tenant.policy_digest,
            "tenant": pseudonym_at(tenant, self._clock.now_ms()),
        }
        # Absent where there is none, so that a runner of an older release, which knows no evidence, still signs.
        return asked | {"evidence": [write_record(reference) for reference in evidence]} if evidence else asked

    def declare(self, tenant: TenantContext, about: Receiptable) -> MadeReceipt:
        """Sign a `declared` receipt; raises `EncodingError` when something of it cannot be stated."""
        now_ms = self._clock.now_ms()
        salts = {kind: self._random.token_bytes(SALT_BYTES) for kind in ("output", "prompt")}
        statement = ReceiptStatement(
            derivation="none",
            evidence=(),
            grade="declared",
            issued_at_ms=now_ms,
            model_name=declared_text(about.model),
            openssf_digest=None,
            model_version=about.model_version,
            nonce=self._random.token_bytes(SALT_BYTES),
            output_commitment=output_commitment(salts["output"], choices_of(about.response)),
            output_tokens_commitment=None,
            prompt_tokens_commitment=None,
            parameters=declared_parameters(about.parameters),
            parents=(),
            policy=tenant.policy_digest,
            prompt_commitment=prompt_commitment(salts["prompt"], list(about.messages)),
            runtime=None,
            signer=self._signer.key_id,
            tenant=pseudonym_at(tenant, now_ms),
        )
        return _made(statement, sign_receipt(statement, self._signer), salts)

    def accept(
        self,
        tenant: TenantContext,
        about: Receiptable,
        provenance: Provenance,
        runner: RunnerIdentity,
        *,
        evidence: Sequence[EvidenceReference] = (),
    ) -> MadeReceipt:
        """Verify what *runner* signed of its answer to *tenant*; raises `VerificationError` or `EncodingError`.

        The statement must name exactly the *evidence* that was asked for: whoever may name another's release could pass
        a tenant's own answer off as the pool's.
        """
        if provenance.statement is None:
            raise VerificationError("the runner signed nothing", reason="statement_malformed")
        envelope, statement = parse_receipt(provenance.statement)
        verify_envelope(envelope, runner.public_key)
        self._verify_terms(tenant, about, provenance, statement)
        if statement.evidence != tuple(evidence):
            raise VerificationError("the statement names evidence that nobody asked for", reason="evidence_mismatch")
        runner.verify_claims(statement)
        return _made(statement, envelope, _verify_openings(about, provenance, statement))

    def _verify_terms(
        self, tenant: TenantContext, about: Receiptable, provenance: Provenance, statement: ReceiptStatement
    ) -> None:
        now_ms = self._clock.now_ms()
        if statement.tenant != pseudonym_at(tenant, statement.issued_at_ms):
            raise VerificationError("the statement is for another tenant", reason="tenant_mismatch")
        if statement.policy != tenant.policy_digest:
            raise VerificationError("the statement names another policy", reason="policy_mismatch")
        if (statement.derivation, statement.parents) != ("none", ()):
            raise VerificationError("the statement names parents that nobody asked for", reason="statement_malformed")
        if statement.model_version != about.model_version or statement.model_version != provenance.model_version:
            raise VerificationError("the statement is of another model version", reason="model_not_allowed")
        if statement.parameters != dict(provenance.parameters):
            raise VerificationError("the statement's parameters are not the answer's", reason="statement_malformed")
        if not -CLOCK_TOLERANCE_MS <= now_ms - statement.issued_at_ms <= CLOCK_TOLERANCE_MS:
            raise VerificationError("the runner's clock is more than 5 minutes off", reason="signer_expired")


def _verify_openings(about: Receiptable, provenance: Provenance, statement: ReceiptStatement) -> dict[str, bytes]:
    """Check that the salts open every commitment with what is about to be stored; return them."""
    openings = provenance.openings
    salts = {kind: salt_of(openings, kind) for kind in ("output", "prompt")}
    found: list[tuple[bytes, bytes | None]] = [
        (output_commitment(salts["output"], choices_of(about.response)), statement.output_commitment),
        (prompt_commitment(salts["prompt"], list(about.messages)), statement.prompt_commitment),
    ]
    if statement.output_tokens_commitment is not None or statement.prompt_tokens_commitment is not None:
        salts |= {kind: salt_of(openings, kind) for kind in ("output_tokens", "prompt_tokens")}
        if provenance.output_token_ids is None or provenance.prompt_token_ids is None:
            raise VerificationError("the statement commits to tokens that were not told", reason="opening_mismatch")
        found += [
            (
                output_tokens_commitment(salts["output_tokens"], provenance.output_token_ids),
                statement.output_tokens_commitment,
            ),
            (
                prompt_tokens_commitment(salts["prompt_tokens"], provenance.prompt_token_ids),
                statement.prompt_tokens_commitment,
            ),
        ]
    if any(computed != signed for computed, signed in found):
        raise VerificationError("what was signed is not what was answered", reason="opening_mismatch")
    return salts


def _made(statement: ReceiptStatement, envelope: Envelope, salts: Mapping[str, bytes]) -> MadeReceipt:
    digest = statement_digest(envelope.payload)
    openings: JsonObject = {
        kind: salts[kind].hex() if kind in salts else None
        for kind in ("output", "prompt", "output_tokens", "prompt_tokens")
    }
    leaf = envelope_leaf(LeafKind.RECEIPT, envelope, statement.issued_at_ms).encode()
    return MadeReceipt(receipt_id(digest), digest, statement, envelope.encode(), leaf, openings)


def declared_parameters(parameters: JsonObject) -> dict[str, JsonValue]:
    """Return *parameters* as a declared receipt states them: numbers, truth values and short texts as they are.

    Fractions are decimal strings. Anything else (tools, a schema, a long text) is named by the digest of its stated form,
    so that no request is too large or too odd to have a receipt. Raises `EncodingError` for what has no stated form.
    """
    return {declared_text(name): _declared(value) for name, value in parameters.items() if value is not None}


def declared_text(text: str) -> str:
    """Return *text* where a statement can hold it as it is, else its digest."""
    if len(text) <= PARAMETER_CHARACTERS_MAX and unicodedata.is_normalized("NFC", text):
        return text
    return _digest_of(text)


def _declared(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return declared_text(value)
    if isinstance(value, float):
        return stated_json(value).decode().strip('"')
    if isinstance(value, bool | int):
        return value
    return _digest_of(value)


def _digest_of(value: JsonValue) -> str:
    return f"sha256:{hashlib.sha256(stated_json(value)).hexdigest()}"
