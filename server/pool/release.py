"""The release of an epoch: closed, paid for, drawn once, written down, and its votes destroyed.

    too few organisations?   the epoch ends empty, nothing is charged
    begin                    one transaction: every organisation that shares pays in full, if its budget holds it
    draw                     in memory, once
    persist                  one transaction: what came out, its leaf; votes and their key are gone

Who pays depends on policies and budgets alone, never on votes. A release that was cut short is void and never drawn
again; another attempt is paid for anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from crypto.canonical import parse_json
from crypto.errors import Error
from privacy.noise import NoiseSampler
from server.pool.counting import Selected, draw_release, give_vectors, tally
from server.pool.errors import EpochOpen, PoolError
from server.pool.items import Released, new_item_id
from server.pool.principal import Pool, list_customers
from server.pool.tags import open_vote_key, voter_tag
from server.pool.terms import PoolRules
from server.pool.writer import Begun, Order, Payer, ReleaseWriter
from server.ports import Clock, Float32Matrix, RandomSource
from server.reuse.policy import ReusePolicy
from server.reuse.tenant_directory import TenantContext
from server.store.database import Database
from server.store.erasure import empty_journal
from server.store.pool import PoolRepository
from server.store.pool_records import EpochRecord
from server.store.tenancy import PolicyRepository
from server.store.vote_keys import VoteKeyRepository
from server.store.votes import VoteRepository
from tenants.identifiers import OrganisationId, TenantId
from tenants.key_providers import KeyProvider
from tenants.sealing import DataKey

log = structlog.get_logger()

#: Attempts that the house makes by itself; each is paid for, and what fails twice wants a person.
ATTEMPTS_MAX: Final = 2
#: Embedded before anything is paid for, to know that it can be.
PROBE: Final = "what is the capital of france"

TOO_FEW: Final = "too_few_organisations"
EXHAUSTED: Final = "budgets_exhausted"
NOTHING: Final = "nothing_reached_the_threshold"


class _TooFewCanPay(Error):
    """Fewer organisations can pay than make a release; raised to undo what was begun."""


@dataclass(frozen=True, slots=True)
class ReleaseParts:
    """What releases are made with; *embed* maps texts to unit rows of *dimension* components, *embedder* is its digest."""

    database: Database
    pool: Pool
    writer: ReleaseWriter
    noise: NoiseSampler
    provider: KeyProvider
    embed: Callable[[Sequence[str]], Float32Matrix]
    embedder: str
    dimension: int
    clock: Clock
    random: RandomSource


class PoolReleaser:
    """Releases closed epochs of the mode `pooled`, each at most once."""

    def __init__(self, rules: PoolRules, parts: ReleaseParts) -> None:
        self._rules = rules
        self._parts = parts
        self._turn = asyncio.Lock()
        #: A process that ended before it could may have left votes there.
        self._is_journal_due = True

    async def open_epoch(self) -> None:
        """Write down that the running epoch takes votes, so that it is released when it is over, votes or none."""
        now_ms = self._parts.clock.now_ms()
        epoch = self._rules.calendar.epoch_of(now_ms)

        def note(connection: Connection) -> None:
            pool = PoolRepository(connection)
            if pool.find_epoch(epoch, "pooled") is None:
                pool.put_epoch(EpochRecord(epoch, "pooled", "open", None, None, now_ms))

        await self._parts.database.write(note)

    async def release_due(self) -> list[EpochRecord]:
        """Release every epoch that is over and was not released; return what became of each.

        One that failed `ATTEMPTS_MAX` times is left to `hitproof pool release`.
        """
        current = self._rules.calendar.epoch_of(self._parts.clock.now_ms())

        def find(connection: Connection) -> list[int]:
            pool = PoolRepository(connection)
            over = [row.epoch for row in pool.list_epochs("pooled") if row.state == "open" and row.epoch < current]
            return [epoch for epoch in sorted(over) if _attempts(pool, epoch) < ATTEMPTS_MAX]

        if await self._parts.database.write(partial(_destroy_orphans, current)):
            self._is_journal_due = True
        ended = [await self.release(epoch) for epoch in await self._parts.database.read(find)]
        await self._empty_journal()
        return ended

    async def release(self, epoch: int) -> EpochRecord:
        """Release *epoch* and return what became of it; an epoch that ended changes no more, and draws nothing.

        Raises `EpochOpen`, `ReleaseRunning` while another process is at a release, and what kept a release from coming
        out: it is then void, and was paid for.
        """
        async with self._turn:
            ended = await self._release(epoch)
            await self._empty_journal()
            return ended

    async def _release(self, epoch: int) -> EpochRecord:
        ended = await self._parts.database.read(lambda c: PoolRepository(c).find_epoch(epoch, "pooled"))
        if ended is not None and ended.state != "open":
            return ended
        now_ms = self._parts.clock.now_ms()
        if now_ms < self._rules.calendar.closes_at_ms(epoch):
            raise EpochOpen(f"epoch {epoch} takes votes until {self._rules.calendar.closes_at_ms(epoch)} ms")
        if ended is None:
            raise PoolError(f"the pool was not running in epoch {epoch}: there is nothing to release")
        pool = await self._parts.pool.context()
        payers = await self._find_payers()
        if len(payers) < self._rules.terms.organisations_min:
            return await self._end(epoch, "empty", TOO_FEW)
        # Nothing is paid for that could not be counted or found afterwards.
        await asyncio.to_thread(self._parts.embed, [PROBE])
        await self._parts.database.read(lambda connection: self._open_key(connection, epoch))
        begun = await self._begin(pool, epoch, payers)
        if isinstance(begun, EpochRecord):
            return begun
        return await self._draw_and_persist(pool, epoch, begun)

    async def _empty_journal(self) -> None:
        """Have the votes that were destroyed leave the database's journal too; what cannot be now is at the next turn."""
        if self._is_journal_due:
            self._is_journal_due = not await self._parts.database.read(empty_journal)

    async def count_payers(self) -> int:
        """Return how many organisations opted in: those with a tenant whose policy shares as `pooled`."""
        return len(await self._find_payers())

    async def _find_payers(self) -> list[OrganisationId]:
        return await self._parts.database.read(find_sharing_organisations)

    async def _begin(
        self, pool: TenantContext, epoch: int, organisations: Sequence[OrganisationId]
    ) -> Begun | EpochRecord:
        terms = self._rules.terms
        order = Order("pooled", epoch, terms.unit, terms.vector_source)
        payers = [Payer(organisation, terms.charges()) for organisation in organisations]

        def write(connection: Connection) -> Begun | EpochRecord:
            ended = PoolRepository(connection).find_epoch(epoch, "pooled")
            if ended is not None and ended.state != "open":
                return ended
            begun = self._parts.writer.begin(connection, pool, order, payers)
            if len(begun.payers) < terms.organisations_min:
                raise _TooFewCanPay(f"{len(begun.payers)} organisations can pay")
            return begun

        try:
            return await self._parts.database.write(write)
        except _TooFewCanPay:
            return await self._end(epoch, "exhausted", EXHAUSTED)

    async def _draw_and_persist(self, pool: TenantContext, epoch: int, begun: Begun) -> EpochRecord:
        try:
            selected = await asyncio.to_thread(self._draw, epoch, begun)
            parts = self._parts
            released = await asyncio.to_thread(
                give_vectors, selected, parts.embed, self._make_id, embedder=parts.embedder
            )
            return await self._parts.database.write(partial(self._persist, pool, epoch, begun, released))
        except BaseException as error:
            # Cancelled or failed: what was drawn is forgotten here and now, and said to be void.
            reason = f"{type(error).__name__} kept it from coming out"
            await asyncio.shield(self._void(begun, reason))
            raise

    def _draw(self, epoch: int, begun: Begun) -> list[Selected]:
        """Count the votes of those who paid and draw; runs on a thread, once per release."""
        terms = self._rules.terms

        def read(connection: Connection) -> list[Selected]:
            key = self._open_key(connection, epoch)
            if key is None:
                return []  # nobody voted: there is no key to look at, and no noise to draw
            voters = [voter_tag(key, organisation) for organisation in begun.payers]
            votes, with_vectors = VoteRepository(connection).load(epoch), terms.vector_source == "dp_mean"
            counted = tally(votes, key, voters, keys_max=terms.keys_max, with_vectors=with_vectors)
            return draw_release(counted, terms, self._parts.noise, dimension=self._parts.dimension)

        return self._parts.database.read_now(read)

    def _open_key(self, connection: Connection, epoch: int) -> DataKey | None:
        """Return the key of the votes of *epoch*, None where nobody voted; raises `SealedError`, `UnsealError`."""
        wrapped = VoteKeyRepository(connection).get(epoch)
        return None if wrapped is None else open_vote_key(self._parts.provider, wrapped)

    def _persist(
        self, pool: TenantContext, epoch: int, begun: Begun, released: Sequence[Released], connection: Connection
    ) -> EpochRecord:
        finished = self._parts.writer.persist(connection, pool, begun.release, released)
        reason = None if released else NOTHING
        ended = EpochRecord(epoch, "pooled", "released", reason, finished.number, finished.at_ms)
        self._close(connection, ended)
        return ended

    async def _end(self, epoch: int, state: str, reason: str) -> EpochRecord:
        """End *epoch* without a release: nothing is charged, and its votes are destroyed."""
        now_ms = self._parts.clock.now_ms()

        def write(connection: Connection) -> EpochRecord:
            ended = PoolRepository(connection).find_epoch(epoch, "pooled")
            if ended is not None and ended.state != "open":
                return ended
            made = EpochRecord(epoch, "pooled", "empty" if state == "empty" else "exhausted", reason, None, now_ms)
            self._close(connection, made)
            return made

        return await self._parts.database.write(write)

    def _close(self, connection: Connection, ended: EpochRecord) -> None:
        """Write down how an epoch ended and destroy its votes, their key, and tags of periods that are over."""
        self._is_journal_due = True
        PoolRepository(connection).put_epoch(ended)
        votes = VoteRepository(connection)
        votes.delete(ended.epoch)
        VoteKeyRepository(connection).destroy(ended.epoch)
        # By the epoch that ended, not by the clock: one that ran ahead and was set back must let nobody vote twice.
        votes.forget_voted(before_period=self._rules.calendar.period_number(ended.epoch))

    async def _void(self, begun: Begun, reason: str) -> None:
        try:
            await self._parts.database.write(
                lambda connection: self._parts.writer.void(connection, begun.release, reason=reason)
            )
        except Error as error:
            # Whoever comes next finds it paid for and not out, and declares it void.
            log.warning("release_not_voided", release=begun.release.number, error=type(error).__name__)

    def _make_id(self) -> int:
        return new_item_id(self._parts.clock.now_ms(), self._parts.random)


