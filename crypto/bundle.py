"""A bundle: everything an auditor needs about some receipts and hits, in one archive whose every byte is bound.

`build_bundle` and `parse_bundle` are each other's inverse. The steps of reading stand alone as well, because a verifier
asks for signatures between them: `read_members`, `parse_manifest`, `verify_members`, `read_parts`.
Format: docs/formats.md, "Bundle v1".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from .applicability_lines import MatchLine, ProofLine, QueryLine
from .archive import read_archive, write_archive
from .bundle_lines import (
    LINES_MAX,
    BodyLine,
    CheckpointLine,
    EnvelopeLine,
    HitLine,
    JsonObject,
    ModelLine,
    OpeningLine,
    PolicyLine,
    PublisherLine,
    encode_line,
    parse_line,
    read_note,
)
from .bundle_manifest import MEMBER_NAMES, BundleManifest, Counts, Member, Scope, parse_manifest
from .canonical import JsonValue
from .checkpoint import parse_checkpoint
from .closed import refuse_unsorted
from .dsse import PAYLOAD_BUNDLE, Envelope, sign_envelope
from .ed25519 import Signer
from .errors import EncodingError, VerificationError
from .leaf import LEAF_BYTES
from .ledger_lines import ReleaseLine, SpendingLine, refuse_many_selections
from .status import StatusList, parse_status_list

MANIFEST_MEMBER: Final = "bundle.json"
MEMBERS: Final = frozenset({MANIFEST_MEMBER, *MEMBER_NAMES})
LEAVES_MAX: Final = 2**20
INDEX_BYTES: Final = 8
HASH_BYTES: Final = 32
_RECORD_BYTES: Final = INDEX_BYTES + LEAF_BYTES

Line = TypeVar("Line")


@dataclass(frozen=True, slots=True)
class BundleParts:
    """The contents of a bundle, typed; *leaves* by index, the lines of every member in the order of the format."""

    checkpoint: str
    leaves: Mapping[int, bytes]
    multiproof: tuple[bytes, ...]
    status: StatusList
    scope: Scope
    made_at_ms: int
    receipts: tuple[EnvelopeLine, ...] = ()
    hits: tuple[HitLine, ...] = ()
    bodies: tuple[BodyLine, ...] = ()
    evidence: tuple[EnvelopeLine, ...] = ()
    openings: tuple[OpeningLine, ...] = ()
    policies: tuple[PolicyLine, ...] = ()
    models: tuple[ModelLine, ...] = ()
    publishers: tuple[PublisherLine, ...] = ()
    checkpoints: tuple[CheckpointLine, ...] = ()
    releases: tuple[ReleaseLine, ...] = ()
    spendings: tuple[SpendingLine, ...] = ()
    proofs: tuple[ProofLine, ...] = ()
    queries: tuple[QueryLine, ...] = ()
    matches: tuple[MatchLine, ...] = ()

    @property
    def counts(self) -> Counts:
        """How many lines of each kind there are."""
        return Counts(
            evidence=len(self.evidence),
            hits=sum(len(line.records) for line in self.hits),
            matches=len(self.matches),
            openings=len(self.openings),
            proofs=len(self.proofs),
            queries=len(self.queries),
            receipts=len(self.receipts),
            releases=len(self.releases),
            spendings=len(self.spendings),
        )


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read: its manifest, the envelope it came in, and the parts. Nothing in it is verified."""

    envelope: Envelope
    manifest: BundleManifest
    parts: BundleParts


def build_bundle(parts: BundleParts, signer: Signer) -> bytes:
    """Return the archive of *parts*, its manifest signed by *signer*, a gateway's key.

    Raises `EncodingError` where the parts are not in the form or the order that a reader asks for.
    """
    return seal_members(encode_members(parts), parts, signer)


def seal_members(members: Mapping[str, bytes], parts: BundleParts, signer: Signer) -> bytes:
    """Return the archive of *members* under a manifest that states *parts*' scope, counts and checkpoint."""
    checkpoint = parse_checkpoint(parts.checkpoint).checkpoint
    manifest = BundleManifest(
        counts=parts.counts,
        made_at_ms=parts.made_at_ms,
        members=tuple(
            Member(name, hashlib.sha256(members[name]).digest(), len(members[name])) for name in sorted(members)
        ),
        origin=checkpoint.origin,
        size=checkpoint.size,
        root=checkpoint.root,
        scope=parts.scope,
        signer=signer.key_id,
    )
    envelope = sign_envelope(PAYLOAD_BUNDLE, manifest.to_payload(), signer)
    return write_archive({**members, MANIFEST_MEMBER: envelope.encode()})


