"""Rows of what is proved, as frozen values: leaves, checkpoints, receipts, hits, evidence, proofs, signers, status lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tenants.identifiers import EntryId, TenantId

Grade = Literal["declared", "attested"]
SignerRole = Literal["runner", "gateway"]
#: How far apart the clocks of two machines may be before a lease of one is not believed by the other.
CLOCK_SKEW_MS_MAX: Final = 60_000
SignerStatus = Literal["active", "retired", "compromised"]


@dataclass(frozen=True, slots=True)
class StoredLeaf:
    """A leaf as it lies in the outbox; *leaf_index* is None until it is sequenced, *body* None after an erasure."""

    seq: int
    kind: int
    tenant_id: TenantId | None
    leaf: bytes
    body: bytes | None
    leaf_index: int | None
    at_ms: int


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """A signed checkpoint: *root* over the first *size* leaves, the last of which has number *through_seq*."""

    size: int
    through_seq: int
    root: bytes
    note: str
    witnesses: int
    signed_at_ms: int


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write the log until *expires_at_ms*; a later holder has a higher *token*."""

    name: str
    holder: str
    token: int
    expires_at_ms: int

    def is_held(self, now_ms: int, *, lasts_ms: int) -> bool:
        """Say whether its holder still has it, where leases last *lasts_ms*.

        One that would last much longer was given by a clock that was wrong, and counts as over.
        """
        return now_ms < self.expires_at_ms <= now_ms + lasts_ms + CLOCK_SKEW_MS_MAX


@dataclass(frozen=True, slots=True)
class NewReceipt:
    """A receipt about to be stored; *seq* is its leaf's number in the outbox."""

    id: str
    seq: int
    statement_digest: bytes
    entry_id: EntryId | None
    grade: str
    model_version: str
    key_id: str
    issued_at_ms: int


@dataclass(frozen=True, slots=True)
class StoredReceipt:
    """A receipt with its leaf; *body* is its envelope, None after an erasure."""

    id: str
    seq: int
    statement_digest: bytes
    entry_id: EntryId | None
    grade: str
    model_version: str
    key_id: str
    issued_at_ms: int
    leaf: bytes
    body: bytes | None
    leaf_index: int | None


@dataclass(frozen=True, slots=True)
class NewHit:
    """A hit about to be stored; *record* is its `crypto.hit.HitRecord` in canonical bytes.

    *query_vector* is sealed already, and None where there is none or the tenant keeps none.
    """

    id: str
    at_ms: int
    receipt_id: str
    tier: str
    record: bytes
    query_vector: bytes | None = None


@dataclass(frozen=True, slots=True)
class StoredHit:
    """A hit, and the batch it is logged in: None until the sequencer has made one.

    *query_vector* is sealed, and None where there is none, none was kept, or its time is over.
    """

    id: str
    at_ms: int
    receipt_id: str
    tier: str
    record: bytes
    batch_seq: int | None
    position: int | None
    query_vector: bytes | None


@dataclass(frozen=True, slots=True)
class UnbatchedHit:
    """A hit that waits for its batch."""

    tenant_id: TenantId
    id: str
    record: bytes


@dataclass(frozen=True, slots=True)
class NewEvidence:
    """Evidence about to be stored; *seq* is its leaf's number, *opening* is sealed already."""

    id: str
    seq: int
    receipt_id: str
    kind: str
    opening: bytes | None
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class StoredEvidence:
    """Evidence with its leaf; *body* is its envelope or body."""

    id: str
    seq: int
    receipt_id: str
    kind: str
    opening: bytes | None
    created_at_ms: int
    leaf: bytes
    body: bytes | None
    leaf_index: int | None


@dataclass(frozen=True, slots=True)
class NewWellFormedness:
    """A well-formedness document about to be stored; *evidence_id* is the embedding statement's, *seq* its own leaf's."""

    evidence_id: str
    seq: int
    document: bytes
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class StoredWellFormedness:
    """A well-formedness document with its leaf; *body* is None once it was forgotten."""

    evidence_id: str
    seq: int
    document: bytes
    created_at_ms: int
    leaf: bytes
    body: bytes | None
    leaf_index: int | None


@dataclass(frozen=True, slots=True)
class NewApplicability:
    """A sealed applicability document about to be stored; *evidence_id* is the embedding statement that it goes by."""

    hit_id: str
    evidence_id: str
    seq: int
    document: bytes
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class StoredApplicability:
    """An applicability document, sealed as it is stored, with its leaf; *body* is None once it was forgotten."""

    hit_id: str
    evidence_id: str
    seq: int
    document: bytes
    created_at_ms: int
    leaf: bytes
    body: bytes | None
    leaf_index: int | None


@dataclass(frozen=True, slots=True)
class SignerRow:
    """A signing key that was seen, and whether what it signs still counts."""

    key_id: str
    public_key: bytes
    role: str
    name: str
    status: str
    since_index: int | None
    first_seen_at_ms: int
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StatusListRow:
    """A status list that is in the log; *seq* is the first leaf that bound it."""

    digest: str
    document: str
    seq: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class AnnouncedPolicy:
    """A policy that is in the log, for the pseudonym that the tenant has in *epoch*."""

    epoch: int
    version: int
    digest: str
    document: str
    seq: int


@dataclass(frozen=True, slots=True)
class AuditJob:
    """An export that is running or has ended."""

    id: str
    state: str
    done: int
    total: int
    scope: str
    file: str | None
    error: str | None
    created_at_ms: int
