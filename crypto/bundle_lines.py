"""The lines of a bundle's members, typed: what each states, how it is written, and the only form in which it is read.

Reading raises `EncodingError` or `VerificationError`; the reader of a whole bundle makes `malformed` of both. Whether a
line is *true* is not asked here. Format: docs/formats.md, "Bundle v1".
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final, TypeAlias

from .bodies import Body, kind_of_body, parse_body
from .canonical import INTEGER_MAX, JsonValue, parse_json
from .checkpoint import SignedCheckpoint, parse_checkpoint
from .closed import (
    encode_closed,
    read_digest,
    read_hex_32,
    read_integer,
    read_list,
    read_object,
    refuse_unsorted,
)
from .errors import EncodingError, VerificationError
from .hit import HitRecord, parse_hit_record
from .leaf import LeafKind

LINE_BYTES_MAX: Final = 2**22
LINES_MAX: Final = 2**20
#: Values of one line: an opened prompt of a million tokens is one line.
NODES_MAX: Final = 2**20
PROOF_HASHES_MAX: Final = 128
#: A tree of at most 2^63 − 1 leaves has no longer paths.
PATH_HASHES_MAX: Final = 63
BATCH_HITS_MAX: Final = 2**16
SIGNATURE_TEXT_MAX: Final = 2**21
OPENING_KINDS: Final = ("commitment", "output", "output_tokens", "prompt", "prompt_tokens", "text", "vector")
JsonObject: TypeAlias = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class EnvelopeLine:
    """A signed body and its leaf's index; the envelope is read when it is checked, so that one bad one is named."""

    index: int
    envelope: JsonObject

    def to_json(self) -> JsonObject:
        """Return the line's object."""
        return {"envelope": self.envelope, "index": self.index}

    @classmethod
    def read(cls, value: JsonValue) -> EnvelopeLine:
        """Read the line's object."""
        found = read_object(value, "the line", frozenset({"envelope", "index"}))
        if not isinstance(found["envelope"], dict):
            raise EncodingError("the line's envelope is not an object")
        return cls(read_index(found["index"]), found["envelope"])


@dataclass(frozen=True, slots=True)
class BodyLine:
    """A body that the log itself asserts, and its leaf's index."""

    index: int
    kind: LeafKind
    body: Body

    def to_json(self) -> JsonObject:
        """Return the line's object."""
        return {"body": parse_json(self.body.to_payload()), "index": self.index}

    @classmethod
    def read(cls, value: JsonValue) -> BodyLine:
        """Read the line's object."""
        found = read_object(value, "the line", frozenset({"body", "index"}))
        kind = kind_of_body(found["body"])
        if kind is LeafKind.RECEIPT_BATCH:
            raise EncodingError("the line's body is a runner's word, and stands in no envelope")
        return cls(read_index(found["index"]), kind, parse_body(kind, found["body"]))


@dataclass(frozen=True, slots=True)
class CheckpointLine:
    """An earlier checkpoint and the proof that the bundle's own continues it."""

    signed: SignedCheckpoint
    proof: tuple[bytes, ...]

    def to_json(self) -> JsonObject:
        """Return the line's object."""
        return {"note": self.signed.text, "proof": write_hashes(self.proof)}

    @classmethod
    def read(cls, value: JsonValue) -> CheckpointLine:
        """Read the line's object."""
        found = read_object(value, "the line", frozenset({"note", "proof"}))
        if not isinstance(found["note"], str):
            raise EncodingError("the line's note is not a text")
        return cls(parse_checkpoint(found["note"]), read_hashes(found["proof"], "the line's proof", PROOF_HASHES_MAX))


@dataclass(frozen=True, slots=True)
class HitLine:
    """Hits of one batch: the batch's leaf, the records with their positions, and their multiproof in its tree."""

    batch: int
    hashes: tuple[bytes, ...]
    positions: tuple[int, ...]
    records: tuple[HitRecord, ...]

    def to_json(self) -> JsonObject:
        """Return the line's object."""
        records = [parse_json(record.to_payload()) for record in self.records]
        positions: list[JsonValue] = list(self.positions)
        return {"batch": self.batch, "hashes": write_hashes(self.hashes), "positions": positions, "records": records}

    @classmethod
    def read(cls, value: JsonValue) -> HitLine:
        """Read the line's object."""
        found = read_object(value, "the line", frozenset({"batch", "hashes", "positions", "records"}))
        positions = tuple(map(read_index, read_list(found["positions"], "the line's positions", BATCH_HITS_MAX)))
        records = read_list(found["records"], "the line's records", BATCH_HITS_MAX)
        refuse_unsorted(positions, "the line's positions")
        if not positions or len(records) != len(positions):
            raise EncodingError("the line has no hits, or not one position for each")
        hashes = read_hashes(found["hashes"], "the line's hashes", BATCH_HITS_MAX)
        return cls(read_index(found["batch"]), hashes, positions, tuple(map(parse_hit_record, records)))