def encode_members(parts: BundleParts) -> dict[str, bytes]:
    """Return every member but the manifest; raises `EncodingError` where a reader would refuse one."""
    members = {
        "bodies.jsonl": _encode_lines(line.to_json() for line in parts.bodies),
        "checkpoint": parts.checkpoint.encode("utf-8"),
        "checkpoints.jsonl": _encode_lines(line.to_json() for line in parts.checkpoints),
        "evidence.jsonl": _encode_lines(line.to_json() for line in parts.evidence),
        "hits.jsonl": _encode_lines(line.to_json() for line in parts.hits),
        "leaves": b"".join(index.to_bytes(INDEX_BYTES, "big") + leaf for index, leaf in sorted(parts.leaves.items())),
        "matches.jsonl": _encode_lines(line.to_json() for line in parts.matches),
        "models.jsonl": _encode_lines(line.to_json() for line in parts.models),
        "multiproof": b"".join(parts.multiproof),
        "openings.jsonl": _encode_lines(line.to_json() for line in parts.openings),
        "policies.jsonl": _encode_lines(line.to_json() for line in parts.policies),
        "proofs.jsonl": _encode_lines(line.to_json() for line in parts.proofs),
        "publishers.jsonl": _encode_lines(line.to_json() for line in parts.publishers),
        "queries.jsonl": _encode_lines(line.to_json() for line in parts.queries),
        "receipts.jsonl": _encode_lines(line.to_json() for line in parts.receipts),
        "releases.jsonl": _encode_lines(line.to_json() for line in parts.releases),
        "spendings.jsonl": _encode_lines(line.to_json() for line in parts.spendings),
        "status.json": parts.status.to_payload(),
    }
    _refuse_unordered(parts)
    return members


def parse_bundle(data: bytes) -> Bundle:
    """Read a whole bundle; raises `VerificationError` with `archive_…`, `manifest_malformed`, `member_digest`,
    `counts_wrong`, `checkpoint_malformed` or `malformed`. No signature and no proof is verified here."""
    members = read_members(data)
    envelope, manifest = parse_manifest(members[MANIFEST_MEMBER])
    verify_members(manifest, members)
    parts = read_parts(manifest, members)
    verify_counts(manifest, parts)
    return Bundle(envelope, manifest, parts)


def read_members(data: bytes) -> dict[str, bytes]:
    """Return the members of the archive *data*; raises `VerificationError` (`archive_…`) unless they are all of ours."""
    members = read_archive(data)
    if members.keys() != MEMBERS:
        missing, unknown = sorted(MEMBERS - members.keys()), sorted(members.keys() - MEMBERS)
        message = f"the archive lacks {missing} and has {unknown} beside what belongs there"
        raise VerificationError(message, reason="archive_member")
    return members


def verify_members(manifest: BundleManifest, members: Mapping[str, bytes]) -> None:
    """Compare every other member with *manifest*; raises `VerificationError` (`member_digest`)."""
    for member in manifest.members:
        data = members[member.name]
        found = hashlib.sha256(data).digest()
        if found != member.sha256 or len(data) != member.size_bytes:
            raise VerificationError(
                f"the member {member.name} is not the one that the manifest was signed over",
                reason="member_digest",
                expected=f"{member.size_bytes} bytes with SHA-256 {member.sha256.hex()}",
                actual=f"{len(data)} bytes with SHA-256 {found.hex()}",
            )


def verify_counts(manifest: BundleManifest, parts: BundleParts) -> None:
    """Compare the manifest's counts with what there is; raises `VerificationError` (`counts_wrong`)."""
    if manifest.counts != parts.counts:
        raise VerificationError(
            "the manifest counts something else than there is",
            reason="counts_wrong",
            expected=manifest.counts.to_json(),
            actual=parts.counts.to_json(),
        )


