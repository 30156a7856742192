"""Votes: behind the answer, a poolable question of a tenant that shares takes one of its organisation's places.

    poolable → not seen in this period → gate → nearest anchor, else its own spelling → sealed into the next place

Everything here happens from a bounded queue and after the answer. Whatever fails costs a vote and nothing else, and
nothing is logged or counted by what a question says.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import Connection

from privacy.gate import refuse
from privacy.text import normalise
from server.pool.anchors import Anchors
from server.pool.calendar import Calendar
from server.pool.eligibility import Eligibility
from server.pool.principal import Pool, voted_key
from server.pool.tags import Vote, open_vote_key, seal_vote, voted_tag, voter_tag
from server.ports import Clock, Float32Matrix, Int8Matrix, RandomSource
from server.reuse.quantise import quantise
from server.reuse.sight import Asked
from server.store.database import Database
from server.store.vote_keys import VOTES, VoteKeyRepository
from server.store.votes import VoteRepository
from server.telemetry import Telemetry
from tenants.data_keys import WrappedDataKey, new_wrapped_key
from tenants.identifiers import OrganisationId
from tenants.key_providers import KeyProvider
from tenants.sealing import DataKey

log = structlog.get_logger()

#: Tags remembered in this process, so that a question asked all day is not looked up all day.
REMEMBERED_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class _Offer:
    organisation: OrganisationId
    text: str
    profile: str


@dataclass(frozen=True, slots=True)
class VoteRules:
    """How votes are counted: *keys_max* places per organisation and epoch; *with_vectors* where means are made of them."""

    calendar: Calendar
    keys_max: int
    with_vectors: bool


class VoteBox:
    """Takes the votes that one gateway hears of; *embed* maps texts to unit rows, on a thread."""

    def __init__(
        self,
        database: Database,
        pool: Pool,
        anchors: Anchors,
        provider: KeyProvider,
        embed: Callable[[Sequence[str]], Float32Matrix],
        telemetry: Telemetry,
        clock: Clock,
        random: RandomSource,
        *,
        eligibility: Eligibility,
        rules: VoteRules,
        queue_max: int,
    ) -> None:
        self._database = database
        self._pool = pool
        self._anchors = anchors
        self._provider = provider
        self._embed = embed
        self._telemetry = telemetry
        self._clock = clock
        self._random = random
        self._rules = rules
        self._queue: asyncio.Queue[_Offer] = asyncio.Queue(queue_max)
        self._eligibility = eligibility
        self._remembered: OrderedDict[bytes, None] = OrderedDict()
        self._keys: dict[int, DataKey] = {}
        #: Votes wait until the anchors are there: with fewer, equal questions would be counted apart.
        self.is_ready = asyncio.Event()

    @property
    def eligibility(self) -> Eligibility:
        """The models and profiles of the pool, as they are known now."""
        return self._eligibility

    def set_eligibility(self, eligibility: Eligibility) -> None:
        """Go by these models and profiles from now on."""
        self._eligibility = eligibility

    def is_poolable(self, asked: Asked) -> bool:
        """Say whether a request is of a public profile that its tenant's policy names, and of a model that is pooled."""
        return self._eligibility.profile_of(asked.request, asked.tenant.policy) is not None

    def offer(self, asked: Asked) -> None:
        """Queue the vote of a request, if it has one.

        Call it only for tenants that share as `pooled`. Never raises and never waits.
        """
        request = asked.request
        if request.steering.no_store:
            return
        profile = self._eligibility.profile_of(request, asked.tenant.policy)
        if profile is None:
            return
        offer = _Offer(asked.tenant.record.organisation_id, request.query or "", profile.name)
        try:
            self._queue.put_nowait(offer)
        except asyncio.QueueFull:
            self._telemetry.votes_dropped.inc()

    async def run(self) -> None:
        """Take votes until cancelled."""
        await self.is_ready.wait()
        while True:
            offer = await self._queue.get()
            try:
                await self._take(offer)
            except Exception as error:  # noqa: BLE001  # an edge: whatever fails here costs one vote
                # Not the error's own text: it can quote the question.
                self._telemetry.degraded.labels("pool_votes").inc()
                log.warning("vote_not_taken", error=type(error).__name__)
            finally:
                self._queue.task_done()

    def forget_ended(self) -> None:
        """Forget the vote keys of epochs that are over: what is destroyed in the store must not live on here."""
        current = self._rules.calendar.epoch_of(self._clock.now_ms())
        self._keys = {epoch: key for epoch, key in self._keys.items() if epoch >= current}

    async def settle(self) -> None:
        """Wait until everything queued so far is taken."""
        await self._queue.join()

    async def _take(self, offer: _Offer) -> None:
        epoch = self._rules.calendar.epoch_of(self._clock.now_ms())
        period = self._rules.calendar.period_number(epoch)
        pool = await self._pool.context()
        spelling = normalise(offer.text)
        tag = voted_tag(voted_key(pool), period, offer.organisation, spelling)
        if tag in self._remembered or await asyncio.to_thread(refuse, offer.text) is not None:
            return
        key = await self._key(epoch)
        if key is None:
            return
        voter, keys_max = voter_tag(key, offer.organisation), self._rules.keys_max
        if await self._database.read(
            lambda c: VoteRepository(c).find_place(epoch, period, voter=voter, tag=tag, keys_max=keys_max) is None
        ):
            return  # so that most questions, which find no place, are not embedded once more
        vector = await self._vector(spelling)
        neighbour = None if vector is None else await asyncio.to_thread(self._anchors.nearest, vector)
        text = spelling if neighbour is None else neighbour.text
        kept = vector.tobytes() if self._rules.with_vectors and vector is not None else None
        sealed = seal_vote(key, voter, Vote(text, offer.profile, kept), random=self._random)

        def write(connection: Connection) -> int | None:
            return VoteRepository(connection).take_place(
                epoch, period, voter=voter, tag=tag, sealed=sealed, keys_max=keys_max
            )

        if await self._database.write(write) is not None:
            self._remember(tag)

    async def _vector(self, spelling: str) -> Int8Matrix | None:
        """Return the vector of a question's *spelling* where anything goes by it.

        Embedded by itself: in a batch with others its last bits depend on theirs, and a key must be a function of one
        question alone. So the vector that the private tier compared with is of no use here.
        """
        if not len(self._anchors) and not self._rules.with_vectors:
            return None
        row: Int8Matrix = quantise(await asyncio.to_thread(self._embed, [spelling]))[0]
        return row

    async def _key(self, epoch: int) -> DataKey | None:
        """Return the vote key of *epoch*, made at its first vote; None where the epoch takes no votes any more."""
        kept = self._keys.get(epoch)
        if kept is not None:
            return kept
        now_ms = self._clock.now_ms()

        def ensure(connection: Connection) -> WrappedDataKey | None:
            keys = VoteKeyRepository(connection)
            found = keys.get(epoch)
            if found is None and not VoteRepository(connection).is_closed(epoch):
                found = new_wrapped_key(self._provider, VOTES, epoch, self._random)
                keys.add(found, at_ms=now_ms)
            return found

        wrapped = await self._database.write(ensure)
        if wrapped is None:
            return None
        # Only the running epoch's, see `forget_ended`.
        self._keys = {epoch: open_vote_key(self._provider, wrapped)}
        return self._keys[epoch]

    def _remember(self, tag: bytes) -> None:
        self._remembered[tag] = None
        while len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
