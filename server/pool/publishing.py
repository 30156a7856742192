"""Publishing labelled entries: paid for in a batch, noised once, written down, then restated and stored.

    labelled, and its quarantine over → looked at (`server.pool.consented`)
    begin     one transaction: every organisation pays for its entries, if its budget holds them
    noise     in memory, once per entry
    persist   one transaction: items, document, leaf; labels say `published`
    store     each by itself: its runner says its statement again for the pool, and it becomes an entry

What is stored holds neither the question nor anything that names the tenant: the answer, public questions for it, a vector
that was noised, and a receipt under fresh salts of which those of the question are thrown away.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog
from sqlalchemy import Connection

from crypto.charges import Charge, GaussianEmbedding
from crypto.errors import Error
from privacy.calibration import multiplier_squared_micro_for
from privacy.mean import noised_embedding
from privacy.noise import NoiseSampler
from server.pool.calendar import Calendar
from server.pool.consented import Candidate, Consented, NotNow, Unpublishable
from server.pool.items import Released, new_item_id
from server.pool.principal import Pool
from server.pool.writer import Begun, Order, Payer, ReleaseWriter
from server.ports import Clock, RandomSource
from server.reuse.quantise import quantise
from server.reuse.tenant_directory import TenantContext
from server.store.database import Database
from server.store.pool_items import PoolItemRepository
from server.store.pool_records import Share, ShareState, WaitingShare
from server.store.shares import ShareRepository, count_published, list_orphans, list_waiting
from tenants.errors import TenantError
from tenants.identifiers import OrganisationId

log = structlog.get_logger()

#: An organisation's part of the noised index, and how many entries it may have whatever the part.
SHARE_OF_INDEX_PERCENT: Final = 5
ENTRIES_ALWAYS: Final = 100
#: Different noise multipliers that one spending can state.
CHARGES_MAX: Final = 8
BATCH_MAX: Final = 256
MICRO_PER_MILLI: Final = 1_000

EXHAUSTED: Final = "budget_exhausted"
TOO_MANY: Final = "too_large_a_part_of_the_pool"


class _NobodyPays(Error):
    """No organisation can pay for anything of the batch; raised to undo what was begun."""


@dataclass(frozen=True, slots=True)
class PublisherParts:
    """What entries are published with; *noised_delta_atto* is the δ of every entry's ε."""

    database: Database
    pool: Pool
    consented: Consented
    writer: ReleaseWriter
    noise: NoiseSampler
    calendar: Calendar
    embedder: str
    noised_delta_atto: int
    quarantine_s: int
    clock: Clock
    random: RandomSource


@dataclass(frozen=True, slots=True)
class _Priced:
    candidate: Candidate
    multiplier_squared_micro: int

    @property
    def waiting(self) -> WaitingShare:
        return self.candidate.waiting


