"""Embedding statements: a runner's word that a vector is what its embedder makes of a committed text.

The runner recomputed the vector and found every component within 1 of its own before it signed; about an answer that no
runner made, a gateway may sign, and then it is the operator's word. The statement is logged as evidence about the receipt
whose prompt was embedded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from .applicability.encoding import POINT_BYTES
from .applicability.suites import find_suite, suite_for
from .canonical import JsonValue
from .closed import (
    Reader,
    encode_closed,
    or_null,
    parse_closed,
    read_digest,
    read_hex_32,
    read_hex_text,
    read_integer,
    read_key_id,
    read_pseudonym,
    read_record,
    read_text,
    refused_as,
)
from .dsse import PAYLOAD_IN_TOTO, Envelope, parse_envelope, sign_envelope
from .ed25519 import Signer
from .errors import EncodingError
from .in_toto import STATEMENT_BYTES_MAX, frame_statement, read_statement
from .similarity import NORM_BOUND_SQUARED, SCALE

PREDICATE_TYPE: Final = "https://hitproof.dev/embedding/v1"
DIMENSION_MAX: Final = 65_536

_SUBJECT: Final = "vector"


@dataclass(frozen=True, slots=True)
class EmbeddingStatement:
    """What a runner says of one vector; *commitment* and *suite* name an algebraic commitment to it, or are both null."""

    commitment: str | None
    dimension: int
    embedder: str
    issued_at_ms: int
    nonce: bytes
    signer: str
    statement: str
    suite: str | None
    tenant: str
    text_commitment: bytes
    vector_commitment: bytes
    norm_bound: int = NORM_BOUND_SQUARED
    scale: int = SCALE

    def to_payload(self) -> bytes:
        """Return the bytes to sign; raises `EncodingError` for what `parse_embedding_statement` would refuse."""
        predicate: dict[str, JsonValue] = {
            "commitment": self.commitment,
            "dimension": self.dimension,
            "embedder": self.embedder,
            "issued_at_ms": self.issued_at_ms,
            "nonce": self.nonce.hex(),
            "norm_bound": self.norm_bound,
            "scale": self.scale,
            "signer": self.signer,
            "statement": self.statement,
            "suite": self.suite,
            "tenant": self.tenant,
            "text_commitment": self.text_commitment.hex(),
        }
        value: Any = frame_statement(_SUBJECT, self.vector_commitment, PREDICATE_TYPE, predicate)
        _read(value)
        return encode_closed(value)


@refused_as("statement_malformed")
def parse_embedding_statement(payload: bytes) -> EmbeddingStatement:
    """Read the payload of an embedding statement; raises `VerificationError` (`statement_malformed`)."""
    return _read(parse_closed(payload, STATEMENT_BYTES_MAX, "the statement"))


@refused_as("statement_malformed")
def parse_embedding(value: JsonValue | bytes) -> tuple[Envelope, EmbeddingStatement]:
    """Read an envelope and the embedding statement in it, whose signer is the envelope's; no signature is verified.

    Raises `VerificationError` (`statement_malformed`).
    """
    envelope = parse_envelope(value, payload_type=PAYLOAD_IN_TOTO, reason="statement_malformed")
    statement = parse_embedding_statement(envelope.payload)
    if statement.signer != envelope.signature.key_id:
        raise EncodingError("the statement names another signer than its envelope")
    return envelope, statement


def sign_embedding(statement: EmbeddingStatement, signer: Signer) -> Envelope:
    """Return *statement* signed; raises `EncodingError` where it is malformed or names another signer."""
    if statement.signer != signer.key_id:
        raise EncodingError("the statement names another signer than the one that signs")
    return sign_envelope(PAYLOAD_IN_TOTO, statement.to_payload(), signer)


def _read(value: JsonValue) -> EmbeddingStatement:
    commitment, predicate = read_statement(value, _SUBJECT, PREDICATE_TYPE)
    found = read_record(predicate, "the statement", _PREDICATE)
    if (found["commitment"] is None) != (found["suite"] is None):
        raise EncodingError("the statement names a commitment without its suite, or a suite alone")
    suite = None if found["suite"] is None else find_suite(found["suite"])
    if suite is not None and suite != suite_for(found["dimension"]):
        raise EncodingError(f"the suite {suite.name} does not fit vectors of {found['dimension']} components")
    return EmbeddingStatement(vector_commitment=commitment, **found)


_PREDICATE: Final[Mapping[str, Reader]] = {
    "commitment": or_null(partial(read_hex_text, digits=2 * POINT_BYTES)),
    "dimension": partial(read_integer, least=1, most=DIMENSION_MAX),
    "embedder": read_digest,
    "issued_at_ms": read_integer,
    "nonce": read_hex_32,
    "norm_bound": partial(read_integer, least=NORM_BOUND_SQUARED, most=NORM_BOUND_SQUARED),
    "scale": partial(read_integer, least=SCALE, most=SCALE),
    "signer": read_key_id,
    "statement": read_digest,
    "suite": or_null(read_text),
    "tenant": read_pseudonym,
    "text_commitment": read_hex_32,
}
