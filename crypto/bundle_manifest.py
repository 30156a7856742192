"""What the gateway signs over a bundle: its members' digests, its counts, its checkpoint and what it is about.

Format: docs/formats.md, "Bundle v1".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .archive import ARCHIVE_BYTES_MAX
from .canonical import JsonValue
from .closed import (
    encode_closed,
    or_null,
    parse_closed,
    read_digest,
    read_hex_32,
    read_integer,
    read_key_id,
    read_list,
    read_object,
    read_text,
    refuse_unsorted,
    refused_as,
)
from .dsse import PAYLOAD_BUNDLE, PAYLOAD_BYTES_MAX, Envelope, parse_envelope
from .errors import EncodingError

SCHEMA: Final = "hitproof/bundle/v1"
PSEUDONYMS_MAX: Final = 4_096
MEMBER_NAMES: Final = (
    "bodies.jsonl",
    "checkpoint",
    "checkpoints.jsonl",
    "evidence.jsonl",
    "hits.jsonl",
    "leaves",
    "models.jsonl",
    "multiproof",
    "openings.jsonl",
    "policies.jsonl",
    "publishers.jsonl",
    "receipts.jsonl",
    "status.json",
)
_KEYS: Final = frozenset({"counts", "made_at_ms", "members", "origin", "root", "schema", "scope", "signer", "size"})


@dataclass(frozen=True, slots=True)
class Counts:
    """How many lines of evidence, hits, openings and receipts a bundle holds."""

    evidence: int
    hits: int
    openings: int
    receipts: int

    def to_json(self) -> dict[str, JsonValue]:
        """Return the manifest's object."""
        return {
            "evidence": self.evidence,
            "hits": self.hits,
            "openings": self.openings,
            "receipts": self.receipts,
        }


@dataclass(frozen=True, slots=True)
class Member:
    """A member's name, digest and size."""

    name: str
    sha256: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PseudonymKey:
    """The key that opens one tenant's pseudonym in one epoch."""

    epoch: int
    key: bytes


@dataclass(frozen=True, slots=True)
class Scope:
    """What a bundle is about: one tenant, perhaps one model version, from *since_ms* to before *until_ms*."""

    tenant: str
    pseudonyms: tuple[PseudonymKey, ...]
    since_ms: int | None = None
    until_ms: int | None = None
    model_version: str | None = None

    def covers(self, at_ms: int) -> bool:
        """Say whether *at_ms* lies within the scope's time."""
        return (self.since_ms is None or self.since_ms <= at_ms) and (self.until_ms is None or at_ms < self.until_ms)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the manifest's object."""
        return {
            "model_version": self.model_version,
            "pseudonyms": [{"epoch": one.epoch, "key": one.key.hex()} for one in self.pseudonyms],
            "since_ms": self.since_ms,
            "tenant": self.tenant,
            "until_ms": self.until_ms,
        }


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """The manifest of a bundle; *members* are all but the manifest itself, by name."""

    counts: Counts
    made_at_ms: int
    members: tuple[Member, ...]
    origin: str
    size: int
    root: bytes
    scope: Scope
    signer: str

    def to_payload(self) -> bytes:
        """Return the canonical JSON that is signed."""
        members: list[JsonValue] = [
            {"name": one.name, "sha256": one.sha256.hex(), "size_bytes": one.size_bytes} for one in self.members
        ]
        return encode_closed(
            {
                "counts": self.counts.to_json(),
                "made_at_ms": self.made_at_ms,
                "members": members,
                "origin": self.origin,
                "root": self.root.hex(),
                "schema": SCHEMA,
                "scope": self.scope.to_json(),
                "signer": self.signer,
                "size": self.size,
            }
        )


@refused_as("manifest_malformed")
def parse_manifest(data: bytes) -> tuple[Envelope, BundleManifest]:
    """Read the member `bundle.json`; raises `VerificationError` (`manifest_malformed`) for anything else."""
    envelope = parse_envelope(data, payload_type=PAYLOAD_BUNDLE, reason="manifest_malformed")
    payload = parse_closed(envelope.payload, PAYLOAD_BYTES_MAX, "the manifest")
    found = read_object(payload, "the manifest", _KEYS)
    if found["schema"] != SCHEMA:
        raise EncodingError(f"the manifest's schema is not {SCHEMA}")
    manifest = BundleManifest(
        counts=_read_counts(found["counts"]),
        made_at_ms=read_integer(found["made_at_ms"], "made_at_ms"),
        members=_read_members(found["members"]),
        origin=read_text(found["origin"], "origin"),
        size=read_integer(found["size"], "size"),
        root=read_hex_32(found["root"], "root"),
        scope=_read_scope(found["scope"]),
        signer=read_key_id(found["signer"], "signer"),
    )
    return envelope, manifest


def _read_counts(value: JsonValue) -> Counts:
    found = read_object(value, "counts", frozenset({"evidence", "hits", "openings", "receipts"}))
    return Counts(*(read_integer(found[name], name) for name in ("evidence", "hits", "openings", "receipts")))


def _read_members(value: JsonValue) -> tuple[Member, ...]:
    members = tuple(_read_member(item) for item in read_list(value, "members", len(MEMBER_NAMES)))
    if tuple(member.name for member in members) != MEMBER_NAMES:
        raise EncodingError("members are not those of a bundle, by name")
    return members


def _read_member(value: JsonValue) -> Member:
    found = read_object(value, "a member", frozenset({"name", "sha256", "size_bytes"}))
    size_bytes = read_integer(found["size_bytes"], "size_bytes", 0, ARCHIVE_BYTES_MAX)
    return Member(read_text(found["name"], "name"), read_hex_32(found["sha256"], "sha256"), size_bytes)


def _read_scope(value: JsonValue) -> Scope:
    keys = frozenset({"model_version", "pseudonyms", "since_ms", "tenant", "until_ms"})
    found = read_object(value, "scope", keys)
    pseudonyms = tuple(
        _read_pseudonym_key(item) for item in read_list(found["pseudonyms"], "pseudonyms", PSEUDONYMS_MAX)
    )
    refuse_unsorted([one.epoch for one in pseudonyms], "pseudonyms")
    return Scope(
        tenant=read_text(found["tenant"], "tenant"),
        pseudonyms=pseudonyms,
        since_ms=or_null(read_integer)(found["since_ms"], "since_ms"),
        until_ms=or_null(read_integer)(found["until_ms"], "until_ms"),
        model_version=or_null(read_digest)(found["model_version"], "model_version"),
    )


def _read_pseudonym_key(value: JsonValue) -> PseudonymKey:
    found = read_object(value, "a pseudonym", frozenset({"epoch", "key"}))
    return PseudonymKey(read_integer(found["epoch"], "epoch"), read_hex_32(found["key"], "key"))
