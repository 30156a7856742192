"""Receipt statements: what a runner signs about one output.

An in-toto Statement v1 whose subject is the commitment to the output. Reading one returns exactly what was signed or
raises; writing one goes through the same reader, so that nothing is signed that no verifier would accept.

Evolution: the keys are closed. Another key or meaning is another predicate type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from .canonical import JsonValue, canonical_json, digest_fields
from .closed import (
    Reader,
    encode_closed,
    one_of,
    or_null,
    parse_closed,
    read_choice,
    read_digest,
    read_free,
    read_hex_32,
    read_integer,
    read_key_id,
    read_list,
    read_pseudonym,
    read_record,
    read_text,
    refuse_unsorted,
    refused_as,
    write_record,
)
from .dsse import PAYLOAD_IN_TOTO, Envelope, parse_envelope, sign_envelope
from .ed25519 import Signer
from .errors import EncodingError
from .in_toto import STATEMENT_BYTES_MAX, frame_statement, read_statement, statement_digest

__all__ = [
    "Derivation",
    "EvidenceReference",
    "Grade",
    "Parent",
    "ReceiptStatement",
    "Relation",
    "parse_receipt",
    "parse_receipt_statement",
    "receipt_id",
    "runtime_digest",
    "sign_receipt",
    "statement_digest",
]

PREDICATE_TYPE: Final = "https://hitproof.dev/inference/v1"
EVIDENCE_MAX: Final = 16
PARENTS_MAX: Final = 64

Derivation: TypeAlias = Literal["none", "adapted", "composed"]
Grade: TypeAlias = Literal["declared", "attested"]
Relation: TypeAlias = Literal["adapted-from", "composed-of"]

DERIVATIONS: Final[tuple[Derivation, ...]] = ("none", "adapted", "composed")
_GRADES: Final[tuple[Grade, ...]] = ("declared", "attested")
_RELATIONS: Final[tuple[Relation, ...]] = ("adapted-from", "composed-of")
_SUBJECT: Final = "output"
_RUNTIME: Final = "hitproof/runtime/v1"


@dataclass(frozen=True, slots=True)
class EvidenceReference:
    """Evidence that existed when the statement was signed: its kind and its digest."""

    type: str
    digest: str


@dataclass(frozen=True, slots=True)
class Parent:
    """A statement that this one's output was derived from, and how."""

    relation: Relation
    statement: str


@dataclass(frozen=True, slots=True)
class ReceiptStatement:
    """What the holder of the key `signer` says of one output; fields as in docs/formats.md, commitments as bytes."""

    derivation: Derivation
    evidence: tuple[EvidenceReference, ...]
    grade: Grade
    issued_at_ms: int
    model_name: str
    openssf_digest: str | None
    model_version: str
    nonce: bytes
    output_commitment: bytes
    output_tokens_commitment: bytes | None
    prompt_tokens_commitment: bytes | None
    parameters: Mapping[str, JsonValue]
    parents: tuple[Parent, ...]
    policy: str | None
    prompt_commitment: bytes
    runtime: str | None
    signer: str
    tenant: str

    def to_payload(self) -> bytes:
        """Return the bytes to sign; raises `EncodingError` for what `parse_receipt_statement` would refuse."""
        value: Any = frame_statement(_SUBJECT, self.output_commitment, PREDICATE_TYPE, self._predicate())
        _read(value)
        payload = encode_closed(value)
        if len(payload) > STATEMENT_BYTES_MAX:
            raise EncodingError(f"the statement is longer than {STATEMENT_BYTES_MAX} bytes")
        return payload

    def _predicate(self) -> dict[str, JsonValue]:
        output_tokens, prompt_tokens = self.output_tokens_commitment, self.prompt_tokens_commitment
        return {
            "derivation": self.derivation,
            "evidence": [write_record(reference) for reference in self.evidence],
            "grade": self.grade,
            "issued_at_ms": self.issued_at_ms,
            "model": {
                "name": self.model_name,
                "openssf_digest": self.openssf_digest,
                "version": self.model_version,
            },
            "nonce": self.nonce.hex(),
            "output_tokens_commitment": None if output_tokens is None else output_tokens.hex(),
            "parameters": dict(self.parameters),
            "parents": [write_record(parent) for parent in self.parents],
            "policy": self.policy,
            "prompt_commitment": self.prompt_commitment.hex(),
            "prompt_tokens_commitment": None if prompt_tokens is None else prompt_tokens.hex(),
            "runtime": self.runtime,
            "signer": self.signer,
            "tenant": self.tenant,
        }


