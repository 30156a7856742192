"""What was released, as the pool keeps it: public texts, a retrieval vector and its place in the release, sealed at rest.

The place is kept with each item because its siblings may be withdrawn: whoever proves later that this one was released
needs their hashes all the same. Evolution: fields are only appended; items from before there were places have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from crypto.release import PoolItem, item_paths
from server.identifiers import new_entry_id
from server.ports import Int8Matrix, JsonObject, RandomSource
from server.reuse.fingerprint import PoolMode
from server.reuse.tenant_directory import TenantContext
from server.store.pool_records import NewItem, StoredItem
from tenants.errors import UnsealError
from tenants.identifiers import TenantId
from tenants.sealing import DataKey, SealContext, seal, sealed_epoch, unseal

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item stands in the tree of its release: its position, and the path that proves it."""

    position: int
    path: tuple[bytes, ...]


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


def seal_items(
    pool: TenantContext,
    released: Sequence[Released],
    *,
    release: int,
    mode: PoolMode,
    at_ms: int,
    random: RandomSource,
) -> list[NewItem]:
    """Return the rows of all that one release came to, each with its place in it."""
    rows = []
    for one, (position, path) in zip(released, item_paths([one.item for one in released]), strict=True):
        plain: JsonObject = {
            "embedder": one.embedder,
            "path": [sibling.hex() for sibling in path],
            "position": position,
            "texts": one.texts,
            "vector": one.vector.hex(),
        }
        sealed = seal(pool.data_key, _place(pool.id, one.id), orjson.dumps(plain), random=random)
        rows.append(NewItem(one.id, release, mode, one.profile, sealed, at_ms))
    return rows


def open_item(pool: TenantContext, row: StoredItem) -> Released:
    """Open a row; raises `UnsealError` where it was withdrawn, or holds something else."""
    return _read(row, _open(pool, row))


def open_place(pool: TenantContext, row: StoredItem) -> tuple[Released, Place | None]:
    """Open a row with the place that is kept in it, if one is; raises as `open_item` does."""
    found = _open(pool, row)
    if "position" not in found:
        return _read(row, found), None
    try:
        place = Place(int(found["position"]), tuple(bytes.fromhex(sibling) for sibling in found["path"]))
    except (KeyError, TypeError, ValueError):
        raise UnsealError("the sealed item holds something else than a place") from None
    return _read(row, found), place


def _open(pool: TenantContext, row: StoredItem) -> Any:
    if row.sealed is None:
        raise UnsealError("the item was withdrawn")
    return unseal_json(pool, row.id, "item", row.sealed)


def _read(row: StoredItem, found: Any) -> Released:
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
