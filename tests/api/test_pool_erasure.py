"""What of an erased tenant leaves the pool, and what of its organisation stays in the ledger."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from server.erasing import erase_tenant
from server.store.entries import EntryRepository
from server.store.errors import NotFound
from server.store.ledger import LedgerRepository
from server.store.platform import PlatformRepository
from server.store.pool_items import PoolItemRepository
from server.store.pool_records import Share
from server.store.shares import ShareRepository
from server.store.suppressions import SuppressionRepository
from tenants.identifiers import EntryId
from tests.pool_houses import QUESTION, PoolHouse, pool_house

ALL = range(12)


async def publish(house: PoolHouse) -> tuple[int, EntryId]:
    """Have the pool answer a question; return the item and the pool's entry."""
    await house.ask(QUESTION, ALL[:11])
    await house.release_last()
    await house.until_live()
    (item,) = house.database.read_now(lambda c: PoolItemRepository(c).list_in("live"))
    (answer,) = house.database.read_now(lambda c: PoolItemRepository(c).list_answers(item.id))
    assert answer.entry_id is not None
    return item.id, answer.entry_id


def test_what_an_erased_tenant_shared_leaves_the_pool_and_its_organisations_spendings_stay(tmp_path: Path) -> None:
    async def play() -> None:
        async with pool_house(tmp_path) as house:
            item, entry = await publish(house)
            tenant = house.gateway.tenants[0].id
            share = Share(EntryId(1), "published", None, 8_000, None, item, house.gateway.clock.now_ms())

            def consent(connection: Any) -> None:
                ShareRepository(connection, tenant).put(share)
                SuppressionRepository(connection, tenant).add(entry)

            house.database.write_now(consent)
            organisation = house.database.read_now(lambda c: PlatformRepository(c).get_tenant(tenant).organisation_id)
            assert (await house.gateway.ask(QUESTION, tenant=11))["hitproof"]["tier"] == "pool"
            house.gateway.erase()
            await house.gateway.gateway.follower.catch_up()

            def look(connection: Any) -> tuple[Any, ...]:
                return (
                    PoolItemRepository(connection).get(item).state,
                    EntryRepository(connection, house.parts.pool.id).get(entry),
                    ShareRepository(connection, tenant).count_by_state(),
                    SuppressionRepository(connection, tenant).list_all(),
                    len(LedgerRepository(connection).list_spendings(organisation)),
                )

            assert house.database.read_now(look) == ("withdrawn", None, {}, frozenset(), 1)
            # The twelfth's own entry is not there: the pool answered it, and does so no more.
            assert (await house.gateway.ask(QUESTION, tenant=11))["hitproof"]["outcome"] == "miss"

    asyncio.run(play())


def test_the_pool_itself_cannot_be_erased(tmp_path: Path) -> None:
    async def play() -> None:
        async with pool_house(tmp_path) as house:
            _, entry = await publish(house)
            state, pool = house.gateway.gateway.state, house.parts.pool.id
            with pytest.raises(NotFound, match="no customer"):
                house.database.write_now(
                    lambda c: erase_tenant(
                        c, pool, erasures=state.erasures, provider=state.key_provider, actor="test",
                        now_ms=house.gateway.clock.now_ms(), random=state.random,
                    )
                )  # fmt: skip
            assert house.database.read_now(lambda c: EntryRepository(c, pool).get(entry)) is not None

    asyncio.run(play())
