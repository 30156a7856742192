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
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from crypto.errors import Error
from privacy.mean import noised_embedding
from privacy.noise import NoiseSampler
from server.pool.calendar import Calendar
from server.pool.consented import Consented, NotNow, Unpublishable
from server.pool.errors import PoolError
from server.pool.items import Released, new_item_id
from server.pool.pricing import Priced, by_organisation, charges_of, count_affordable, count_statable, price
from server.pool.principal import Pool
from server.pool.revoking import REVOKED, withdraw_orphans
from server.pool.writer import Begun, Order, Payer, ReleaseWriter
from server.ports import Clock, RandomSource
from server.reuse.quantise import quantise
from server.reuse.tenant_directory import TenantContext
from server.store.database import Database
from server.store.pool import PoolRepository
from server.store.pool_items import PoolItemRepository
from server.store.pool_records import WaitingShare
from server.store.shares import ShareRepository, count_published, list_waiting
from tenants.errors import TenantError

log = structlog.get_logger()

#: An organisation's part of the noised index, and how many entries it may have whatever the part.
SHARE_OF_INDEX_PERCENT: Final = 5
ENTRIES_ALWAYS: Final = 100
#: Entries looked at in one turn: each has its aliases asked of a model.
BATCH_MAX: Final = 64
#: After so many void releases in a row nothing is paid for until a day has passed: a fault must not spend budgets away.
VOIDS_MAX: Final = 3
VOIDS_REST_MS: Final = 86_400_000

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


