"""Reads the members of a bundle line by line, and counts them as the manifest says."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import envelope, json_text, proof_documents, records, shape
from .envelope import Envelope
from .errors import NotInForm, Refused, named
from .hashing import HASH_BYTES, digest_text
from .json_text import Json
from .ledger_documents import Release, Spending, read_release, read_spending
from .notes import NOTE_BYTES_MAX, Checkpoint, read_checkpoint
from .proof_documents import OpenedQuery, ProofDocument
from .records import Body, Hit, StatusList
from .signed_manifest import Manifest

LEAF_BYTES = 74
LEAVES_MAX = 2**20
BATCH_MAX = 2**16
OPENING_KINDS = ("commitment", "output", "output_tokens", "prompt", "prompt_tokens", "text", "vector")
#: A tree of 2^53 - 1 leaves has paths of 53 hashes.
PATH_MAX = 63
#: Different charges with a threshold, which take long to work out.
SELECTIONS_MAX = 256
SIGNATURE_CHARACTERS_MAX = 2**21


@dataclass(frozen=True, slots=True)
class HitLine:
    """Some hits of one batch, and the multiproof of their places in it."""

    batch: int
    hashes: tuple[bytes, ...]
    positions: tuple[int, ...]
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Opening:
    """A salt and a value of one commitment."""

    statement: str
    kind: str
    salt: bytes
    value: Json


@dataclass(frozen=True, slots=True)
class ReleaseLine:
    """A release, and perhaps the path and position of the organisation's head in its ledger."""

    index: int
    release: Release
    head: tuple[tuple[bytes, ...], int] | None


@dataclass(slots=True)
class Contents:
    """All members but the manifest, in the form that the page gives them."""

    checkpoint: bytes
    status: StatusList
    leaves: dict[int, bytes]
    multiproof: list[bytes]
    earlier: list[tuple[Checkpoint, list[bytes]]] = field(default_factory=list)
    #: None stands for an envelope that is not in form.
    receipts: dict[int, Envelope | None] = field(default_factory=dict)
    evidence: dict[int, Envelope | None] = field(default_factory=dict)
    bodies: dict[int, Body] = field(default_factory=dict)
    hits: list[HitLine] = field(default_factory=list)
    models: dict[str, dict[str, Json]] = field(default_factory=dict)
    policies: dict[str, dict[str, Json]] = field(default_factory=dict)
    openings: list[Opening] = field(default_factory=list)
    #: Documents by the indexes of their leaves; opened queries and matches by hit.
    proofs: dict[int, ProofDocument] = field(default_factory=dict)
    queries: dict[str, OpenedQuery] = field(default_factory=dict)
    matches: dict[str, Json] = field(default_factory=dict)
    releases: list[ReleaseLine] = field(default_factory=list)
    #: By the index of their leaves, in its order.
    spendings: dict[int, Spending] = field(default_factory=dict)
    #: Indexes of bodies, evidence and receipts, one after the other.
    explained: list[int] = field(default_factory=list)


def check_counts(manifest: Manifest, contents: Contents) -> None:
    """Raise Refused unless the bundle holds as much as its manifest says."""
    counts = {
        "evidence": len(contents.evidence),
        "hits": sum(len(line.hits) for line in contents.hits),
        "matches": len(contents.matches),
        "openings": len(contents.openings),
        "proofs": len(contents.proofs),
        "queries": len(contents.queries),
        "receipts": len(contents.receipts),
        "releases": len(contents.releases),
        "spendings": len(contents.spendings),
    }
    if counts != manifest.counts:
        raise Refused("counts_wrong", str(counts))


def read_contents(members: dict[str, bytes]) -> Contents:
    """Every member but the manifest and the checkpoint's own text; raises Refused with `malformed`."""
    with named("malformed"):
        contents = Contents(
            checkpoint=members["checkpoint"],
            status=records.read_status(members["status.json"]),
            leaves=_leaves(members["leaves"]),
            multiproof=_hashes(members["multiproof"]),
        )
        for line in json_text.read_lines(members["checkpoints.jsonl"]):
            found = shape.closed(line, "note", "proof")
            note = read_checkpoint(shape.text(found["note"], NOTE_BYTES_MAX).encode("utf-8"))
            contents.earlier.append((note, [shape.unhex(item, 32) for item in shape.items(found["proof"], 128)]))
        shape.check_ascending([old.size for old, _ in contents.earlier])
        _read_indexed(members, contents)
        contents.hits = [_hit_line(line) for line in json_text.read_lines(members["hits.jsonl"])]
        shape.check_ascending([line.batch for line in contents.hits])
        contents.models = _documents(members["models.jsonl"], "model_version", "manifest")
        contents.policies = _documents(members["policies.jsonl"], "policy", "document")
        for signature in _by_digest(members["publishers.jsonl"], "model_version", "signature").values():
            shape.unbase64(shape.text(signature, SIGNATURE_CHARACTERS_MAX))
        contents.openings = [_opening(line) for line in json_text.read_lines(members["openings.jsonl"])]
        shape.check_ascending([(opening.statement, opening.kind) for opening in contents.openings])
        contents.proofs = proof_documents.read_proof_lines(members["proofs.jsonl"])
        contents.queries = proof_documents.read_query_lines(members["queries.jsonl"])
        contents.matches = proof_documents.read_match_lines(members["matches.jsonl"])
        contents.releases = [_release_line(line) for line in json_text.read_lines(members["releases.jsonl"])]
        shape.check_ascending([line.index for line in contents.releases])
        spendings = _by_index(members["spendings.jsonl"], "document")
        contents.spendings = {index: read_spending(document) for index, document in spendings.items()}
        charges = {charge for spending in contents.spendings.values() for charge in spending.charges}
        if sum(charge.mechanism.endswith("_selection") for charge in charges) > SELECTIONS_MAX:
            raise NotInForm("too many different selections")
    return contents


