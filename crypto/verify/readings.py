"""Signed bodies as they were read: a receipt or evidence in its envelope, or why it cannot be read.

Each is read once, before the leaves are compared, and what could not be read is reported where receipts and evidence
are checked, so that one bad envelope is named instead of ending everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..bodies import ReceiptBatch, parse_body
from ..bundle import BundleParts
from ..bundle_lines import EnvelopeLine
from ..dsse import PAYLOAD_RECEIPT_BATCH, Envelope, parse_envelope
from ..embedding_statement import EmbeddingStatement, parse_embedding
from ..errors import VerificationError
from ..leaf import Leaf, LeafKind, envelope_leaf
from ..statement import ReceiptStatement, parse_receipt, receipt_id, statement_digest


@dataclass(frozen=True, slots=True)
class ReadReceipt:
    """A receipt's envelope and statement."""

    index: int
    envelope: Envelope
    statement: ReceiptStatement
    digest: str

    @property
    def subject(self) -> str:
        """What a report calls it."""
        return f"receipt {receipt_id(self.digest)}, leaf {self.index}"

    def to_leaf(self) -> Leaf:
        """Return the leaf that must stand at the index."""
        return envelope_leaf(LeafKind.RECEIPT, self.envelope, self.statement.issued_at_ms)


@dataclass(frozen=True, slots=True)
class ReadEmbedding:
    """An embedding statement's envelope and content."""

    index: int
    envelope: Envelope
    statement: EmbeddingStatement
    digest: str

    @property
    def subject(self) -> str:
        """What a report calls it."""
        return f"embedding statement, leaf {self.index}"

    def to_leaf(self) -> Leaf:
        """Return the leaf that must stand at the index."""
        return envelope_leaf(LeafKind.EVIDENCE, self.envelope, self.statement.issued_at_ms)


@dataclass(frozen=True, slots=True)
class ReadReceiptBatch:
    """A runner's signature over many statements at once."""

    index: int
    envelope: Envelope
    statement: ReceiptBatch

    @property
    def subject(self) -> str:
        """What a report calls it."""
        return f"receipt batch, leaf {self.index}"

    def to_leaf(self) -> Leaf:
        """Return the leaf that must stand at the index."""
        return envelope_leaf(LeafKind.RECEIPT_BATCH, self.envelope, self.statement.at_ms)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands at *index* and is not what it should be."""

    index: int
    error: VerificationError

    @property
    def subject(self) -> str:
        """What a report calls it."""
        return f"leaf {self.index}"


ReadEvidence: TypeAlias = ReadEmbedding | ReadReceiptBatch


@dataclass(frozen=True, slots=True)
class Readings:
    """Everything signed in a bundle, read."""

    receipts: tuple[ReadReceipt | Unreadable, ...]
    evidence: tuple[ReadEvidence | Unreadable, ...]


def read_signed(parts: BundleParts) -> Readings:
    """Read all envelopes of *parts*; refuses nothing."""
    return Readings(
        tuple(_read_receipt(line) for line in parts.receipts), tuple(_read_evidence(line) for line in parts.evidence)
    )


def _read_receipt(line: EnvelopeLine) -> ReadReceipt | Unreadable:
    try:
        envelope, statement = parse_receipt(line.envelope)
    except VerificationError as error:
        return Unreadable(line.index, error)
    return ReadReceipt(line.index, envelope, statement, statement_digest(envelope.payload))


def _read_evidence(line: EnvelopeLine) -> ReadEvidence | Unreadable:
    try:
        if line.envelope.get("payloadType") == PAYLOAD_RECEIPT_BATCH:
            return _read_receipt_batch(line)
        envelope, statement = parse_embedding(line.envelope)
    except VerificationError as error:
        return Unreadable(line.index, error)
    return ReadEmbedding(line.index, envelope, statement, statement_digest(envelope.payload))


def _read_receipt_batch(line: EnvelopeLine) -> ReadReceiptBatch:
    envelope = parse_envelope(line.envelope, payload_type=PAYLOAD_RECEIPT_BATCH, reason="statement_malformed")
    try:
        body = parse_body(LeafKind.RECEIPT_BATCH, envelope.payload)
    except VerificationError as error:
        raise VerificationError(str(error), reason="statement_malformed") from None
    if not isinstance(body, ReceiptBatch) or body.signer != envelope.signature.key_id:
        raise VerificationError("the batch names another signer than its envelope", reason="statement_malformed")
    return ReadReceiptBatch(line.index, envelope, body)