class Publisher:
    """Publishes what tenants consented to, and takes back what they lost."""

    def __init__(self, parts: PublisherParts) -> None:
        self._parts = parts

    async def publish_due(self) -> int:
        """Publish what is labelled and out of quarantine, at most `BATCH_MAX` entries; return how many were released.

        Raises `ReleaseRunning` while another process is at a release, `PoolError` while nothing may be paid for because
        one release after another came to nothing.
        """
        pool = await self._parts.pool.context()
        await self._end_abandoned(pool)
        due_ms = self._parts.clock.now_ms() - self._parts.quarantine_s * 1000
        waiting = await self._parts.database.read(lambda c: list_waiting(c, due_ms=due_ms, limit=BATCH_MAX))
        priced = await self._look(pool, waiting)
        if not priced:
            return 0
        epoch = self._parts.calendar.epoch_of(self._parts.clock.now_ms())
        # What is beyond what one spending can state waits for the next batch.
        batch = [one for own in by_organisation(priced).values() for one in own[: count_statable(own)]]
        try:
            begun, paid = await self._parts.database.write(lambda c: self._begin(c, pool, epoch, batch))
        except _NobodyPays:
            await self._refuse([one.waiting for one in batch], EXHAUSTED)
            return 0
        await self._refuse([one.waiting for one in batch if one not in paid], EXHAUSTED)
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
        now_ms = self._parts.clock.now_ms()
        return await self._parts.database.write(lambda connection: withdraw_orphans(connection, now_ms=now_ms))

    async def _end_abandoned(self, pool: TenantContext) -> None:
        """Declare void what a dead process paid for, before anything is looked at; raises `ReleaseRunning`."""
        if await self._parts.database.read(lambda c: PoolRepository(c).find_spending()) is not None:
            await self._parts.database.write(lambda c: self._parts.writer.end_abandoned(c, pool))

    async def _look(self, pool: TenantContext, waiting: Sequence[WaitingShare]) -> list[Priced]:
        found: list[Priced] = []
        published = await self._parts.database.read(count_published)
        total, counts = sum(published.values()), defaultdict(int, published)
        limit = max(ENTRIES_ALWAYS, total * SHARE_OF_INDEX_PERCENT // 100)
        for one in waiting:
            try:
                if counts[one.organisation_id] >= limit:
                    raise Unpublishable(TOO_MANY)
                candidate = await self._parts.consented.look(one, salt=pool.salt)
                found.append(price(candidate, self._parts.noised_delta_atto))
            except Unpublishable as error:
                await self._refuse([one], str(error))
            except (NotNow, TenantError) as error:
                log.info("share_waits", reason=str(error)[:100])
            else:
                counts[one.organisation_id] += 1
        return found

    def _begin(
        self, connection: Connection, pool: TenantContext, epoch: int, batch: Sequence[Priced]
    ) -> tuple[Begun, list[Priced]]:
        """Charge every organisation for as many of its entries as its budget holds, the longest waiting first."""
        self._refuse_to_repeat(connection)
        still = [one for one in batch if _is_as_it_was(connection, one.waiting)]
        payers, taken = [], []
        for organisation, own in by_organisation(still).items():
            may_spend = partial(self._parts.writer.may_spend, connection, organisation, epoch)
            affordable = own[: count_affordable(own, may_spend)]
            if affordable:
                payers.append(Payer(organisation, charges_of(affordable)))
                taken += affordable
        if not payers:
            raise _NobodyPays("nothing of the batch can be paid for")
        begun = self._parts.writer.begin(connection, pool, Order("noised", epoch, "entry", "noised"), payers)
        if not begun.payers:
            raise _NobodyPays("nothing of the batch can be paid for")
        paid = set(begun.payers)
        return begun, [one for one in taken if one.waiting.organisation_id in paid]

    def _refuse_to_repeat(self, connection: Connection) -> None:
        """Raise `PoolError` where the last releases of this mode were all paid for and void."""
        last = PoolRepository(connection).list_releases(mode="noised", limit=VOIDS_MAX)
        if len(last) < VOIDS_MAX or any(row.state != "void" for row in last):
            return
        if self._parts.clock.now_ms() < (last[0].finished_at_ms or 0) + VOIDS_REST_MS:
            raise PoolError(
                f"{VOIDS_MAX} noised releases in a row were paid for and void; nothing more is paid for until a day after "
                "the last one"
            )

    def _draw(self, paid: Sequence[Priced]) -> list[Released]:
        """Noise every embedding once; runs on a thread, once per release."""
        parts, taken = self._parts, set[int]()
        released = []
        for one in paid:
            identifier = new_item_id(parts.clock.now_ms(), parts.random)
            while identifier in taken:
                identifier += 1
            taken.add(identifier)
            source = one.candidate.source
            noised = noised_embedding(source.vector, one.multiplier_squared_micro, parts.noise)
            released.append(
                Released(
                    id=identifier,
                    texts=tuple(alias.text for alias in one.candidate.aliases),
                    profile=source.profile.name,
                    vector=quantise(noised[None])[0].tobytes(),
                    embedder=parts.embedder,
                )
            )
        return released

    def _persist(
        self,
        connection: Connection,
        pool: TenantContext,
        begun: Begun,
        paid: Sequence[Priced],
        released: Sequence[Released],
    ) -> None:
        self._parts.writer.persist(connection, pool, begun.release, released)
        now_ms, revoked = self._parts.clock.now_ms(), []
        for one, item in zip(paid, released, strict=True):
            if not _is_as_it_was(connection, one.waiting):
                revoked.append(item.id)
                continue
            share = replace(
                one.waiting.share,
                state="published",
                reason=None,
                epsilon_milli=one.candidate.epsilon_milli,
                item_id=item.id,
                at_ms=now_ms,
            )
            ShareRepository(connection, one.waiting.tenant_id).put(share)
        if revoked:
            PoolItemRepository(connection).withdraw(revoked, reason=REVOKED, at_ms=now_ms)

    async def _refuse(self, waiting: Sequence[WaitingShare], reason: str) -> None:
        if waiting:
            await self._parts.database.write(lambda c: self._write_refused(c, waiting, reason))

    def _write_refused(self, connection: Connection, waiting: Sequence[WaitingShare], reason: str) -> None:
        for one in waiting:
            if _is_as_it_was(connection, one):
                refused = replace(one.share, state="refused", reason=reason, at_ms=self._parts.clock.now_ms())
                ShareRepository(connection, one.tenant_id).put(refused)

    async def _void(self, begun: Begun, reason: str) -> None:
        try:
            await self._parts.database.write(lambda c: self._parts.writer.void(c, begun.release, reason=reason))
        except Error as error:
            # Whoever comes next finds it paid for and not out, and declares it void.
            log.warning("release_not_voided", release=begun.release.number, error=type(error).__name__)


def _is_as_it_was(connection: Connection, waiting: WaitingShare) -> bool:
    """Say whether a label is still what was looked at: neither revoked nor given other aliases or another ε meanwhile."""
    found = ShareRepository(connection, waiting.tenant_id).find(waiting.share.entry_id)
    return found is not None and found.state == "labelled" and found == waiting.share
