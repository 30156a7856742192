"""Consent: which entries of a tenant are labelled shareable, by the request, by a tag, by its policy, or later by hand.

A label is a row beside the entry, in the transaction that stores it. Publishing comes later (`server.pool.publishing`),
and what was published can be revoked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson
from sqlalchemy import Connection

from server.ports import Clock, RandomSource
from server.reuse.policy import ReusePolicy
from server.reuse.request import ShareWish, Steering
from server.reuse.storing import WriteAlso
from server.reuse.tenant_directory import TenantContext
from server.store.database import Database
from server.store.pool_records import Share
from server.store.shares import ShareRepository
from tenants.errors import UnsealError
from tenants.identifiers import EntryId, TenantId
from tenants.sealing import SealContext, seal, sealed_epoch, unseal

ALIASES_FIELD: Final = "share"
SCHEMA_VERSION: Final = 1


class ShareLabels:
    """Labels entries of tenants that share as `noised`."""

    def __init__(self, database: Database, clock: Clock, random: RandomSource) -> None:
        self._database = database
        self._clock = clock
        self._random = random

    def label_of(self, tenant: TenantContext, steering: Steering) -> WriteAlso | None:
        """Return what labels an entry that is about to be stored for a request; None where it is not shared."""
        wish = wish_of(tenant.policy, steering)
        if wish is None:
            return None
        return lambda connection, entry: self._write(connection, tenant, entry, wish)

    async def label(self, tenant: TenantContext, entry: EntryId, wish: ShareWish) -> None:
        """Label an entry that is there; one that is waiting, published or revoked already is not labelled again.

        Raises `StoreError`.
        """
        await self._database.write(lambda connection: self._write(connection, tenant, entry, wish))

    def _write(self, connection: Connection, tenant: TenantContext, entry: EntryId, wish: ShareWish) -> None:
        shares = ShareRepository(connection, tenant.id)
        found = shares.find(entry)
        if found is not None and found.state != "refused":
            return
        sealed = seal_aliases(tenant, entry, wish.aliases, random=self._random) if wish.aliases else None
        epsilon_milli = epsilon_of(tenant.policy, wish)
        shares.put(Share(entry, "labelled", None, epsilon_milli, sealed, None, self._clock.now_ms()))


def wish_of(policy: ReusePolicy, steering: Steering) -> ShareWish | None:
    """Return how the entry of a request is to be shared by its own word, its tags or its policy; None where it is not."""
    if policy.sharing != "noised":
        return None
    if steering.share is not None:
        return steering.share if steering.share.shares else None
    is_labelled = policy.share_by_default or not set(policy.share_tags).isdisjoint(steering.tags)
    return ShareWish(True) if is_labelled else None


def epsilon_of(policy: ReusePolicy, wish: ShareWish) -> int:
    """Return the ε, in thousandths, that an entry is published at: the policy's, or a smaller one that was asked for."""
    return min(policy.noised_epsilon_milli, wish.epsilon_milli or policy.noised_epsilon_milli)


def seal_aliases(tenant: TenantContext, entry: EntryId, aliases: Sequence[str], *, random: RandomSource) -> bytes:
    """Seal the public questions that a tenant wrote for an entry, until it is published."""
    return seal(tenant.data_key, _place(tenant.id, entry), orjson.dumps(list(aliases)), random=random)


def open_aliases(tenant: TenantContext, entry: EntryId, sealed: bytes | None) -> tuple[str, ...]:
    """Return the public questions that a tenant wrote for an entry; raises `UnsealError`."""
    if sealed is None:
        return ()
    found = orjson.loads(unseal(tenant.open_with(sealed_epoch(sealed)), _place(tenant.id, entry), sealed))
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise UnsealError("what is sealed as aliases is no list of texts")
    return tuple(found)


def _place(tenant: TenantId, entry: EntryId) -> SealContext:
    return SealContext(tenant=tenant, entry=entry, field=ALIASES_FIELD, schema_version=SCHEMA_VERSION)