@dataclass(frozen=True, slots=True)
class ModelLine:
    """A model's manifest and the version that it is said to be."""

    model_version: str
    manifest: JsonObject

    def to_json(self) -> JsonObject:
        """Return the line's object."""
        return {"manifest": self.manifest, "model_version": self.model_version}

    @classmethod
    def read(cls, value: JsonValue) -> ModelLine:
        """Read the line's object."""
        found = read_object(value, "the line", frozenset({"manifest", "model_version"}))
        if not isinstance(found["manifest"], dict):
            raise EncodingError("the line's manifest is not an object")
        return cls(read_digest(found["model_version"], "the line's model_version"), found["manifest"])


@dataclass(frozen=True, slots=True)
class OpeningLine:
    """The salt and the value that open one commitment of a statement."""

    statement: str
    kind: str
    salt: bytes
    value: JsonValue

    def to_json(self) -> JsonObject:
        """Return the line's object."""
        return {"kind": self.kind, "salt": self.salt.hex(), "statement": self.statement, "value": self.value}

    @classmethod
    def read(cls, value: JsonValue) -> OpeningLine:
        """Read the line's object."""
        found = read_object(value, "the line", frozenset({"kind", "salt", "statement", "value"}))
        kind = found["kind"]
        if not isinstance(kind, str) or kind not in OPENING_KINDS:
            raise EncodingError(f"the line's kind is none of {', '.join(OPENING_KINDS)}")
        statement = read_digest(found["statement"], "the line's statement")
        return cls(statement, kind, read_hex_32(found["salt"], "the line's salt"), found["value"])


@dataclass(frozen=True, slots=True)
class PolicyLine:
    """A policy's document and the digest that it is said to have."""

    policy: str
    document: JsonObject

    def to_json(self) -> JsonObject:
        """Return the line's object."""
        return {"document": self.document, "policy": self.policy}

    @classmethod
    def read(cls, value: JsonValue) -> PolicyLine:
        """Read the line's object."""
        found = read_object(value, "the line", frozenset({"document", "policy"}))
        if not isinstance(found["document"], dict):
            raise EncodingError("the line's document is not an object")
        return cls(read_digest(found["policy"], "the line's policy"), found["document"])


@dataclass(frozen=True, slots=True)
class PublisherLine:
    """A publisher's OpenSSF model signature over one model version."""

    model_version: str
    signature: bytes

    def to_json(self) -> JsonObject:
        """Return the line's object."""
        return {"model_version": self.model_version, "signature": base64.b64encode(self.signature).decode()}

    @classmethod
    def read(cls, value: JsonValue) -> PublisherLine:
        """Read the line's object."""
        found = read_object(value, "the line", frozenset({"model_version", "signature"}))
        text = found["signature"]
        if not isinstance(text, str) or len(text) > SIGNATURE_TEXT_MAX:
            raise EncodingError(f"the line's signature is not a base64 text of at most {SIGNATURE_TEXT_MAX} characters")
        try:
            signature = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise EncodingError("the line's signature is not base64") from None
        if base64.b64encode(signature).decode() != text:
            raise EncodingError("the line's signature is not canonical base64")
        return cls(read_digest(found["model_version"], "the line's model_version"), signature)


def parse_line(data: bytes) -> JsonValue:
    """Read one line's canonical JSON; raises `EncodingError` above `LINE_BYTES_MAX` or `NODES_MAX`."""
    if len(data) > LINE_BYTES_MAX:
        raise EncodingError(f"a line is longer than {LINE_BYTES_MAX} bytes")
    value = parse_json(data, nodes_max=NODES_MAX)
    if encode_closed(value) != data:
        raise EncodingError("a line is not in canonical form (RFC 8785)")
    return value


def read_note(data: bytes) -> str:
    """Return a note's text; whether it is a checkpoint is for a later check. Raises `VerificationError` (`malformed`)."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise VerificationError("the checkpoint is not UTF-8", reason="malformed") from None


def read_index(value: JsonValue) -> int:
    """Return *value*, the index of a leaf or a position in a batch."""
    return read_integer(value, "an index", 0, INTEGER_MAX)


def read_hashes(value: JsonValue, where: str, length_max: int) -> tuple[bytes, ...]:
    """Return hashes of 32 bytes, stated in hexadecimal."""
    return tuple(read_hex_32(item, where) for item in read_list(value, where, length_max))


def write_hashes(hashes: tuple[bytes, ...]) -> list[JsonValue]:
    """Return *hashes* as `read_hashes` reads them."""
    return [item.hex() for item in hashes]


def encode_line(value: JsonObject) -> bytes:
    """Return the bytes of one line, its LF included."""
    return encode_closed(value) + b"\n"
