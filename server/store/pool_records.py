"""Rows of the pool and of the ledger, as frozen values; what is sealed stays sealed here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tenants.identifiers import EntryId, OrganisationId, TenantId

PoolMode: TypeAlias = Literal["pooled", "noised"]
EpochState: TypeAlias = Literal["open", "released", "empty", "exhausted"]
ItemState: TypeAlias = Literal["selected", "answered", "live", "refused", "withdrawn"]
AnswerState: TypeAlias = Literal["wanted", "held", "live", "refused", "withdrawn"]
ShareState: TypeAlias = Literal["labelled", "published", "revoked", "refused"]


@dataclass(frozen=True, slots=True)
class ProfileRecord:
    """A public pair of system text and parameters; *parameters* is canonical JSON."""

    name: str
    system: str | None
    parameters: str
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class StoredVote:
    """One place of one voter in one epoch; *sealed* opens with the epoch's vote key alone."""

    voter: bytes
    place: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class NewRelease:
    """A release about to be paid for; *holder* names the process that will draw its noise."""

    mode: PoolMode
    epoch: int
    unit: str
    vector_source: str
    holder: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class StoredRelease:
    """A release: *document* and *digest* (`crypto.release`) and its leaf's number are None while it is in state spending."""

    number: int
    mode: PoolMode
    epoch: int
    attempt: int
    state: str
    unit: str
    vector_source: str
    organisations: int
    reason: str | None
    document: str | None
    digest: str | None
    seq: int | None
    holder: str
    created_at_ms: int
    finished_at_ms: int | None


@dataclass(frozen=True, slots=True)
class FinishedRelease:
    """What is written down of a release once it is out, or void; *organisations* as its document says."""

    number: int
    document: str
    digest: str
    seq: int
    organisations: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class LoggedRelease:
    """A release that is in the log, with the index of its leaf: None until it is sequenced."""

    number: int
    document: str
    digest: str
    seq: int
    leaf: bytes
    body: bytes | None
    leaf_index: int | None


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """What became of one epoch in one mode, and why."""

    epoch: int
    mode: PoolMode
    state: EpochState
    reason: str | None
    release: int | None
    at_ms: int


@dataclass(frozen=True, slots=True)
class NewItem:
    """One released thing about to be stored; *sealed* is JSON under the pool's key, in the item's place."""

    id: int
    release: int
    mode: PoolMode
    profile: str
    sealed: bytes
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One released thing; *sealed* is None once it was withdrawn."""

    id: int
    release: int
    mode: PoolMode
    profile: str
    sealed: bytes | None
    state: ItemState
    reason: str | None
    created_at_ms: int
    live_at_ms: int | None


@dataclass(frozen=True, slots=True)
class PoolAnswer:
    """What one model answered, or shall answer, to one item; *held* is sealed, *entry_id* the pool's entry."""

    item_id: int
    model: str
    state: AnswerState
    held: bytes | None
    entry_id: EntryId | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Share:
    """A tenant's consent for one of its entries; *aliases* are sealed questions that the tenant wrote."""

    entry_id: EntryId
    state: ShareState
    reason: str | None
    epsilon_milli: int
    aliases: bytes | None
    item_id: int | None
    at_ms: int


@dataclass(frozen=True, slots=True)
class WaitingShare:
    """A labelled entry of some tenant that is not published yet."""

    tenant_id: TenantId
    organisation_id: OrganisationId
    share: Share


@dataclass(frozen=True, slots=True)
class StoredSpending:
    """One spending of one organisation, with the number of its leaf in the outbox."""

    organisation_id: OrganisationId
    number: int
    pseudonym: str
    period: int
    release: int
    epsilon_micro: int
    rho_nano: int
    delta_atto: int
    document: str
    digest: str
    seq: int


@dataclass(frozen=True, slots=True)
class LoggedSpending:
    """A spending with its leaf; *leaf_index* is None until it is sequenced."""

    number: int
    release: int
    document: str
    digest: str
    seq: int
    leaf: bytes
    body: bytes | None
    leaf_index: int | None