def read_parts(manifest: BundleManifest, members: Mapping[str, bytes]) -> BundleParts:
    """Read every line of every member; raises `VerificationError` (`malformed`) naming member and line."""
    parts = BundleParts(
        checkpoint=read_note(members["checkpoint"]),
        leaves=_read_leaves(members["leaves"]),
        multiproof=_read_multiproof(members["multiproof"]),
        status=_read_status(members["status.json"]),
        scope=manifest.scope,
        made_at_ms=manifest.made_at_ms,
        receipts=_read_lines(members, "receipts.jsonl", EnvelopeLine.read),
        hits=_read_lines(members, "hits.jsonl", HitLine.read),
        bodies=_read_lines(members, "bodies.jsonl", BodyLine.read),
        evidence=_read_lines(members, "evidence.jsonl", EnvelopeLine.read),
        openings=_read_lines(members, "openings.jsonl", OpeningLine.read),
        policies=_read_lines(members, "policies.jsonl", PolicyLine.read),
        models=_read_lines(members, "models.jsonl", ModelLine.read),
        publishers=_read_lines(members, "publishers.jsonl", PublisherLine.read),
        checkpoints=_read_lines(members, "checkpoints.jsonl", CheckpointLine.read),
        releases=_read_lines(members, "releases.jsonl", ReleaseLine.read),
        spendings=_read_lines(members, "spendings.jsonl", SpendingLine.read),
        proofs=_read_lines(members, "proofs.jsonl", ProofLine.read),
        queries=_read_lines(members, "queries.jsonl", QueryLine.read),
        matches=_read_lines(members, "matches.jsonl", MatchLine.read),
    )
    try:
        _refuse_unordered(parts)
    except EncodingError as error:
        raise VerificationError(str(error), reason="malformed") from None
    return replace(parts, spendings=tuple(line.settled() for line in parts.spendings))


def _encode_lines(lines: Iterable[JsonObject]) -> bytes:
    return b"".join(encode_line(line) for line in lines)


def _read_lines(members: Mapping[str, bytes], name: str, read: Callable[[JsonValue], Line]) -> tuple[Line, ...]:
    data = members[name]
    if data and not data.endswith(b"\n"):
        raise VerificationError(f"{name} does not end with its last line", reason="malformed")
    if data.count(b"\n") > LINES_MAX:
        raise VerificationError(f"{name} has more than {LINES_MAX} lines", reason="malformed")
    lines = []
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            lines.append(read(parse_line(line)))
        except (EncodingError, VerificationError) as error:
            raise VerificationError(f"{name}, line {number}: {error}", reason="malformed") from None
    return tuple(lines)


def _refuse_unordered(parts: BundleParts) -> None:
    """Check the order of every member's lines, which also refuses a line that stands twice, and what is too much."""
    refuse_unsorted([line.index for line in parts.bodies], "the lines of bodies.jsonl")
    refuse_unsorted([line.signed.checkpoint.size for line in parts.checkpoints], "the lines of checkpoints.jsonl")
    refuse_unsorted([line.index for line in parts.evidence], "the lines of evidence.jsonl")
    refuse_unsorted([line.batch for line in parts.hits], "the lines of hits.jsonl")
    refuse_unsorted([line.hit for line in parts.matches], "the lines of matches.jsonl")
    refuse_unsorted([line.model_version for line in parts.models], "the lines of models.jsonl")
    refuse_unsorted([(line.statement, line.kind) for line in parts.openings], "the lines of openings.jsonl")
    refuse_unsorted([line.policy for line in parts.policies], "the lines of policies.jsonl")
    refuse_unsorted([line.index for line in parts.proofs], "the lines of proofs.jsonl")
    refuse_unsorted([line.model_version for line in parts.publishers], "the lines of publishers.jsonl")
    refuse_unsorted([line.hit for line in parts.queries], "the lines of queries.jsonl")
    refuse_unsorted([line.index for line in parts.receipts], "the lines of receipts.jsonl")
    refuse_unsorted([line.index for line in parts.releases], "the lines of releases.jsonl")
    refuse_unsorted([line.index for line in parts.spendings], "the lines of spendings.jsonl")
    refuse_many_selections(parts.spendings)


def _read_leaves(data: bytes) -> dict[int, bytes]:
    count, rest = divmod(len(data), _RECORD_BYTES)
    if rest or count > LEAVES_MAX:
        raise VerificationError(f"leaves is not a list of at most {LEAVES_MAX} records", reason="malformed")
    leaves: dict[int, bytes] = {}
    previous = -1
    for start in range(0, len(data), _RECORD_BYTES):
        index = int.from_bytes(data[start : start + INDEX_BYTES], "big")
        if index <= previous:
            raise VerificationError("leaves are not sorted, or one stands twice", reason="malformed")
        leaves[index] = data[start + INDEX_BYTES : start + _RECORD_BYTES]
        previous = index
    return leaves


def _read_multiproof(data: bytes) -> tuple[bytes, ...]:
    if len(data) % HASH_BYTES or len(data) > 64 * HASH_BYTES * LEAVES_MAX:
        raise VerificationError("multiproof is not a list of hashes", reason="malformed")
    return tuple(data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES))


def _read_status(data: bytes) -> StatusList:
    try:
        return parse_status_list(data)
    except (EncodingError, VerificationError) as error:
        raise VerificationError(f"status.json: {error}", reason="malformed") from None