class Publisher:
    """Publishes what tenants consented to, and takes back what they revoked or lost."""

    def __init__(self, parts: PublisherParts) -> None:
        self._parts = parts

    async def publish_due(self) -> int:
        """Publish what is labelled and out of quarantine, at most `BATCH_MAX` entries; return how many were released.

        Raises `ReleaseRunning` while another process is at a release.
        """
        pool = await self._parts.pool.context()
        due_ms = self._parts.clock.now_ms() - self._parts.quarantine_s * 1000
        waiting = await self._parts.database.read(lambda c: list_waiting(c, limit=10 * BATCH_MAX))
        priced = await self._look(pool, [one for one in waiting if one.share.at_ms <= due_ms][:BATCH_MAX])
        if not priced:
            return 0
        epoch = self._parts.calendar.epoch_of(self._parts.clock.now_ms())
        try:
            begun, paid = await self._parts.database.write(lambda c: self._begin(c, pool, epoch, priced))
        except _NobodyPays:
            await self._refuse([one.waiting for one in priced], EXHAUSTED)
            return 0
        await self._refuse([one.waiting for one in priced if one not in paid], EXHAUSTED)
        try:
            released = await asyncio.to_thread(self._draw, paid)
            await self._parts.database.write(lambda c: self._persist(c, pool, begun, paid, released))
        except BaseException as error:
            # Cancelled or failed: what was drawn is forgotten here and now, and said to be void.
            await asyncio.shield(self._void(begun, f"{type(error).__name__} kept it from coming out"))
            raise
        return len(released)

    async def withdraw_orphans(self) -> int:
        """Take out of the pool what became of entries that are gone at their tenant's; return how many those were."""
        return await self._parts.database.write(self._withdraw_orphans)

    async def _look(self, pool: TenantContext, waiting: Sequence[WaitingShare]) -> list[_Priced]:
        found: list[_Priced] = []
        published = await self._parts.database.read(count_published)
        total, counts = sum(published.values()), defaultdict(int, published)
        for one in waiting:
            limit = max(ENTRIES_ALWAYS, total * SHARE_OF_INDEX_PERCENT // 100)
            try:
                if counts[one.organisation_id] >= limit:
                    raise Unpublishable(TOO_MANY)
                candidate = await self._parts.consented.look(one, salt=pool.salt)
                multiplier = multiplier_squared_micro_for(
                    one.share.epsilon_milli * MICRO_PER_MILLI, self._parts.noised_delta_atto
                )
            except Unpublishable as error:
                await self._refuse([one], str(error))
            except (NotNow, TenantError) as error:
                log.info("share_waits", reason=str(error)[:100])
            else:
                counts[one.organisation_id] += 1
                found.append(_Priced(candidate, multiplier))
        return found

    def _begin(
        self, connection: Connection, pool: TenantContext, epoch: int, priced: Sequence[_Priced]
    ) -> tuple[Begun, list[_Priced]]:
        """Charge every organisation for as many of its entries as its budget holds, the longest waiting first."""
        still = [one for one in priced if _is_labelled(connection, one.waiting)]
        payers, taken = [], []
        for organisation, own in _by_organisation(still).items():
            affordable = self._affordable(connection, organisation, epoch, own)
            if affordable:
                payers.append(Payer(organisation, _charges_of(affordable)))
                taken += affordable
        if not payers:
            raise _NobodyPays("nothing of the batch can be paid for")
        begun = self._parts.writer.begin(connection, pool, Order("noised", epoch, "entry", "noised"), payers)
        if not begun.payers:
            raise _NobodyPays("nothing of the batch can be paid for")
        paid = set(begun.payers)
        return begun, [one for one in taken if one.waiting.organisation_id in paid]

    def _affordable(
        self, connection: Connection, organisation: OrganisationId, epoch: int, own: Sequence[_Priced]
    ) -> list[_Priced]:
        """Return the longest beginning of *own* that the budget holds and one spending can state."""
        count = len(own)
        while count:
            charges = _charges_of(own[:count])
            if len(charges) <= CHARGES_MAX and self._parts.writer.may_spend(connection, organisation, epoch, charges):
                break
            count -= 1
        return list(own[:count])

    def _draw(self, paid: Sequence[_Priced]) -> list[Released]:
        """Noise every embedding once; runs on a thread, once per release."""
        parts = self._parts
        return [
            Released(
                id=new_item_id(parts.clock.now_ms(), parts.random),
                texts=tuple(alias.text for alias in one.candidate.aliases),
                profile=one.candidate.source.profile.name,
                vector=quantise(
                    noised_embedding(one.candidate.source.vector, one.multiplier_squared_micro, parts.noise)[None]
                )[0].tobytes(),
                embedder=parts.embedder,
            )
            for one in paid
        ]

    def _persist(
        self,
        connection: Connection,
        pool: TenantContext,
        begun: Begun,
        paid: Sequence[_Priced],
        released: Sequence[Released],
    ) -> None:
        self._parts.writer.persist(connection, pool, begun.release, released)
        now_ms, revoked = self._parts.clock.now_ms(), []
        for one, item in zip(paid, released, strict=True):
            if _is_labelled(connection, one.waiting):
                share = replace(one.waiting.share, state="published", reason=None, item_id=item.id, at_ms=now_ms)
                ShareRepository(connection, one.waiting.tenant_id).put(share)
            else:
                revoked.append(item.id)
        if revoked:
            PoolItemRepository(connection).withdraw(revoked, reason="revoked", at_ms=now_ms)

    async def _refuse(self, waiting: Sequence[WaitingShare], reason: str) -> None:
        if waiting:
            await self._parts.database.write(lambda c: self._write_refused(c, waiting, reason))

    def _write_refused(self, connection: Connection, waiting: Sequence[WaitingShare], reason: str) -> None:
        for one in waiting:
            if _is_labelled(connection, one):
                _put(connection, one, "refused", reason, self._parts.clock.now_ms())

    def _withdraw_orphans(self, connection: Connection) -> int:
        orphans, now_ms = list_orphans(connection, limit=BATCH_MAX), self._parts.clock.now_ms()
        for one in orphans:
            if one.share.item_id is not None:
                PoolItemRepository(connection).withdraw([one.share.item_id], reason="source_gone", at_ms=now_ms)
            _put(connection, one, "revoked", "source_gone", now_ms)
        return len(orphans)

    async def _void(self, begun: Begun, reason: str) -> None:
        try:
            await self._parts.database.write(lambda c: self._parts.writer.void(c, begun.release, reason=reason))
        except Error as error:
            # Whoever comes next finds it paid for and not out, and declares it void.
            log.warning("release_not_voided", release=begun.release.number, error=type(error).__name__)


def revoke_share(connection: Connection, waiting: WaitingShare, *, now_ms: int) -> None:
    """Take consent back: the entry leaves the pool now; what was spent on it stays spent."""
    if waiting.share.item_id is not None:
        PoolItemRepository(connection).withdraw([waiting.share.item_id], reason="revoked", at_ms=now_ms)
    _put(connection, waiting, "revoked", None, now_ms)


def _put(connection: Connection, one: WaitingShare, state: ShareState, reason: str | None, now_ms: int) -> None:
    share = replace(one.share, state=state, reason=reason, at_ms=now_ms)
    ShareRepository(connection, one.tenant_id).put(share)


def _is_labelled(connection: Connection, waiting: WaitingShare) -> bool:
    found: Share | None = ShareRepository(connection, waiting.tenant_id).find(waiting.share.entry_id)
    return found is not None and found.state == "labelled"


def _by_organisation(priced: Sequence[_Priced]) -> dict[OrganisationId, list[_Priced]]:
    found: dict[OrganisationId, list[_Priced]] = defaultdict(list)
    for one in priced:
        found[one.waiting.organisation_id].append(one)
    return found


def _charges_of(priced: Sequence[_Priced]) -> tuple[Charge, ...]:
    """Return one charge per multiplier, over as many entries as are noised with it."""
    counts: dict[int, int] = defaultdict(int)
    for one in priced:
        counts[one.multiplier_squared_micro] += 1
    return tuple(GaussianEmbedding(count, multiplier) for multiplier, count in sorted(counts.items()))