@refused_as("statement_malformed")
def parse_receipt_statement(payload: bytes) -> ReceiptStatement:
    """Read the payload of a receipt; raises `VerificationError` (`statement_malformed`) for all but its one form."""
    return _read(parse_closed(payload, STATEMENT_BYTES_MAX, "the statement"))


@refused_as("statement_malformed")
def parse_receipt(value: JsonValue | bytes) -> tuple[Envelope, ReceiptStatement]:
    """Read a receipt's envelope and the statement in it, whose signer is the envelope's; no signature is verified.

    Raises `VerificationError` (`statement_malformed`).
    """
    envelope = parse_envelope(value, payload_type=PAYLOAD_IN_TOTO, reason="statement_malformed")
    statement = parse_receipt_statement(envelope.payload)
    if statement.signer != envelope.signature.key_id:
        raise EncodingError("the statement names another signer than its envelope")
    return envelope, statement


def sign_receipt(statement: ReceiptStatement, signer: Signer) -> Envelope:
    """Return *statement* signed; raises `EncodingError` where it is malformed or names another signer."""
    if statement.signer != signer.key_id:
        raise EncodingError("the statement names another signer than the one that signs")
    return sign_envelope(PAYLOAD_IN_TOTO, statement.to_payload(), signer)


def receipt_id(digest: str) -> str:
    """Return `rcp_…`, the id of the receipt whose statement has *digest*."""
    return "rcp_" + read_digest(digest, "the statement digest").removeprefix("sha256:")[:32]


def runtime_digest(manifest: Mapping[str, Any]) -> str:
    """Return `sha256:…` of the `runtime` that a model manifest names."""
    return "sha256:" + digest_fields(_RUNTIME, canonical_json(manifest["runtime"])).hex()


def _read(value: JsonValue) -> ReceiptStatement:
    commitment, predicate = read_statement(value, _SUBJECT, PREDICATE_TYPE)
    found = read_record(predicate, "the statement", _PREDICATE)
    model: dict[str, Any] = found.pop("model")
    statement = ReceiptStatement(
        output_commitment=commitment,
        model_name=model["name"],
        openssf_digest=model["openssf_digest"],
        model_version=model["version"],
        **found,
    )
    _refuse_unfounded_grade(statement)
    return statement


def _refuse_unfounded_grade(statement: ReceiptStatement) -> None:
    """Check that a runtime and both lists of tokens are there where the signer says that it ran the model itself."""
    declared = statement.grade == "declared"
    if (statement.runtime is None) != declared:
        raise EncodingError("the statement's runtime is null in declared statements, and in no others")
    if not declared and (statement.output_tokens_commitment is None or statement.prompt_tokens_commitment is None):
        raise EncodingError("only a declared statement may leave out its tokens")


def _read_model(value: JsonValue, where: str) -> dict[str, Any]:
    return read_record(value, where, _MODEL)


def _read_evidence(value: JsonValue, where: str) -> tuple[EvidenceReference, ...]:
    items = read_list(value, where, EVIDENCE_MAX)
    found = tuple(EvidenceReference(**read_record(item, where, _EVIDENCE)) for item in items)
    refuse_unsorted([(reference.type, reference.digest) for reference in found], where)
    return found


def _read_parents(value: JsonValue, where: str) -> tuple[Parent, ...]:
    items = read_list(value, where, PARENTS_MAX)
    found = tuple(Parent(**read_record(item, where, _PARENT)) for item in items)
    refuse_unsorted([(parent.relation, parent.statement) for parent in found], where)
    return found


def _read_relation(value: JsonValue, where: str) -> Relation:
    return read_choice(value, where, _RELATIONS)


def _read_parameters(value: JsonValue, where: str) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise EncodingError(f"{where} are not an object")
    read_free(value, where)
    return value


_MODEL: Final[Mapping[str, Reader]] = {
    "name": read_text,
    "openssf_digest": or_null(read_text),
    "version": read_digest,
}
_EVIDENCE: Final[Mapping[str, Reader]] = {"type": read_text, "digest": read_digest}
_PARENT: Final[Mapping[str, Reader]] = {"relation": _read_relation, "statement": read_digest}
_PREDICATE: Final[Mapping[str, Reader]] = {
    "derivation": one_of(*DERIVATIONS),
    "evidence": _read_evidence,
    "grade": one_of(*_GRADES),
    "issued_at_ms": read_integer,
    "model": _read_model,
    "nonce": read_hex_32,
    "output_tokens_commitment": or_null(read_hex_32),
    "parameters": _read_parameters,
    "parents": _read_parents,
    "policy": or_null(read_digest),
    "prompt_commitment": read_hex_32,
    "prompt_tokens_commitment": or_null(read_hex_32),
    "runtime": or_null(read_digest),
    "signer": read_key_id,
    "tenant": read_pseudonym,
}
