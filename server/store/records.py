"""Rows as frozen values; what is sealed stays sealed here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tenants.identifiers import EntryId, KeyId, LookupId, OrganisationId, TenantId

EntryState = Literal["live", "quarantined"]
LabelValue = Literal["right", "wrong"]


@dataclass(frozen=True, slots=True)
class OrganisationRecord:
    """One billing unit."""

    id: OrganisationId
    name: str
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """One isolated customer."""

    id: TenantId
    organisation_id: OrganisationId
    name: str
    status: str
    quota: str
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class ApiKeyRecord:
    """What is kept of an API key: never the key."""

    key_id: KeyId
    tenant_id: TenantId | None
    mac: bytes
    role: str
    scopes: str
    label: str
    created_at_ms: int
    created_by: str
    expires_at_ms: int | None
    revoked_at_ms: int | None
    last_used_day: str | None


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """One version of a tenant's reuse policy."""

    version: int
    document: str
    digest: str
    created_at_ms: int
    created_by: str


@dataclass(frozen=True, slots=True)
class UpstreamRecord:
    """An upstream as the platform set it up."""

    name: str
    kind: str
    base_url: str
    key_reference: str | None
    allow_private: bool
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model alias, where it leads and what it costs (micro-units of currency per million tokens)."""

    alias: str
    upstream: str
    requested: str
    model_version: str | None
    reported: str | None
    input_price_micro: int
    output_price_micro: int
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class ModelVersionRecord:
    """A model version that was seen, and whether its answers may still be reused."""

    model_version: str
    reported: str
    status: str
    manifest: str | None
    first_seen_at_ms: int
    publisher: str | None = None


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry about to be stored; *payload* and *vector* are sealed already."""

    id: EntryId
    fingerprint: bytes
    exact_key: bytes
    kind: str
    source: str
    derivation: str
    parents: str
    model: str
    model_version: str
    reported: str
    embedder: str | None
    created_at_ms: int
    expires_at_ms: int
    prompt_tokens: int
    output_tokens: int
    cost_micro: int
    size_bytes: int
    payload: bytes
    vector: bytes | None
    tags: tuple[str, ...]
    receipt_id: str | None = None


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as a lookup reads it: the row, its tenant as stored, and whether its model version is still active.

    *receipt_seq* and *receipt_index* are its receipt's leaf in the outbox and in the log (None until it is sequenced);
    all of the receipt's columns are None where there is no such receipt of this tenant.
    """

    id: EntryId
    tenant_id: TenantId
    fingerprint: bytes
    exact_key: bytes
    source: str
    derivation: str
    model: str
    model_version: str
    reported: str
    state: str
    created_at_ms: int
    expires_at_ms: int
    prompt_tokens: int
    output_tokens: int
    cost_micro: int
    payload: bytes
    receipt_id: str | None
    model_status: str | None
    active_version: str | None
    active_reported: str | None
    receipt_seq: int | None
    receipt_grade: str | None
    receipt_index: int | None
    signer_status: str | None
    signer_since_index: int | None


@dataclass(frozen=True, slots=True)
class EntrySummary:
    """An entry for lists: nothing that needs a key."""

    id: EntryId
    model: str
    model_version: str
    source: str
    state: str
    state_reason: str | None
    created_at_ms: int
    expires_at_ms: int
    last_hit_at_ms: int
    hit_count: int
    size_bytes: int
    matched_by_meaning: bool
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LookupRecord:
    """One recorded lookup; *detail* is sealed."""

    id: LookupId
    key_id: KeyId
    at_ms: int
    expires_at_ms: int
    model: str
    outcome: str
    tier: str | None
    reason: str
    entry_id: EntryId | None
    policy_version: int
    detail: bytes | None
    label: str | None
    label_kind: str | None
    labelled_at_ms: int | None


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one kind of outcome added up to on one day, for one key and model."""

    day: str
    key_id: KeyId
    model: str
    outcome: str
    tier: str
    requests: int
    saved_prompt_tokens: int
    saved_output_tokens: int
    saved_micro: int
    latency_us: int


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One change from which indexes are derived, in commit order."""

    seq: int
    tenant_id: TenantId
    fingerprint: bytes | None
    operation: str
    entry_id: EntryId | None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One administrative change, chained to the one before it."""

    seq: int
    at_ms: int
    actor: str
    tenant_id: TenantId | None
    action: str
    target: str
    detail: str
    previous_hash: bytes
    hash: bytes
