"""Verify on read: what must hold of an entry at the moment it is about to answer. Any doubt is a miss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from server.store.records import StoredEntry
from tenants.identifiers import TenantId


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why an entry may not answer; *quarantine* when it should never have looked like that."""

    reason: str
    quarantine: bool = False


Verdict: TypeAlias = Doubt | None

#: What a lookup names as its reason where a receipt is why an entry may not answer.
NO_RECEIPT: Final = "no_receipt"
RECEIPT_INVALID: Final = "receipt_invalid"
SIGNER_REVOKED: Final = "signer_revoked"
OF_RECEIPTS: Final = frozenset({NO_RECEIPT, RECEIPT_INVALID, SIGNER_REVOKED})


def doubt_row(row: StoredEntry, *, tenant: TenantId, fingerprint: bytes, now_ms: int, max_age_s: int | None) -> Verdict:
    """Return the first reason against *row*, before it is opened: tenant, state, partition, age, model version."""
    if row.tenant_id != tenant:
        return Doubt("foreign_row", quarantine=False)
    if row.state != "live":
        return Doubt("not_live")
    if row.fingerprint != fingerprint:
        return Doubt("other_fingerprint", quarantine=True)
    if row.expires_at_ms <= now_ms:
        return Doubt("expired")
    if max_age_s is not None and now_ms - row.created_at_ms > max_age_s * 1000:
        return Doubt("older_than_max_age")
    return _doubt_model(row) or _doubt_receipt(row)


def _doubt_receipt(row: StoredEntry) -> Verdict:
    """No receipt, no hit; and none whose signer had ceased to count when its leaf got its place in the log."""
    if row.receipt_id is None or row.receipt_seq is None or row.signer_status is None:
        return Doubt(NO_RECEIPT)
    if row.signer_status == "active":
        return None
    since, index = row.signer_since_index, row.receipt_index
    return Doubt(SIGNER_REVOKED) if since is None or index is None or index >= since else None


def _doubt_model(row: StoredEntry) -> Verdict:
    """A client's own entry goes with the alias's version; what a model produced also needs that version's good name."""
    if row.model_status == "revoked":
        return Doubt("model_version_revoked")
    if row.active_version is not None and row.active_version != row.model_version:
        return Doubt("model_version_superseded")
    if row.source == "client":
        return None
    if row.model_status != "active" or row.active_version is None:
        return Doubt(f"model_version_{row.model_status or 'unknown'}")
    if row.reported != row.active_reported:
        return Doubt("model_reported_changed")
    return None