def find_sharing_organisations(connection: Connection) -> list[OrganisationId]:
    """Return the organisations with at least one tenant in use whose policy shares as `pooled`, sorted."""
    found = {
        row.organisation_id
        for row in list_customers(connection)
        if row.status == "active" and _sharing(connection, row.id) == "pooled"
    }
    return sorted(found)


def _destroy_orphans(current: int, connection: Connection) -> int:
    """Destroy votes of past epochs that nobody wrote down as open, and return of how many epochs.

    A process took them and ended before it could.
    """
    pool, votes, keys = PoolRepository(connection), VoteRepository(connection), VoteKeyRepository(connection)
    held = {key.epoch for key in keys.list_all()} | set(votes.list_epochs())
    orphans = [epoch for epoch in held if epoch < current and pool.find_epoch(epoch, "pooled") is None]
    for epoch in orphans:
        votes.delete(epoch)
        keys.destroy(epoch)
    return len(orphans)


def _sharing(connection: Connection, tenant: TenantId) -> str:
    stored = PolicyRepository(connection, tenant).get_active()
    return "off" if stored is None else ReusePolicy.from_json(parse_json(stored.document.encode())).sharing


def _attempts(pool: PoolRepository, epoch: int) -> int:
    """Return how many releases of *epoch* were begun."""
    return sum(row.epoch == epoch for row in pool.list_releases(mode="pooled", state="void"))
