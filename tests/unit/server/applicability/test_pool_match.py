"""From a hit of the pool to its match: made of what was released, and accepted by both verifiers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crypto.applicability.match import PoolMatch, read_match, verify_match, verify_query
from crypto.commitment import hit_salt, query_vector_commitment
from crypto.errors import VerificationError
from crypto.hit import HitRecord, parse_hit_record
from crypto.reference.errors import NotInForm
from crypto.reference.ledger_documents import read_release
from crypto.reference.matches import check_match
from crypto.reference.matches import read_match as read_anew
from crypto.release import Release, item_paths
from crypto.similarity import inner_product
from server.applicability.pool_match import find_release, make_match
from server.pool.items import open_item, seal_json
from server.pool.revoking import revoke_share
from server.ports import Int8Matrix, JsonObject
from server.reuse.quantise import quantise
from server.store.entries import EntryRepository, Selection
from server.store.log_records import StoredReceipt
from server.store.pool_items import PoolItemRepository
from server.store.receipts import HitRepository, ReceiptRepository
from server.store.tables import pool_items
from tests import noised_houses
from tests.noised_houses import ALIAS, ALIASES, NoisedHouse
from tests.pool_houses import QUESTION, KnownNoise, PoolHouse, pool_house

ALL = range(12)
OTHER_QUESTION = "What is the best way to learn a new language?"
#: The second alias of what a house of noised entries publishes, said a little differently.
EVENING = "When does the office close in the late afternoon?"


def run(folder: Path, scenario: Callable[[PoolHouse], Awaitable[None]], **options: Any) -> None:
    async def work() -> None:
        async with pool_house(folder, **options) as house:
            await scenario(house)

    asyncio.run(work())


class Given:
    """One hit of the pool as a tenant was given it, and what its match is made of."""

    def __init__(self, house: PoolHouse, record: HitRecord, receipt: StoredReceipt, text: str) -> None:
        self.house = house
        self.record = record
        self.receipt = receipt
        self.text = text
        self.query: Int8Matrix = quantise(house.gateway.embedder.embed([text]))[0]

    async def match(self, query: Int8Matrix | None) -> PoolMatch | None:
        pool = await self.house.parts.pool.context()
        return self.house.database.read_now(lambda c: make_match(c, pool, self.record, self.receipt, query))

    @property
    def release(self) -> Release:
        found = self.house.database.read_now(lambda c: find_release(c, self.receipt))
        assert found is not None
        return found


def both_accept(value: Any, release: Release, query: Sequence[int], tau: int) -> bool:
    """Say what both verifiers say, which must be the same."""
    try:
        found = read_match(value)
        verify_match(found, release)
        verify_query(found, query, tau)
        first = True
    except VerificationError:
        first = False
    try:
        check_match(read_anew(value), read_release(release.to_json()), query, tau)
        second = True
    except NotInForm:
        second = False
    assert first == second
    return first


async def hit(house: PoolHouse, text: str, tenant: int) -> Given:
    """Have *tenant* ask *text* and be answered from the pool."""
    account: JsonObject = (await house.gateway.ask(text, tenant=tenant))["hitproof"]
    assert (account["outcome"], account["tier"]) == ("hit", "pool"), account
    await house.gateway.settle()
    pool = house.parts.pool.id
    stored = house.database.read_now(lambda c: HitRepository(c, house.gateway.tenants[tenant].id).get(account["hit"]))
    receipt = house.database.read_now(lambda c: ReceiptRepository(c, pool).get(account["receipt"]["id"]))
    assert stored is not None and receipt is not None
    return Given(house, parse_hit_record(stored.record), receipt, text)


async def assert_stands(given: Given, alias: str) -> PoolMatch:
    """Make the match of *given*, and hold it to everything that a verifier asks of it."""
    match = await given.match(given.query)
    assert match is not None and match.alias == alias
    query, tau = given.query.tolist(), given.record.tau
    assert tau is not None
    value, score = match.to_json(), inner_product(query, match.vector)
    assert both_accept(value, given.release, query, tau)
    assert both_accept(value, given.release, query, score)
    assert not both_accept(value, given.release, query, score + 1)
    tenant = await given.house.gateway.gateway.state.tenants.get(owner(given))
    salt = hit_salt(tenant.hit_salt_key, given.record.hit, "query_vector")
    assert given.record.query_vector == query_vector_commitment(salt, given.query.tobytes())
    return match


def owner(given: Given) -> Any:
    """Return the tenant that was given the hit."""
    found = (
        tenant.id
        for tenant in given.house.gateway.tenants
        if given.house.database.read_now(lambda c, one=tenant.id: HitRepository(c, one).get(given.record.hit))
    )
    return next(found)


async def publish(house: PoolHouse, *questions: str) -> None:
    """Have so many ask that *questions* come out, and are answered."""
    for question in questions:
        await house.ask(question, ALL[:11])
    await house.release_last()
    await house.until_live()


def items_of(house: PoolHouse) -> list[Any]:
    return house.database.read_now(lambda c: PoolItemRepository(c).list_of_release(1))


# What is made


@pytest.mark.parametrize("questions", [(QUESTION,), (QUESTION, OTHER_QUESTION)])
def test_a_pooled_hit_matched_the_released_text(tmp_path: Path, questions: tuple[str, ...]) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house, *questions)
        given = await hit(house, QUESTION, 11)
        match = await assert_stands(given, "how do i reset the password of my account")
        assert len(match.path) == len(questions) - 1

    run(tmp_path, scenario)


def test_what_was_found_by_a_noised_mean_matched_its_text_all_the_same(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        house.noise.value = 9  # a count of 20 and above is released with a mean
        await publish(house, QUESTION)
        given = await hit(house, QUESTION, 11)
        match = await assert_stands(given, "how do i reset the password of my account")
        assert given.release.vector_source == "dp_mean"
        (item,) = items_of(house)
        released = open_item(await house.parts.pool.context(), item)
        assert released.vector != np.array(match.vector, np.int8).tobytes()

    run(tmp_path, scenario, pool_vector_source="dp_mean", noise=KnownNoise())


@pytest.mark.parametrize(("asked", "alias"), [(ALIAS, ALIASES[0]), (EVENING, ALIASES[1])])
def test_of_several_aliases_that_matched_which_is_nearest_to_the_query(tmp_path: Path, asked: str, alias: str) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        await house.publish_and_store()
        given = await hit(house.house, asked, 1)
        await assert_stands(given, alias)

    noised_houses.run(tmp_path, scenario, policy={"threshold_ten_thousandths": 8_000})


def test_a_match_is_the_same_whenever_it_is_made(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house, QUESTION, OTHER_QUESTION)
        given = await hit(house, QUESTION, 11)
        before = await given.match(given.query)
        await house.next_epoch()
        await house.ask(OTHER_QUESTION, [11])
        assert await given.match(given.query) == before

    run(tmp_path, scenario)


# Where there is none


def test_a_forgotten_query_leaves_a_match_only_where_a_single_alias_can_have_decided(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label(aliases=[ALIAS])
        await house.publish_and_store()
        given = await hit(house.house, ALIAS, 1)
        match = await given.match(None)
        assert match is not None and match == await given.match(given.query)

    noised_houses.run(tmp_path, scenario)


def test_a_forgotten_query_leaves_no_match_among_several_aliases(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        await house.publish_and_store()
        assert await (await hit(house.house, ALIAS, 1)).match(None) is None

    noised_houses.run(tmp_path, scenario)


def test_what_was_withdrawn_is_shown_no_more_and_its_siblings_are(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        first = await house.label()
        second = await house.label(f"{noised_houses.QUESTION} And pallet two?", aliases=[OTHER_QUESTION])
        await house.publish_and_store()
        kept, gone = await hit(house.house, OTHER_QUESTION, 1), await hit(house.house, ALIAS, 1)
        assert await gone.match(gone.query) is not None
        tenant, now_ms = house.gateway.tenants[0].id, house.gateway.clock.now_ms()
        house.write(lambda c: revoke_share(c, tenant, first, actor="test", now_ms=now_ms))
        assert await gone.match(gone.query) is None
        match = await assert_stands(kept, OTHER_QUESTION)
        assert len(match.path) == 1
        assert house.item(second).sealed is not None and house.item(first).sealed is None

    noised_houses.run(tmp_path, scenario)


def test_an_entry_that_the_pool_forgot_has_no_match(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house, QUESTION)
        given = await hit(house, QUESTION, 11)
        pool, at_ms = house.parts.pool.id, house.gateway.clock.now_ms()
        house.database.write_now(
            lambda c: EntryRepository(c, pool).delete(Selection(entry=given.receipt.entry_id), at_ms=at_ms)
        )
        assert await given.match(given.query) is None

    run(tmp_path, scenario)


def test_no_match_is_made_for_a_query_that_did_not_come_close(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house, QUESTION)
        given = await hit(house, QUESTION, 11)
        (other,) = quantise(house.gateway.embedder.embed([OTHER_QUESTION]))
        assert await given.match(other) is None
        assert await given.match(given.query[:-1]) is None
        raised = Given(house, replace(given.record, tau=260_100), given.receipt, given.text)
        assert await raised.match(given.query) is None

    run(tmp_path, scenario)


def test_a_receipt_that_names_no_release_has_no_match(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house, QUESTION)
        given = await hit(house, QUESTION, 11)
        own: JsonObject = (await house.gateway.ask(OTHER_QUESTION, tenant=11))["hitproof"]
        tenant = house.gateway.tenants[11].id
        receipt = house.database.read_now(lambda c: ReceiptRepository(c, tenant).get(own["receipt"]["id"]))
        assert receipt is not None
        assert house.database.read_now(lambda c: find_release(c, receipt)) is None
        garbled = replace(given.receipt, body=b"{}")
        assert house.database.read_now(lambda c: find_release(c, garbled)) is None
        for other in (receipt, garbled, replace(given.receipt, body=None), replace(given.receipt, entry_id=None)):
            assert await Given(house, given.record, other, given.text).match(given.query) is None

    run(tmp_path, scenario)


# Items from before places were kept


def forget_place(house: PoolHouse, pool: Any, item: Any) -> None:
    """Seal *item* as it was sealed before its place was kept with it."""
    released = open_item(pool, item)
    plain = {"embedder": released.embedder, "texts": released.texts, "vector": released.vector.hex()}
    sealed = seal_json(pool.data_key, pool.id, item.id, "item", plain, random=house.gateway.gateway.state.random)
    house.database.write_now(
        lambda c: c.execute(pool_items.update().where(pool_items.c.id == item.id).values(sealed=sealed))
    )


def test_an_older_item_finds_its_place_as_long_as_its_release_is_whole(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house, QUESTION, OTHER_QUESTION)
        given = await hit(house, QUESTION, 11)
        before, pool = await given.match(given.query), await house.parts.pool.context()
        for item in items_of(house):
            forget_place(house, pool, item)
        assert await given.match(given.query) == before
        matched = house.database.read_now(lambda c: PoolItemRepository(c).find_answer_of(given.receipt.entry_id))  # type: ignore[arg-type]
        (sibling,) = [item.id for item in items_of(house) if matched is None or item.id != matched.item_id]
        house.database.write_now(lambda c: PoolItemRepository(c).withdraw([sibling], reason="gone", at_ms=1))
        assert await given.match(given.query) is None

    run(tmp_path, scenario)


# What it discloses


def test_a_match_holds_nothing_but_what_the_pool_published(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        await house.label(f"{noised_houses.QUESTION} And pallet two?", aliases=[OTHER_QUESTION])
        await house.publish_and_store()
        given = await hit(house.house, ALIAS, 1)
        match, pool = await given.match(given.query), await house.parts.pool.context()
        assert match is not None
        published = [open_item(pool, row) for row in items_of(house.house)]
        assert set(match.to_json()) == {"alias", "item", "path", "position", "vector"}
        assert match.alias in {text for item in published for text in item.texts}
        assert match.item in {item.item for item in published}
        # The vector is a function of the public alias; no noise was drawn here, so another's would be a hidden question's.
        assert match.vector == tuple(quantise(house.gateway.embedder.embed([match.alias]))[0].tolist())
        places = item_paths([item.item for item in published])
        assert (match.position, match.path) in places

    noised_houses.run(tmp_path, scenario)


def test_two_readers_of_one_entry_are_shown_the_same_match(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        await house.publish_and_store()
        one, other = await hit(house.house, ALIAS, 1), await hit(house.house, f"{ALIAS}?", 2)
        assert await one.match(one.query) == await other.match(other.query)

    noised_houses.run(tmp_path, scenario, tenants=3)
