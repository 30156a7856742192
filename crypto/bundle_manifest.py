"""What the gateway signs over a bundle: its members' digests, its counts, its checkpoint and what it is about.

Format: docs/formats.md, "Bundle v1".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from .archive import ARCHIVE_BYTES_MAX
from .canonical import JsonValue
from .closed import (
    Reader,
    encode_closed,
    or_null,
    parse_closed,
    read_digest,
    read_hex_32,
    read_integer,
    read_key_id,
    read_list,
    read_object,
    read_pseudonym,
    read_record,
    read_text,
    refuse_unsorted,
    refused_as,
    write_record,
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
    "matches.jsonl",
    "models.jsonl",
    "multiproof",
    "openings.jsonl",
    "policies.jsonl",
    "proofs.jsonl",
    "publishers.jsonl",
    "queries.jsonl",
    "receipts.jsonl",
    "releases.jsonl",
    "spendings.jsonl",
    "status.json",
)
_KEYS: Final = frozenset({"counts", "made_at_ms", "members", "origin", "root", "schema", "scope", "signer", "size"})


@dataclass(frozen=True, slots=True)
class Counts:
    """How many lines of each kind a bundle holds."""

    evidence: int
    hits: int
    matches: int
    openings: int
    proofs: int
    queries: int
    receipts: int
    releases: int
    spendings: int

    def to_json(self) -> dict[str, JsonValue]:
        """Return the manifest's object."""
        return write_record(self)


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
class PoolScope:
    """The pool's tenant id and the keys that open its pseudonyms, where a receipt or a policy of it is in the bundle."""

    tenant: str
    pseudonyms: tuple[PseudonymKey, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a bundle is about: one tenant, perhaps one model version, from *since_ms* to before *until_ms*.

    *organisation* is the pseudonym of the tenant's organisation in the pool's ledger, where it ever spent.
    """

    tenant: str
    pseudonyms: tuple[PseudonymKey, ...]
    since_ms: int | None = None
    until_ms: int | None = None
    model_version: str | None = None
    organisation: str | None = None
    pool: PoolScope | None = None

    def covers(self, at_ms: int) -> bool:
        """Say whether *at_ms* lies within the scope's time."""
        return (self.since_ms is None or self.since_ms <= at_ms) and (self.until_ms is None or at_ms < self.until_ms)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the manifest's object."""
        return {
            "model_version": self.model_version,
            "organisation": self.organisation,
            "pool": None if self.pool is None else write_record(self.pool),
            "pseudonyms": [write_record(one) for one in self.pseudonyms],
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
    return Counts(**read_record(value, "counts", {field.name: read_integer for field in fields(Counts)}))


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
    scope = Scope(**read_record(value, "scope", _SCOPE))
    if scope.pool is not None and scope.pool.tenant == scope.tenant:
        raise EncodingError("scope names the tenant as the pool, so its own answers could pass as the pool's")
    return scope


def _read_pool(value: JsonValue, where: str) -> PoolScope:
    return PoolScope(**read_record(value, where, _POOL))


def _read_pseudonyms(value: JsonValue, where: str) -> tuple[PseudonymKey, ...]:
    items = read_list(value, where, PSEUDONYMS_MAX)
    found = tuple(PseudonymKey(**read_record(item, "a pseudonym", _PSEUDONYM)) for item in items)
    refuse_unsorted([one.epoch for one in found], where)
    return found


_PSEUDONYM: Final[Mapping[str, Reader]] = {"epoch": read_integer, "key": read_hex_32}
_POOL: Final[Mapping[str, Reader]] = {"pseudonyms": _read_pseudonyms, "tenant": read_text}
_SCOPE: Final[Mapping[str, Reader]] = {
    "model_version": or_null(read_digest),
    "organisation": or_null(read_pseudonym),
    "pool": or_null(_read_pool),
    "pseudonyms": _read_pseudonyms,
    "since_ms": or_null(read_integer),
    "tenant": read_text,
    "until_ms": or_null(read_integer),
}
