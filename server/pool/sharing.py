"""Consent: which entries of a tenant are labelled shareable, by the request, by a tag, by its policy, or later by hand.

A label is a row beside the entry, in the transaction that stores it. Publishing comes later (`server.pool.publishing`),
and what was published can be revoked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import orjson
from sqlalchemy import Connection

from server.identifiers import format_entry_id
from server.ports import Clock, RandomSource
from server.reuse.policy import ReusePolicy
from server.reuse.request import ShareWish, Steering
from server.reuse.sight import Asked
from server.reuse.storing import WriteAlso
from server.reuse.tenant_directory import TenantContext
from server.store.database import Database
from server.store.entries import EntryRepository
from server.store.errors import Conflict, NotFound
from server.store.maintenance import AuditEvent, append_audit
from server.store.pool_records import Share
from server.store.shares import ShareRepository
from tenants.errors import UnsealError
from tenants.identifiers import EntryId, TenantId
from tenants.sealing import SealContext, seal, sealed_epoch, unseal

ALIASES_FIELD: Final = "share"
SCHEMA_VERSION: Final = 1


class ShareLabels:
    """Labels entries of tenants that share as `noised`; *is_poolable* says whether a request could be published at all."""

    def __init__(
        self, database: Database, clock: Clock, random: RandomSource, *, is_poolable: Callable[[Asked], bool]
    ) -> None:
        self._database = database
        self._clock = clock
        self._random = random
        self._is_poolable = is_poolable

    def label_of(self, asked: Asked) -> WriteAlso | None:
        """Return what labels an entry that is about to be stored for a request; None where it is not shared.

        What a request asks for itself is always labelled, so that the label can say why it was refused; tags and policy
        label what is poolable.
        """
        tenant, steering = asked.tenant, asked.request.steering
        wish = wish_of(tenant.policy, steering)
        if wish is None or (steering.share is None and not self._is_poolable(asked)):
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
        if found is None or found.state == "refused":
            shares.put(_labelled(tenant, entry, wish, now_ms=self._clock.now_ms(), random=self._random))


def label_entry(
    connection: Connection,
    tenant: TenantContext,
    entry: EntryId,
    wish: ShareWish,
    *,
    actor: str,
    now_ms: int,
    random: RandomSource,
) -> Share:
    """Label an entry by hand, in the place of a label that still waits, and note who did.

    Raises `NotFound` for an entry that is not there, and `Conflict` for one that was published or revoked: an entry is
    published once, and what was taken back stays so.
    """
    if EntryRepository(connection, tenant.id).get_summary(entry) is None:
        raise NotFound("there is no such entry")
    shares = ShareRepository(connection, tenant.id)
    found = shares.find(entry)
    if found is not None and found.state in ("published", "revoked"):
        raise Conflict(f"this entry was {found.state} already, and an entry is published once")
    share = _labelled(tenant, entry, wish, now_ms=now_ms, random=random)
    if found is not None and found.state == "labelled":
        # It has waited: only what it says is new.
        share = replace(share, at_ms=found.at_ms)
    event = AuditEvent(actor, tenant.id, "share.add", format_entry_id(entry), {"epsilon_milli": share.epsilon_milli})
    append_audit(connection, event, at_ms=now_ms)
    shares.put(share)
    return share


def wish_of(policy: ReusePolicy, steering: Steering) -> ShareWish | None:
    """Return how the entry of a request is to be shared by its own word, its tags or its policy; None where it is not."""
    if policy.sharing != "noised":
        return None
    if steering.share is not None:
        return steering.share if steering.share.shares else None
    is_labelled = policy.share_by_default or not set(policy.share_tags).isdisjoint(steering.tags)
    return ShareWish(True) if is_labelled else None


def _labelled(tenant: TenantContext, entry: EntryId, wish: ShareWish, *, now_ms: int, random: RandomSource) -> Share:
    sealed = seal_aliases(tenant, entry, wish.aliases, random=random) if wish.aliases else None
    return Share(entry, "labelled", None, epsilon_of(tenant.policy, wish), sealed, None, now_ms)


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
