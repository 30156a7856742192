"""Reads the members of a bundle line by line, and holds them to the manifest that a gateway signed."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import envelope, json_text, records, shape
from .archive import MEMBERS, SIZE_BYTES_MAX
from .envelope import Envelope
from .errors import NotInForm, Refused, named
from .hashing import HASH_BYTES, SIZE_MAX, digest_text, sha256
from .json_text import Json
from .notes import NOTE_BYTES_MAX, Checkpoint, read_checkpoint
from .records import Body, Hit, StatusList
from .trust import Trust

LEAF_BYTES = 74
LEAVES_MAX = 2**20
BATCH_MAX = 2**16
OPENING_KINDS = ("output", "output_tokens", "prompt", "prompt_tokens", "text", "vector")
LISTED_MAX = 4_096
SIGNATURE_CHARACTERS_MAX = 2**21


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose receipts and hits a bundle is about."""

    tenant: str
    pseudonym_keys: dict[int, bytes]
    since_ms: int | None
    until_ms: int | None
    model_version: str | None

    def covers(self, at_ms: int) -> bool:
        """Whether a moment lies in the time of the bundle."""
        return (self.since_ms is None or self.since_ms <= at_ms) and (self.until_ms is None or at_ms < self.until_ms)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the gateway signed about a bundle."""

    counts: dict[str, int]
    made_at_ms: int
    members: dict[str, tuple[str, int]]
    origin: str
    size: int
    root: bytes
    scope: Scope
    signer: str
    signed: Envelope


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
    #: Indexes of bodies, evidence and receipts, one after the other.
    explained: list[int] = field(default_factory=list)


def read_manifest(data: bytes) -> Manifest:
    """The signed manifest; raises NotInForm."""
    signed = envelope.read_envelope(json_text.read(shape.short(data, envelope.ENVELOPE_BYTES_MAX)))
    if signed.payload_type != envelope.BUNDLE:
        raise NotInForm("not the payload type of a bundle")
    value = json_text.read(signed.payload)
    json_text.check_normal(value)
    found = shape.closed(
        value, "schema", "counts", "made_at_ms", "members", "origin", "size", "root", "scope", "signer"
    )  # fmt: skip
    shape.one_of(found["schema"], "hitproof/bundle/v1")
    made_at_ms = shape.integer(found["made_at_ms"])
    members: dict[str, tuple[str, int]] = {}
    for item in shape.items(found["members"], len(MEMBERS)):
        member = shape.closed(item, "name", "sha256", "size_bytes")
        name = shape.text(member["name"])
        shape.check_ascending([*members, name][-2:])
        members[name] = (
            shape.unhex(member["sha256"], 32).hex(),
            shape.integer(member["size_bytes"], 0, SIZE_BYTES_MAX),
        )
    if list(members) != [name for name in MEMBERS if name != "bundle.json"]:
        raise NotInForm("not every other member is listed")
    counts = shape.closed(found["counts"], "evidence", "hits", "openings", "receipts")
    return Manifest(
        counts={name: shape.integer(count) for name, count in counts.items()},
        made_at_ms=made_at_ms,
        members=members,
        origin=shape.text(found["origin"]),
        size=shape.integer(found["size"], 0, SIZE_MAX),
        root=shape.unhex(found["root"], HASH_BYTES),
        scope=_scope(found["scope"]),
        signer=shape.unhex(found["signer"], 32).hex(),
        signed=signed,
    )


def _scope(value: Json) -> Scope:
    found = shape.closed(value, "model_version", "pseudonyms", "since_ms", "until_ms", "tenant")
    keys: dict[int, bytes] = {}
    for item in shape.items(found["pseudonyms"], LISTED_MAX):
        pseudonym = shape.closed(item, "epoch", "key")
        epoch = shape.integer(pseudonym["epoch"])
        shape.check_ascending([*keys, epoch][-2:])
        keys[epoch] = shape.unhex(pseudonym["key"], 32)
    return Scope(
        tenant=shape.text(found["tenant"]),
        pseudonym_keys=keys,
        since_ms=shape.optional(found["since_ms"], shape.integer),
        until_ms=shape.optional(found["until_ms"], shape.integer),
        model_version=shape.optional(found["model_version"], lambda digest: digest_text(shape.undigest(digest))),
    )


def check_manifest(manifest: Manifest, trust: Trust, members: dict[str, bytes]) -> None:
    """Raise Refused unless a gateway of the trust file signed exactly these members."""
    key = trust.keys.get(manifest.signer)
    if key is None or key.role != "gateway":
        raise Refused("signer_unknown", "the manifest's signer is no gateway of the trust file")
    if not envelope.is_signed(manifest.signed, key.public_key):
        raise Refused("signature_invalid", "the manifest's signature")
    if manifest.made_at_ms < key.from_ms or (key.until_ms is not None and manifest.made_at_ms >= key.until_ms):
        raise Refused("signer_expired", "the manifest's signer")
    for name, (hashed, size) in manifest.members.items():
        if len(members[name]) != size or sha256(members[name]).hex() != hashed:
            raise Refused("member_digest", name)


def check_counts(manifest: Manifest, contents: Contents) -> None:
    """Raise Refused unless the bundle holds as much as its manifest says."""
    counts = {
        "evidence": len(contents.evidence),
        "hits": sum(len(line.hits) for line in contents.hits),
        "openings": len(contents.openings),
        "receipts": len(contents.receipts),
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
