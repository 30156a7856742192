"""What an export is opened and signed with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from crypto.ed25519 import Signer
from server.reuse.tenant_directory import TenantContext
from tenants.identifiers import TenantId
from tenants.sealing import DataKey

KeyOfEpoch: TypeAlias = Callable[[int], DataKey]


@dataclass(frozen=True, slots=True)
class PoolKeys:
    """What the pool's receipts are opened with, where there is a pool; without *context* no match can be shown."""

    tenant: TenantId
    pseudonym_key: bytes
    key_of_epoch: KeyOfEpoch
    context: TenantContext | None = None


@dataclass(frozen=True, slots=True)
class ExportKeys:
    """What a tenant's export is opened and signed with; *pool* is None before there is one.

    Without *hit_salt_key* no query can be opened.
    """

    pseudonym_key: bytes
    key_of_epoch: KeyOfEpoch
    signer: Signer
    pool: PoolKeys | None = None
    hit_salt_key: bytes | None = None
