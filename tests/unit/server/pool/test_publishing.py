"""Publishing by consent: who pays, how often noise is drawn, and what happens where it stops half way."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from crypto.charges import GaussianEmbedding
from crypto.spending import parse_spending
from privacy.calibration import multiplier_squared_micro_for
from server.pool import publishing
from server.pool.errors import PoolError, ReleaseRunning
from server.pool.pricing import CHARGES_MAX
from server.pool.publishing import Publisher
from server.pool.revoking import revoke_share
from server.pool.writer import HOLDER_LASTS_MS, Order, Payer, ReleaseWriter
from server.reuse.policy import ReusePolicy
from server.setup import create_key, create_tenant, set_policy, set_status
from server.store.pool import PoolRepository
from server.store.pool_items import PoolItemRepository
from server.store.shares import ShareRepository
from tenants.identifiers import EntryId
from tests.fakes import PEPPER, Tenant
from tests.noised_houses import ALIAS, ANSWER, QUARANTINE_S, QUESTION, NoisedHouse, run
from tests.pool_houses import GENEROUS

#: ρ of one entry at ε = 8 and δ = 1e-6, rounded as a charge states it.
MULTIPLIER = multiplier_squared_micro_for(8_000_000, 10**12)
ONE_ENTRY = GaussianEmbedding(1, MULTIPLIER).compute_cost()


def budget_for(entries: int) -> dict[str, Any]:
    """Return settings whose budget holds so many entries at ε = 8 and nothing else."""
    cost = GaussianEmbedding(entries, MULTIPLIER).compute_cost()
    return {"pool_budget_rho_nano": cost.rho_nano}


def test_what_a_tenant_labelled_answers_somebody_else_under_an_attested_receipt(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        assert await house.publish_and_store() == 1
        assert house.state(entry) == ("published", None)
        body = await house.ask()
        assert (body["hitproof"]["outcome"], body["hitproof"]["tier"]) == ("hit", "pool")
        assert body["choices"][0]["message"]["content"] == ANSWER
        assert body["hitproof"]["receipt"]["grade"] == "attested"

    run(tmp_path, scenario)


def test_a_label_waits_for_its_quarantine(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        house.gateway.clock.advance(QUARANTINE_S - 1)
        assert await house.parts.publisher.publish_due() == 0
        assert house.state(entry) == ("labelled", None)
        house.gateway.clock.advance(1)
        assert await house.parts.publisher.publish_due() == 1

    run(tmp_path, scenario)


def test_noise_is_drawn_once_per_entry_and_never_again(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label_many(3)
        assert await house.publish() == 3
        assert house.noise.calls == [384, 384, 384]
        house.runner.restating_fault = OSError("not now")
        for _ in range(3):
            assert await house.publish() == await house.store() == 0
        house.runner.restating_fault = None
        assert await house.store() == 3
        await house.publish()
        assert house.noise.calls == [384, 384, 384]

    run(tmp_path, scenario)


def test_noise_is_of_the_size_that_the_charge_states(tmp_path: Path) -> None:
    asked: list[Fraction] = []

    async def scenario(house: NoisedHouse) -> None:
        draw = house.noise.gaussian

        def gaussian(count: int, sigma_squared: Fraction) -> list[int]:
            asked.append(sigma_squared)
            return draw(count, sigma_squared)

        house.noise.gaussian = gaussian  # type: ignore[method-assign]
        await house.label(epsilon="2")
        await house.publish()
        (spending,) = house.spendings()
        (charge,) = parse_spending(spending.document.encode()).charges
        assert isinstance(charge, GaussianEmbedding)
        assert charge == GaussianEmbedding(1, multiplier_squared_micro_for(2_000_000, 10**12))
        assert asked == [Fraction(1020 * 1020 * charge.multiplier_squared_micro, 1_000_000)]

    run(tmp_path, scenario)


def test_an_organisation_pays_once_for_all_its_entries_of_a_batch(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label_many(3)
        await house.label(f"{QUESTION} Pallet 8?", epsilon="1.5")
        await house.label(tenant=1)
        await house.publish()
        (own,), (other,) = house.spendings(0), house.spendings(1)
        assert own.release == other.release == 1
        charges = parse_spending(own.document.encode()).charges
        assert sorted(charge.to_json()["count"] for charge in charges) == [1, 3]
        assert parse_spending(own.document.encode()).unit == "entry"
        assert parse_spending(other.document.encode()).charges == (GaussianEmbedding(1, MULTIPLIER),)

    run(tmp_path, scenario)


def test_a_budget_that_holds_a_part_publishes_the_longest_waiting_and_refuses_the_others(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entries = await house.label_many(4)
        assert await house.publish() == 2
        assert [house.state(entry) for entry in entries] == [
            ("published", None), ("published", None), ("refused", "budget_exhausted"), ("refused", "budget_exhausted"),
        ]  # fmt: skip
        assert len(house.noise.calls) == 2

    run(tmp_path, scenario, **budget_for(2))


def test_a_budget_that_holds_nothing_pays_nothing_and_begins_no_release(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        assert await house.publish() == 0
        assert house.state(entry) == ("refused", "budget_exhausted")
        assert house.spendings() == []
        assert house.house.releases() == []
        assert house.noise.calls == []

    run(tmp_path, scenario, pool_budget_rho_nano=ONE_ENTRY.rho_nano - 1)


def test_what_was_refused_and_is_labelled_again_is_paid_for_like_anything_else(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        first, second = await house.label_many(2)
        await house.publish()
        assert house.state(second) == ("refused", "budget_exhausted")
        for _ in range(2):
            await house.gateway.ask(f"{QUESTION} Pallet 1?", hitproof={"share": True})
            assert house.state(second) == ("labelled", None)
            assert await house.publish() == 0
        assert len(house.spendings()) == 1
        # In the next period there is a budget again, and it is charged.
        house.gateway.clock.advance(3 * 86_400)
        await house.gateway.ask(f"{QUESTION} Pallet 1?", hitproof={"share": {"aliases": [ALIAS]}})
        assert await house.publish() == 1
        assert [row.number for row in house.spendings()] == [1, 2]
        assert house.state(first)[0] == house.state(second)[0] == "published"

    run(tmp_path, scenario, pool_period_epochs=1, **budget_for(1))


def test_a_published_entry_that_is_labelled_again_is_neither_paid_for_nor_drawn_again(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        await house.publish_and_store()
        await house.gateway.ask(QUESTION, hitproof={"share": True})
        assert house.state(entry) == ("published", None)
        assert await house.publish() == 0
        assert len(house.noise.calls) == len(house.spendings()) == 1

    run(tmp_path, scenario)


def test_what_one_spending_cannot_state_waits_for_the_next_batch(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entries = []
        for number in range(CHARGES_MAX + 1):
            house.gateway.clock.advance(1)
            entries.append(await house.label(f"{QUESTION} Pallet {number}?", epsilon=f"1.{number}"))
        assert await house.publish() == CHARGES_MAX
        assert house.state(entries[-1]) == ("labelled", None)
        assert await house.publish() == 1

    run(tmp_path, scenario)


def test_an_epsilon_that_no_noise_keeps_is_refused_and_keeps_nobody_else_from_publishing(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        impossible = await house.label(epsilon="0.001")
        possible = await house.label(tenant=1)
        assert await house.publish() == 1
        assert house.state(impossible) == ("refused", "epsilon_too_small")
        assert house.state(possible, tenant=1) == ("published", None)

    run(tmp_path, scenario)


def test_a_policy_that_became_stricter_counts_for_what_was_labelled_before(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        house.gateway.set_policy(sharing="noised", noised_epsilon_milli=1_500)
        await house.publish()
        (spending,) = house.spendings()
        expected = GaussianEmbedding(1, multiplier_squared_micro_for(1_500_000, 10**12))
        assert parse_spending(spending.document.encode()).charges == (expected,)
        assert house.share(entry).epsilon_milli == 1_500

    run(tmp_path, scenario)


# Parts of the index


def test_an_organisation_has_no_more_than_its_part_of_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "ENTRIES_ALWAYS", 2)

    async def scenario(house: NoisedHouse) -> None:
        entries = await house.label_many(3)
        other = await house.label(tenant=1)
        assert await house.publish() == 3
        assert house.state(entries[2]) == ("refused", "too_large_a_part_of_the_pool")
        assert house.state(other, tenant=1) == ("published", None)
        later = await house.label(f"{QUESTION} Pallet 9?")
        assert await house.publish() == 0
        assert house.state(later) == ("refused", "too_large_a_part_of_the_pool")

    run(tmp_path, scenario)


def test_the_part_grows_with_what_others_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "ENTRIES_ALWAYS", 1)
    monkeypatch.setattr(publishing, "SHARE_OF_INDEX_PERCENT", 50)

    async def scenario(house: NoisedHouse) -> None:
        for tenant in (1, 2, 3):
            await house.label(tenant=tenant)
        assert await house.publish() == 3
        # Half of four, once the first of its own is there.
        await house.label_many(1)
        assert await house.publish() == 1
        second = await house.label(f"{QUESTION} Pallet 11?")
        assert await house.publish() == 1
        assert house.state(second) == ("published", None)
        third = await house.label(f"{QUESTION} Pallet 12?")
        assert await house.publish() == 0
        assert house.state(third) == ("refused", "too_large_a_part_of_the_pool")

    run(tmp_path, scenario, tenants=4)


def test_the_tenants_of_one_organisation_have_one_part_and_one_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "ENTRIES_ALWAYS", 3)

    async def scenario(house: NoisedHouse) -> None:
        house.gateway.tenants.append(add_tenant(house, beside=0))
        entries = [await house.label(), await house.label(tenant=2)]
        assert await house.publish() == 2
        (spending,) = house.spendings(0)
        assert parse_spending(spending.document.encode()).charges == (GaussianEmbedding(2, MULTIPLIER),)
        assert house.spendings(2) == [spending]
        assert house.state(entries[1], tenant=2) == ("published", None)
        last = [await house.label(f"{QUESTION} Pallet 7?"), await house.label(f"{QUESTION} Pallet 7?", tenant=2)]
        assert await house.publish() == 1
        states = {house.state(last[0]), house.state(last[1], tenant=2)}
        assert states == {("published", None), ("refused", "too_large_a_part_of_the_pool")}

    run(tmp_path, scenario)


def test_who_labels_much_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "BATCH_MAX", 3)

    async def scenario(house: NoisedHouse) -> None:
        await house.label_many(5)
        await house.label_many(5, tenant=1)
        last = await house.label(tenant=2)
        assert await house.publish() == 3
        assert house.state(last, tenant=2) == ("published", None)

    run(tmp_path, scenario, tenants=3)


# What stops half way


def test_what_was_paid_for_by_a_process_that_died_is_void_and_paid_for_anew(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        house.gateway.clock.advance(QUARANTINE_S)
        await pay_and_die(house)
        with pytest.raises(ReleaseRunning):
            await house.parts.publisher.publish_due()
        assert house.state(entry) == ("labelled", None)
        house.gateway.clock.advance(HOLDER_LASTS_MS / 1000)
        assert await house.parts.publisher.publish_due() == 1
        assert [row.state for row in house.house.releases()] == ["void", "released"]
        assert [row.release for row in house.spendings()] == [1, 2]
        assert len(house.noise.calls) == 1

    run(tmp_path, scenario)


def test_a_release_that_its_process_left_is_declared_void_though_nothing_is_labelled(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        await pay_and_die(house)
        await revoke_all(house)
        house.gateway.clock.advance(HOLDER_LASTS_MS / 1000)
        assert await house.parts.publisher.publish_due() == 0
        assert [row.state for row in house.house.releases()] == ["void"]

    run(tmp_path, scenario)


def test_noise_that_fails_leaves_a_void_release_and_labels_that_wait(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        house.noise.fault = RuntimeError("no chance to be had")
        with pytest.raises(RuntimeError):
            await house.publish()
        assert [row.state for row in house.house.releases()] == ["void"]
        assert house.state(entry) == ("labelled", None)
        house.noise.fault = None
        assert await house.parts.publisher.publish_due() == 1
        # Both are charged: what came of the first is nowhere, and nobody can show that nothing did.
        assert [row.release for row in house.spendings()] == [1, 2]

    run(tmp_path, scenario)


def test_a_publisher_that_is_cancelled_while_it_draws_leaves_a_void_release(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        house.gateway.clock.advance(QUARANTINE_S)
        draw, began = house.parts.publisher._draw, asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(paid: object) -> object:
            loop.call_soon_threadsafe(began.set)
            return draw(paid)  # type: ignore[arg-type]

        house.parts.publisher._draw = slow  # type: ignore[method-assign, assignment]
        work = asyncio.create_task(house.parts.publisher.publish_due())
        await began.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert [row.state for row in house.house.releases()] == ["void"]

    run(tmp_path, scenario)


def test_a_fault_that_stays_does_not_spend_the_budget_away(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        house.noise.fault = RuntimeError("broken")
        for _ in range(publishing.VOIDS_MAX):
            with pytest.raises(RuntimeError):
                await house.publish()
        with pytest.raises(PoolError, match="in a row"):
            await house.parts.publisher.publish_due()
        assert len(house.spendings()) == publishing.VOIDS_MAX
        house.noise.fault = None
        house.gateway.clock.advance(publishing.VOIDS_REST_MS / 1000)
        assert await house.parts.publisher.publish_due() == 1

    run(tmp_path, scenario)


def test_a_release_whose_persisting_fails_is_void_and_its_labels_wait(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        persist = Publisher._persist

        def fail(*arguments: object) -> None:
            persist(*arguments)  # type: ignore[arg-type]
            raise OSError("the disk is full")

        house.parts.publisher._persist = fail.__get__(house.parts.publisher)  # type: ignore[method-assign]
        with pytest.raises(OSError, match="full"):
            await house.publish()
        del house.parts.publisher._persist  # type: ignore[misc]
        assert [row.state for row in house.house.releases()] == ["void"]
        assert house.state(entry) == ("labelled", None)
        assert house.share(entry).item_id is None
        assert await house.parts.publisher.publish_due() == 1

    run(tmp_path, scenario)


def test_a_label_that_is_revoked_before_it_is_paid_for_costs_nothing(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        look = house.parts.publisher._look

        async def revoked_meanwhile(*arguments: object) -> object:
            found = await look(*arguments)  # type: ignore[arg-type]
            await revoke_all(house)
            return found

        house.parts.publisher._look = revoked_meanwhile  # type: ignore[method-assign, assignment]
        assert await house.publish() == 0
        assert house.spendings() == []
        assert house.noise.calls == []
        assert house.state(entry) == ("revoked", None)

    run(tmp_path, scenario)


def test_a_label_that_is_revoked_while_its_noise_is_drawn_never_enters_the_pool(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        draw = house.parts.publisher._draw

        def revoked_meanwhile(paid: object) -> object:
            house.write(lambda c: revoke(house, c, entry))
            return draw(paid)  # type: ignore[arg-type]

        house.parts.publisher._draw = revoked_meanwhile  # type: ignore[method-assign, assignment]
        await house.publish()
        assert house.state(entry) == ("revoked", None)
        (row,) = house.house.releases()
        assert (row.state, len(house.spendings())) == ("released", 1)
        assert items_of(house, row.number) == [("withdrawn", None)]
        assert await house.store() == 0 and not await house.is_in_pool()

    run(tmp_path, scenario)


def test_a_label_that_changes_while_its_noise_is_drawn_is_not_published_as_it_was(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        draw = house.parts.publisher._draw

        def changed_meanwhile(paid: object) -> object:
            tenant, before = house.gateway.tenants[0].id, house.share(entry)
            house.write(lambda c: ShareRepository(c, tenant).put(
                type(before)(entry, "labelled", None, 500, before.aliases, None, before.at_ms)))  # fmt: skip
            return draw(paid)  # type: ignore[arg-type]

        house.parts.publisher._draw = changed_meanwhile  # type: ignore[method-assign, assignment]
        await house.publish()
        assert house.state(entry) == ("labelled", None)
        assert items_of(house, 1) == [("withdrawn", None)]

    run(tmp_path, scenario)


def test_a_suspended_tenants_labels_wait(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        tenant = house.gateway.tenants[0].id
        house.write(lambda c: set_status(c, tenant, "suspended", actor="test", now_ms=house.gateway.clock.now_ms()))
        assert await house.publish() == 0
        assert house.state(entry) == ("labelled", None)

    run(tmp_path, scenario)


def test_the_release_of_a_batch_says_so_in_its_document_and_comes_under_one_number(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label_many(2)
        await house.label(tenant=1)
        await house.publish()
        (row,) = house.house.releases()
        assert (row.mode, row.unit, row.vector_source, row.organisations) == ("noised", "entry", "noised", 2)
        assert len(items_of(house, row.number)) == 3

    run(tmp_path, scenario)


def test_releases_are_numbered_without_a_gap(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        for number in range(3):
            await house.label(f"{QUESTION} Pallet {number}?")
            await house.publish()
        assert [row.number for row in house.house.releases()] == [1, 2, 3]
        assert house.read(lambda c: PoolRepository(c).find_spending()) is None

    run(tmp_path, scenario)


# Parts of scenarios


async def pay_and_die(house: NoisedHouse) -> None:
    """Pay for a noised release of the first organisation as another process, which then is heard of no more."""
    rules, random = house.parts.rules, house.gateway.gateway.state.random
    writer = ReleaseWriter(rules.calendar, rules.budget, house.gateway.clock, random, holder="dead")
    pool, payer = await house.parts.pool.context(), Payer(house.organisation(), (GaussianEmbedding(1, MULTIPLIER),))
    order = Order("noised", house.house.epoch, "entry", "noised")
    await house.database.write(lambda c: writer.begin(c, pool, order, [payer]))


async def revoke_all(house: NoisedHouse) -> None:
    """Take back every consent of the first tenant."""
    tenant = house.gateway.tenants[0].id

    def work(connection: Connection) -> None:
        for share in ShareRepository(connection, tenant).list_page(limit=10):
            revoke(house, connection, share.entry_id)

    await house.database.write(work)


def revoke(house: NoisedHouse, connection: Connection, entry: EntryId) -> None:
    tenant, now_ms = house.gateway.tenants[0].id, house.gateway.clock.now_ms()
    revoke_share(connection, tenant, entry, actor="test", now_ms=now_ms)


def items_of(house: NoisedHouse, release: int) -> list[tuple[str, bytes | None]]:
    rows = house.read(lambda c: PoolItemRepository(c).list_of_release(release))
    return [(row.state, row.sealed) for row in rows]


def add_tenant(house: NoisedHouse, *, beside: int) -> Tenant:
    """Make one more tenant of the organisation of tenant *beside*, that shares as it does."""
    state, now_ms, organisation = house.gateway.gateway.state, house.gateway.clock.now_ms(), house.organisation(beside)
    policy = ReusePolicy(threshold_ten_thousandths=9_000, sharing="noised", pool_read=True)

    def make(connection: Connection) -> Tenant:
        made = create_tenant(
            connection, organisation, "beside", quota=GENEROUS, provider=state.key_provider, actor="test",
            now_ms=now_ms, random=state.random,
        )  # fmt: skip
        _, key = create_key(
            connection, made.id, role="owner", scopes=None, label="test", expires_at_ms=None, pepper=PEPPER,
            actor="test", now_ms=now_ms, random=state.random,
        )  # fmt: skip
        set_policy(connection, made.id, policy, actor="test", now_ms=now_ms)
        return Tenant(made.id, key)

    found: Tenant = house.write(make)
    return found
