"""Reads proof files: a C2SP tlog-proof, and in its `extra` a receipt, or a hit and perhaps what shows that it was close."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import json_text, proof_documents, shape
from .envelope import Envelope, read_envelope
from .errors import NotInForm
from .hashing import HASH_BYTES
from .json_text import Json
from .proof_documents import KINDS, OpenedQuery

HEADER = "c2sp.org/tlog-proof@v1"
FILE_BYTES_MAX = 2**21
PATH_MAX = 63
RECEIPT_PROOF, HIT_PROOF = "hitproof/receipt-proof/v1", "hitproof/hit-proof/v1"
APPLICABILITY_PROOF = "hitproof/applicability-proof/v1"
HIT_KEYS = ("schema", "batch", "envelope", "path", "position", "receipt_index", "receipt_path", "record")
WELL_FORMEDNESS_BYTES = KINDS["hitproof/well-formedness/v1"][1]
APPLICABILITY_BYTES = KINDS["hitproof/applicability/v1"][1]


@dataclass(frozen=True, slots=True)
class PrivateShown:
    """What shows of a hit of the private tier that it was close."""

    #: None stands for an envelope that is not in form.
    embedding: Envelope | None
    embedding_index: int
    embedding_path: tuple[bytes, ...]
    proof: bytes
    query: OpenedQuery | None
    well_formedness: bytes


@dataclass(frozen=True, slots=True)
class PoolShown:
    """What shows of a hit of the pool that it was close; match and release are read where they are checked."""

    match: Json
    query: OpenedQuery | None
    release: Json


@dataclass(frozen=True, slots=True)
class HitPart:
    """A hit, its batch, and the paths to both leaves; record and batch are read where they are checked."""

    batch: Json
    path: tuple[bytes, ...]
    position: int
    receipt_index: int
    receipt_path: tuple[bytes, ...]
    record: Json
    shown: PrivateShown | PoolShown | None


@dataclass(frozen=True, slots=True)
class ProofText:
    """A proof file: a leaf's place and path, the note above it, and what the leaf is of."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    #: Of the receipt; None stands for one that is not in form.
    envelope: Envelope | None
    hit: HitPart | None


def read_proof_text(data: bytes) -> ProofText:
    """The proof file in these bytes; raises NotInForm. The checkpoint in it is not read."""
    try:
        text = shape.short(data, FILE_BYTES_MAX).decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise NotInForm("a proof that is not UTF-8") from error
    above, empty, checkpoint = text.partition("\n\n")
    lines = above.split("\n")
    if not empty or len(lines) < 3 or lines[0] != HEADER:
        raise NotInForm("not the lines of a proof with an extra")
    extra, index = re.fullmatch(r"extra (.+)", lines[1]), re.fullmatch(r"index (0|[1-9][0-9]{0,18})", lines[2])
    if extra is None or index is None:
        raise NotInForm("no extra, or no index")
    path = tuple(shape.unbase64(line) for line in lines[3:])
    if len(path) > PATH_MAX or any(len(step) != HASH_BYTES for step in path):
        raise NotInForm("a path of something else than hashes, or too long a one")
    value = json_text.read(shape.unbase64(extra.group(1)))
    schema = value.get("schema") if isinstance(value, dict) else None
    if shape.one_of(schema, RECEIPT_PROOF, HIT_PROOF, APPLICABILITY_PROOF) == RECEIPT_PROOF:
        found = shape.closed(value, "schema", "envelope")
        hit = None
    else:
        shown = ("applicability",) if schema == APPLICABILITY_PROOF else ()
        found = shape.closed(value, *HIT_KEYS, *shown)
        hit = _hit(found)
    return ProofText(int(index.group(1)), path, checkpoint.encode("utf-8"), _envelope(found["envelope"]), hit)


def _hit(found: dict[str, Json]) -> HitPart:
    return HitPart(
        batch=_object(found["batch"]),
        path=_path(found["path"]),
        position=shape.integer(found["position"]),
        receipt_index=shape.integer(found["receipt_index"]),
        receipt_path=_path(found["receipt_path"]),
        record=_object(found["record"]),
        shown=_shown(_object(found["applicability"])) if "applicability" in found else None,
    )


def _shown(value: dict[str, Json]) -> PrivateShown | PoolShown:
    if "match" in value:
        found = shape.closed(value, "match", "query", "release")
        query = shape.optional(found["query"], proof_documents.read_query)
        return PoolShown(_object(found["match"]), query, _object(found["release"]))
    found = shape.closed(
        value, "embedding", "embedding_index", "embedding_path", "proof", "query", "well_formedness"
    )  # fmt: skip
    return PrivateShown(
        embedding=_envelope(found["embedding"]),
        embedding_index=shape.integer(found["embedding_index"]),
        embedding_path=_path(found["embedding_path"]),
        proof=shape.unhex(found["proof"], APPLICABILITY_BYTES),
        query=shape.optional(found["query"], proof_documents.read_query),
        well_formedness=shape.unhex(found["well_formedness"], WELL_FORMEDNESS_BYTES),
    )


def _path(value: Json) -> tuple[bytes, ...]:
    return tuple(shape.unhex(step, HASH_BYTES) for step in shape.items(value, PATH_MAX))


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise NotInForm("not an object")
    return value


def _envelope(value: Json) -> Envelope | None:
    """An envelope, or None: one that is not in form is refused where statements are checked."""
    found = _object(value)
    try:
        json_text.check_normal(found)
        return read_envelope(found)
    except NotInForm:
        return None
