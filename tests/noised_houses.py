"""A house whose tenants publish by consent: what they label, what becomes of it, and what stands where afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from server.identifiers import parse_entry_id
from server.ports import JsonObject
from server.store.ledger import LedgerRepository
from server.store.platform import PlatformRepository
from server.store.pool_items import PoolItemRepository
from server.store.pool_records import Share, StoredItem, StoredSpending
from server.store.shares import ShareRepository
from tenants.identifiers import EntryId, OrganisationId
from tests.pool_houses import EPOCH_S, PoolHouse, pool_house

#: A question that nothing else in a house resembles.
QUESTION = "Which zebra pallet did Oswin park behind the turquoise silo?"
ANSWER = "The office opens at nine in the morning and closes at five in the afternoon."
ALIAS = "What time does the office open in the morning?"
ALIASES = (ALIAS, "When does the office close in the afternoon?")
#: After so long a label is out of quarantine.
QUARANTINE_S = EPOCH_S // 4


class NoisedHouse:
    """A running gateway whose tenants share as `noised`."""

    def __init__(self, house: PoolHouse) -> None:
        self.house = house
        self.gateway = house.gateway
        self.runner = house.runner
        self.parts = house.parts
        self.noise = house.noise
        self.database = house.database

    async def label(
        self, text: str = QUESTION, *, tenant: int = 0, aliases: Sequence[str] = ALIASES, **share: Any
    ) -> EntryId:
        """Have *tenant* ask *text* and label the answer; return the entry."""
        wish = {"share": {"aliases": list(aliases), **share}}
        return entry_of(await self.gateway.ask(text, tenant=tenant, hitproof=wish))

    async def label_many(self, count: int, *, tenant: int = 0, **share: Any) -> list[EntryId]:
        """Have *tenant* label so many entries, a second apart; the longest waiting first."""
        found = []
        for number in range(count):
            self.gateway.clock.advance(1)
            found.append(await self.label(f"{QUESTION} Pallet {number}?", tenant=tenant, **share))
        return found

    async def publish(self) -> int:
        """Let the quarantine pass and publish what is due, without storing it yet; return how many were released."""
        self.gateway.clock.advance(QUARANTINE_S)
        return await self.parts.publisher.publish_due()

    async def store(self) -> int:
        """Make entries of what was published; return how many."""
        stored = await self.parts.restater.store_published(64)
        await self.gateway.gateway.follower.catch_up()
        return stored

    async def publish_and_store(self) -> int:
        """Do both."""
        await self.publish()
        return await self.store()

    async def ask(self, text: str = ALIAS, *, tenant: int = 1) -> JsonObject:
        """Ask as somebody else."""
        return await self.gateway.ask(text, tenant=tenant)

    async def is_in_pool(self) -> bool:
        """Say whether somebody else who asks by the alias is answered from the pool; leaves nothing behind."""
        account = (await self.gateway.ask(ALIAS, tenant=1, headers={"cache-control": "no-store"}))["hitproof"]
        return (account["outcome"], account["tier"]) == ("hit", "pool")

    def share(self, entry: EntryId, *, tenant: int = 0) -> Share:
        return self.read(lambda c: ShareRepository(c, self.gateway.tenants[tenant].id).get(entry))

    def find_share(self, entry: EntryId, *, tenant: int = 0) -> Share | None:
        return self.read(lambda c: ShareRepository(c, self.gateway.tenants[tenant].id).find(entry))

    def state(self, entry: EntryId, *, tenant: int = 0) -> tuple[str, str | None]:
        """Return state and reason of a label."""
        found = self.share(entry, tenant=tenant)
        return found.state, found.reason

    def item(self, entry: EntryId, *, tenant: int = 0) -> StoredItem:
        """Return what an entry became in the pool."""
        number = self.share(entry, tenant=tenant).item_id
        assert number is not None
        return self.read(lambda c: PoolItemRepository(c).get(number))

    def organisation(self, tenant: int = 0) -> OrganisationId:
        return self.read(lambda c: PlatformRepository(c).get_tenant(self.gateway.tenants[tenant].id).organisation_id)

    def spendings(self, tenant: int = 0) -> list[StoredSpending]:
        """Return what the organisation of *tenant* paid."""
        organisation = self.organisation(tenant)
        return self.read(lambda c: LedgerRepository(c).list_spendings(organisation))

    def read(self, work: Callable[[Connection], Any]) -> Any:
        return self.database.read_now(work)

    def write(self, work: Callable[[Connection], Any]) -> Any:
        return self.database.write_now(work)


Scenario = Callable[[NoisedHouse], Awaitable[None]]


def run(
    folder: Path, scenario: Scenario, *, tenants: int = 2, policy: dict[str, Any] | None = None, **options: Any
) -> None:
    """Play *scenario* in a house of *tenants* organisations whose policies share as `noised`."""

    async def play() -> None:
        async with pool_house(
            folder, tenants=tenants, policy={"sharing": "noised"} | (policy or {}), **options
        ) as house:
            house.runner.answer = lambda _request: ANSWER
            await scenario(NoisedHouse(house))

    asyncio.run(play())


def entry_of(body: JsonObject) -> EntryId:
    """Return the entry that an answer names."""
    found = parse_entry_id(body["hitproof"]["entry"])
    assert found is not None
    return found
