"""The pool's work beside requests, a piece at a time: epochs that are over, answers that are due, anchors that are new."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy import Connection

from crypto.errors import Error
from server.pool.anchors import Anchors, read_anchor_file
from server.pool.answering import PoolAnswerer
from server.pool.calendar import Calendar, fix_calendar
from server.pool.eligibility import Eligibility, Profile, read_profiles
from server.pool.errors import ReleaseRunning
from server.pool.items import open_item
from server.pool.principal import Pool
from server.pool.publishing import Publisher
from server.pool.release import PoolReleaser
from server.pool.restating import Restater
from server.pool.votes import VoteBox
from server.reuse.tenant_directory import TenantContext
from server.store.database import Database
from server.store.pool import PoolRepository
from server.store.pool_items import PoolItemRepository
from server.store.pool_records import StoredItem

log = structlog.get_logger()

#: Releases whose texts become anchors in one go.
RELEASES_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """What the service drives."""

    database: Database
    pool: Pool
    calendar: Calendar
    anchors: Anchors
    votes: VoteBox
    releaser: PoolReleaser
    answerer: PoolAnswerer
    publisher: Publisher
    restater: Restater


class PoolService:
    """Does the pool's work every *interval_s* seconds; *anchor_file* is the operator's public list, if there is one."""

    def __init__(
        self,
        parts: ServiceParts,
        *,
        models: tuple[str, ...],
        anchor_file: Path | None,
        interval_s: float,
        answer_batch_max: int,
    ) -> None:
        self._parts = parts
        self._models = frozenset(models)
        self._anchor_file = anchor_file
        self._interval_s = interval_s
        self._answer_batch_max = answer_batch_max
        self._is_list_read = False
        self._anchored_release = 0
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Work until cancelled; what fails is tried again at the next turn."""
        while True:
            await self.work()
            await asyncio.sleep(self._interval_s)

    async def work(self) -> None:
        """Do what is due now, once; each part by itself, so that one that fails keeps no other from its turn."""
        async with self._turn:
            await self._work()

    async def _work(self) -> None:
        if not await self._attempt("calendar", self._fix_calendar):
            return  # another calendar than the one that was fixed: nothing may be counted by it
        await self._attempt("profiles", self.refresh_profiles)
        await self._attempt("anchors", self._add_anchors)
        self._parts.votes.forget_ended()
        await self._attempt("epoch", self._parts.releaser.open_epoch)
        await self._attempt("release", self._parts.releaser.release_due)
        await self._attempt("answers", lambda: self._parts.answerer.answer_selected(self._answer_batch_max))
        await self._attempt("quarantine", lambda: self._parts.answerer.redo_held(self._answer_batch_max))
        await self._attempt("withdrawal", self._parts.publisher.withdraw_orphans)
        await self._attempt("publishing", self._parts.publisher.publish_due)
        await self._attempt("restating", lambda: self._parts.restater.store_published(self._answer_batch_max))

    async def publish_now(self) -> dict[str, int]:
        """Do the part of a turn that has to do with labelled entries; return how many left, came out and were stored.

        Raises what stands in the way, where a turn would write it down and go on.
        """
        async with self._turn:
            await self._fix_calendar()
            await self.refresh_profiles()
            withdrawn = await self._parts.publisher.withdraw_orphans()
            published = await self._parts.publisher.publish_due()
            stored = await self._parts.restater.store_published(self._answer_batch_max)
        return {"withdrawn": withdrawn, "published": published, "stored": stored}

    async def refresh_profiles(self) -> None:
        """Read the profiles anew."""
        profiles: dict[str, Profile] = read_profiles(
            await self._parts.database.read(lambda c: PoolRepository(c).list_profiles())
        )
        self._parts.answerer.set_profiles(profiles)
        self._parts.votes.set_eligibility(Eligibility(self._models, profiles))

    async def _fix_calendar(self) -> None:
        await self._parts.database.write(lambda connection: fix_calendar(connection, self._parts.calendar))

    async def _add_anchors(self) -> None:
        """Add the public list at the first turn, and the texts of every release since the last one."""
        if not self._is_list_read and self._anchor_file is not None:
            await self._parts.anchors.add(await asyncio.to_thread(read_anchor_file, self._anchor_file))
        self._is_list_read = True
        pool = await self._parts.pool.context()
        while True:
            items, last = await self._parts.database.read(self._load_released)
            if last == self._anchored_release:
                break
            texts = await asyncio.to_thread(_texts_of, pool, items)
            await self._parts.anchors.add(texts)
            self._anchored_release = last
        self._parts.votes.is_ready.set()

    def _load_released(self, connection: Connection) -> tuple[list[StoredItem], int]:
        """Return what the next releases behind the last one seen brought, and the number of the last of them."""
        after = self._anchored_release
        logged = PoolRepository(connection).load_logged(after_number=after, limit=RELEASES_AT_ONCE)
        items = PoolItemRepository(connection)
        found = [item for release in logged for item in items.list_of_release(release.number) if item.mode == "pooled"]
        return found, max((release.number for release in logged), default=after)

    async def _attempt(self, part: str, work: Callable[[], Awaitable[object]]) -> bool:
        try:
            await work()
        except ReleaseRunning as error:
            log.info("pool_release_elsewhere", detail=str(error))
        except Error as error:
            log.warning("pool_work_failed", part=part, error=type(error).__name__, detail=str(error)[:200])
            return False
        except Exception as error:  # an edge: a model or a library raises what it likes, and the next turn tries again
            log.error("pool_work_failed", part=part, error=type(error).__name__, exc_info=error)
            return False
        return True


def _texts_of(pool: TenantContext, items: list[StoredItem]) -> list[str]:
    return [open_item(pool, item).texts[0] for item in items if item.sealed is not None]
