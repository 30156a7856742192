"""Data keys: one secret per tenant and epoch, stored wrapped, unwrapped into a bounded memory for a short time.

Deleting a tenant's wrapped keys (and `forget`ting them here) makes everything sealed under them unreadable for ever.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from crypto.canonical import encode_fields
from tenants.derivation import derive_bytes
from tenants.errors import UnsealError
from tenants.identifiers import TenantId
from tenants.key_providers import KeyProvider, rewrap
from tenants.randomness import RandomSource, draw
from tenants.sealing import KEY_BYTES, DataKey

ROTATION_AGE_MS: Final = 90 * 24 * 3600 * 1000
ROTATION_SEALED_COUNT: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class WrappedDataKey:
    """A data key as it is stored; *kek_id* names the key-encryption key that *wrapped* needs."""

    tenant: TenantId
    epoch: int
    wrapped: bytes
    kek_id: str


def new_wrapped_key(provider: KeyProvider, tenant: TenantId, epoch: int, random: RandomSource) -> WrappedDataKey:
    """Make the data key of a new *epoch*; raises `RandomnessError` or `SealedError`, and then nothing was made."""
    key = DataKey(epoch, draw(random, KEY_BYTES))
    return WrappedDataKey(tenant, epoch, provider.wrap(key.secret, tenant=tenant, epoch=epoch), provider.key_id)


def rewrap_data_key(old: KeyProvider, new: KeyProvider, record: WrappedDataKey) -> WrappedDataKey:
    """Return *record* under the *new* key-encryption key; raises `SealedError`."""
    wrapped = rewrap(old, new, record.wrapped, tenant=record.tenant, epoch=record.epoch)
    return WrappedDataKey(record.tenant, record.epoch, wrapped, new.key_id)


def is_rotation_due(created_at_ms: int, sealed_count: int, now_ms: int) -> bool:
    """Tell whether a tenant's newest epoch is old or used enough (90 days, 2^30 values) to begin the next."""
    return now_ms - created_at_ms >= ROTATION_AGE_MS or sealed_count >= ROTATION_SEALED_COUNT


def derive_tenant_key(secret: bytes, purpose: str, tenant: TenantId) -> bytes:
    """Return 32 bytes for one *purpose* of one tenant (lookup HMAC, pseudonyms, prefix-cache salt) from a data key.

    HKDF-SHA256 without salt, info = fields("hitproof/tenant-key/v1", purpose, tenant).
    """
    info = encode_fields("hitproof/tenant-key/v1", purpose.encode("utf-8"), tenant.encode("utf-8"))
    return derive_bytes(secret, salt=b"", info=info, length=KEY_BYTES)


class DataKeyRing:
    """Unwraps data keys on demand and keeps at most *keys_max* of them for *keep_s* seconds; safe between threads.

    *load* returns every wrapped key of a tenant, or nothing for a tenant that was deleted.
    """

    def __init__(
        self,
        provider: KeyProvider,
        load: Callable[[TenantId], Sequence[WrappedDataKey]],
        *,
        keys_max: int = 10_000,
        keep_s: float = 300.0,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._load = load
        self._keys_max = keys_max
        self._keep_s = keep_s
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        # Under epoch None stands the tenant's current key.
        self._kept: OrderedDict[tuple[TenantId, int | None], tuple[float, DataKey]] = OrderedDict()
        self._forgotten = 0

    def current(self, tenant: TenantId) -> DataKey:
        """Return the newest epoch's key, to seal with; raises `UnsealError` if the tenant has none, `SealedError`."""
        return self._get(tenant, None)

    def for_epoch(self, tenant: TenantId, epoch: int) -> DataKey:
        """Return one epoch's key, to unseal with; raises `UnsealError` if it was destroyed, `SealedError`."""
        return self._get(tenant, epoch)

    def forget(self, tenant: TenantId) -> None:
        """Drop every kept key of *tenant*, also one that is just being loaded."""
        with self._lock:
            self._forgotten += 1
            for place in [place for place in self._kept if place[0] == tenant]:
                del self._kept[place]

    def forget_all(self) -> None:
        """Drop every kept key, as when the key provider is sealed."""
        with self._lock:
            self._forgotten += 1
            self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)

    def _get(self, tenant: TenantId, epoch: int | None) -> DataKey:
        now_s = self._monotonic_s()
        with self._lock:
            kept = self._kept.get((tenant, epoch))
            if kept is not None and now_s < kept[0]:
                self._kept.move_to_end((tenant, epoch))
                return kept[1]
            forgotten = self._forgotten
        key = self._unwrap(tenant, epoch)
        with self._lock:
            # A key that was forgotten while it was being loaded is used this once and not kept.
            if forgotten == self._forgotten:
                self._kept[tenant, epoch] = (now_s + self._keep_s, key)
                self._kept.move_to_end((tenant, epoch))
                while len(self._kept) > self._keys_max:
                    self._kept.popitem(last=False)
        return key

    def _unwrap(self, tenant: TenantId, epoch: int | None) -> DataKey:
        records = self._load(tenant)
        if not records:
            raise UnsealError("the tenant has no data key: it was deleted, or never set up")
        wanted = max(record.epoch for record in records) if epoch is None else epoch
        found = next((record for record in records if record.epoch == wanted), None)
        if found is None:
            raise UnsealError(f"the data key of epoch {wanted} was destroyed; what it sealed is gone")
        return DataKey(wanted, self._provider.unwrap(found.wrapped, tenant=tenant, epoch=wanted))
