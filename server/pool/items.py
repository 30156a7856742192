"""What was released, as the pool keeps it until it is answered: public texts and a retrieval vector, sealed at rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from crypto.release import PoolItem
from server.identifiers import new_entry_id
from server.ports import Int8Matrix, RandomSource
from server.reuse.fingerprint import PoolMode
from server.reuse.tenant_directory import TenantContext
from server.store.pool_records import NewItem, StoredItem
from tenants.errors import UnsealError
from tenants.identifiers import TenantId
from tenants.sealing import DataKey, SealContext, seal, sealed_epoch, unseal

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Released:
    """One thing that is released: its public *texts*, the *profile* it belongs to, and its quantised vector as bytes.

    *embedder* is the digest of what made the vector.
    """

    id: int
    texts: tuple[str, ...]
    profile: str
    vector: bytes
    embedder: str

    @property
    def row(self) -> Int8Matrix:
        """The vector, shape (dimension,)."""
        return np.frombuffer(self.vector, dtype=np.int8)

    @property
    def item(self) -> PoolItem:
        """What the release's document binds of it."""
        return PoolItem.of(self.texts, self.profile, self.vector)


def new_item_id(now_ms: int, random: RandomSource) -> int:
    """Return an id for an item, of the form of an entry's."""
    return int(new_entry_id(now_ms, random))


def seal_item(
    pool: TenantContext, released: Released, *, release: int, mode: PoolMode, at_ms: int, random: RandomSource
) -> NewItem:
    """Return the row of *released*."""
    plain = orjson.dumps({"embedder": released.embedder, "texts": released.texts, "vector": released.vector.hex()})
    sealed = seal(pool.data_key, _place(pool.id, released.id), plain, random=random)
    return NewItem(released.id, release, mode, released.profile, sealed, at_ms)


def open_item(pool: TenantContext, row: StoredItem) -> Released:
    """Open a row; raises `UnsealError` where it was withdrawn, or holds something else."""
    if row.sealed is None:
        raise UnsealError("the item was withdrawn")
    found = unseal_json(pool, row.id, "item", row.sealed)
    try:
        vector = bytes.fromhex(found["vector"])
        return Released(row.id, tuple(found["texts"]), row.profile, vector, found["embedder"])
    except (KeyError, TypeError, ValueError):
        raise UnsealError("the sealed item holds something else than an item") from None


def seal_json(key: DataKey, pool: TenantId, item: int, field: str, value: Any, *, random: RandomSource) -> bytes:
    """Seal any JSON *value* that belongs to an item, under *field*."""
    return seal(key, _place(pool, item, field), orjson.dumps(value), random=random)


def unseal_json(pool: TenantContext, item: int, field: str, sealed: bytes) -> Any:
    """Open what `seal_json` sealed; raises `UnsealError`."""
    return orjson.loads(unseal(pool.open_with(sealed_epoch(sealed)), _place(pool.id, item, field), sealed))


def _place(pool: TenantId, item: int, field: str = "item") -> SealContext:
    return SealContext(tenant=pool, entry=item, field=field, schema_version=SCHEMA_VERSION)