def _read_indexed(members: dict[str, bytes], contents: Contents) -> None:
    contents.bodies = {
        index: records.read_body(body) for index, body in _by_index(members["bodies.jsonl"], "body").items()
    }
    contents.evidence = {
        index: _envelope(value) for index, value in _by_index(members["evidence.jsonl"], "envelope").items()
    }
    contents.receipts = {
        index: _envelope(value) for index, value in _by_index(members["receipts.jsonl"], "envelope").items()
    }
    contents.explained = [*contents.bodies, *contents.evidence, *contents.receipts]


def _by_index(data: bytes, content: str) -> dict[int, Json]:
    lines = [shape.closed(line, content, "index") for line in json_text.read_lines(data)]
    indexes = [shape.integer(line["index"]) for line in lines]
    shape.check_ascending(indexes)
    return {index: line[content] for index, line in zip(indexes, lines, strict=True)}


def _by_digest(data: bytes, key: str, content: str) -> dict[str, Json]:
    lines = [shape.closed(line, key, content) for line in json_text.read_lines(data)]
    names = [digest_text(shape.undigest(line[key])) for line in lines]
    shape.check_ascending(names)
    return {name: line[content] for name, line in zip(names, lines, strict=True)}


def _documents(data: bytes, key: str, content: str) -> dict[str, dict[str, Json]]:
    found: dict[str, dict[str, Json]] = {}
    for name, value in _by_digest(data, key, content).items():
        if not isinstance(value, dict):
            raise NotInForm("manifests and policies are objects")
        found[name] = value
    return found


def _envelope(value: Json) -> Envelope | None:
    """An envelope, or None: one that is not in form is refused where statements are checked."""
    if not isinstance(value, dict):
        raise NotInForm("an envelope is an object")
    try:
        json_text.check_normal(value)
        return envelope.read_envelope(value)
    except NotInForm:
        return None


def _leaves(data: bytes) -> dict[int, bytes]:
    if len(data) % (8 + LEAF_BYTES) or len(data) > LEAVES_MAX * (8 + LEAF_BYTES):
        raise NotInForm("leaves are cut off, or too many")
    pieces = [data[at : at + 8 + LEAF_BYTES] for at in range(0, len(data), 8 + LEAF_BYTES)]
    indexes = [int.from_bytes(piece[:8], "big") for piece in pieces]
    shape.check_ascending(indexes)
    return {index: piece[8:] for index, piece in zip(indexes, pieces, strict=True)}


def _hashes(data: bytes) -> list[bytes]:
    if len(data) % HASH_BYTES:
        raise NotInForm("hashes are cut off")
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def _hit_line(line: Json) -> HitLine:
    found = shape.closed(line, "batch", "hashes", "positions", "records")
    positions = [shape.integer(item) for item in shape.items(found["positions"], BATCH_MAX)]
    shape.check_ascending(positions)
    hits = [records.read_hit(item) for item in shape.items(found["records"], BATCH_MAX)]
    if len(hits) != len(positions) or not hits:
        raise NotInForm("not one position for every record")
    hashes = [shape.unhex(item, 32) for item in shape.items(found["hashes"], BATCH_MAX)]
    return HitLine(shape.integer(found["batch"]), tuple(hashes), tuple(positions), tuple(hits))


def _opening(line: Json) -> Opening:
    found = shape.closed(line, "kind", "salt", "statement", "value")
    return Opening(
        statement=digest_text(shape.undigest(found["statement"])),
        kind=shape.one_of(found["kind"], *OPENING_KINDS),
        salt=shape.unhex(found["salt"], 32),
        value=found["value"],
    )


def _release_line(line: Json) -> ReleaseLine:
    found = shape.closed(line, "document", "head", "index")
    return ReleaseLine(
        index=shape.integer(found["index"]),
        release=read_release(found["document"]),
        head=shape.optional(found["head"], _head),
    )


def _head(value: Json) -> tuple[tuple[bytes, ...], int]:
    found = shape.closed(value, "path", "position")
    path = tuple(shape.unhex(item, HASH_BYTES) for item in shape.items(found["path"], PATH_MAX))
    return path, shape.integer(found["position"])
