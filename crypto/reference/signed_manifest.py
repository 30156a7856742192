"""Reads the manifest of a bundle, which a gateway signed: whose it is, of what time, and which members it has."""

from __future__ import annotations

from dataclasses import dataclass

from . import envelope, json_text, shape
from .archive import MEMBERS, SIZE_BYTES_MAX
from .envelope import Envelope
from .errors import NotInForm, Refused
from .hashing import HASH_BYTES, SIZE_MAX, digest_text, fields, hmac_sha256, sha256
from .json_text import Json
from .trust import Trust

LISTED_MAX = 4_096
EPOCH_MS = 2_592_000_000


@dataclass(frozen=True, slots=True)
class Principal:
    """A tenant, and the keys of the epochs in which a bundle opens its pseudonyms."""

    tenant: str
    pseudonym_keys: dict[int, bytes]

    def pseudonym(self, at_ms: int) -> str | None:
        """The pseudonym at a moment, or None where the bundle does not open that epoch."""
        key = self.pseudonym_keys.get(at_ms // EPOCH_MS)
        if key is None:
            return None
        return hmac_sha256(key, fields("hitproof/pseudonym/v1", self.tenant.encode("utf-8")))[:16].hex()

    def pseudonyms(self) -> frozenset[str]:
        """Those of all epochs that the bundle opens."""
        found = (self.pseudonym(epoch * EPOCH_MS) for epoch in self.pseudonym_keys)
        return frozenset(name for name in found if name is not None)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose receipts and hits a bundle is about, which organisation's ledger, and what it opens of the pool."""

    tenant: Principal
    pool: Principal | None
    organisation: str | None
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
    counts = shape.closed(
        found["counts"], "evidence", "hits", "matches", "openings", "proofs", "queries", "receipts", "releases",
        "spendings",
    )  # fmt: skip
    return Manifest(
        counts={name: shape.integer(count) for name, count in counts.items()},
        made_at_ms=shape.integer(found["made_at_ms"]),
        members=_members(found["members"]),
        origin=shape.text(found["origin"]),
        size=shape.integer(found["size"], 0, SIZE_MAX),
        root=shape.unhex(found["root"], HASH_BYTES),
        scope=_scope(found["scope"]),
        signer=shape.unhex(found["signer"], 32).hex(),
        signed=signed,
    )


def _members(value: Json) -> dict[str, tuple[str, int]]:
    members: dict[str, tuple[str, int]] = {}
    for item in shape.items(value, len(MEMBERS)):
        member = shape.closed(item, "name", "sha256", "size_bytes")
        name = shape.text(member["name"])
        shape.check_ascending([*members, name][-2:])
        members[name] = (
            shape.unhex(member["sha256"], 32).hex(),
            shape.integer(member["size_bytes"], 0, SIZE_BYTES_MAX),
        )
    if list(members) != [name for name in MEMBERS if name != "bundle.json"]:
        raise NotInForm("not every other member is listed")
    return members


def _scope(value: Json) -> Scope:
    found = shape.closed(
        value, "model_version", "organisation", "pool", "pseudonyms", "since_ms", "until_ms", "tenant"
    )  # fmt: skip
    tenant, pool = _principal(found["tenant"], found["pseudonyms"]), shape.optional(found["pool"], _pool)
    if pool is not None and pool.tenant == tenant.tenant:
        raise NotInForm("the pool is another tenant")
    return Scope(
        tenant=tenant,
        pool=pool,
        organisation=shape.optional(found["organisation"], lambda name: shape.unhex(name, 16).hex()),
        since_ms=shape.optional(found["since_ms"], shape.integer),
        until_ms=shape.optional(found["until_ms"], shape.integer),
        model_version=shape.optional(found["model_version"], lambda digest: digest_text(shape.undigest(digest))),
    )


def _pool(value: Json) -> Principal:
    found = shape.closed(value, "pseudonyms", "tenant")
    return _principal(found["tenant"], found["pseudonyms"])


def _principal(tenant: Json, pseudonyms: Json) -> Principal:
    keys: dict[int, bytes] = {}
    for item in shape.items(pseudonyms, LISTED_MAX):
        pseudonym = shape.closed(item, "epoch", "key")
        epoch = shape.integer(pseudonym["epoch"])
        shape.check_ascending([*keys, epoch][-2:])
        keys[epoch] = shape.unhex(pseudonym["key"], 32)
    return Principal(shape.text(tenant), keys)


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
