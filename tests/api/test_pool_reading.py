"""Reading the pool, from outside: what it answers, to whom, when, and what is not said of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from crypto.commitment import hit_salt, query_vector_commitment
from crypto.ed25519 import SigningKey
from crypto.hit import HitRecord, parse_hit_record
from crypto.similarity import threshold_integer
from crypto.trust import sign_trust
from crypto.verify import AuditOptions, verify_proof_file
from server.api.chat import may_leave
from server.index.partitions import PartitionKey
from server.pool.principal import Pool
from server.ports import JsonObject
from server.reuse.accounting import open_detail
from server.reuse.fingerprint import PoolMode, pool_fingerprint
from server.reuse.outcomes import Hit, Tier
from server.reuse.policy import ReusePolicy
from server.reuse.pool_tier import PoolTier, stricter
from server.reuse.quantise import norms_squared, quantise
from server.reuse.sight import Asked, Sight
from server.store.errors import StoreUnavailable
from server.store.lookups import LookupRepository
from server.store.pool import PoolRepository
from server.store.pool_records import ProfileRecord
from server.store.receipts import HitRepository
from server.trust_document import DAY_MS, TrustTerms, draft_trust
from tenants.identifiers import EntryId, TenantId
from tests.fakes import FakeClock, FakeGateway, Options, fake_gateway
from tests.pool_entries import POOL_SETTINGS, Item, open_pool, parts_of, put_pool_entry
from tests.signing_runner import SigningRunner
from tests.traces import PATIENT

LAKE = "please tell me how very deep the blue mountain lake by our old house really is"
LAKE_AGAIN = "please tell me how very deep the blue mountain lake by our old house is really"
HARBOUR = "who painted the quiet harbour with the three small boats in the morning light"
READS: dict[str, Any] = {"pool_read": True, "threshold_ten_thousandths": 9_000, "pool_clock": "fast"}
ROOT = SigningKey(b"\x07" * 32)


class World:
    """A gateway whose first tenant reads the pool, and whose upstream is a runner that signs."""

    def __init__(self, gateway: FakeGateway, runner: SigningRunner, pool: Pool) -> None:
        self.gateway = gateway
        self.runner = runner
        self.pool = pool

    async def put(self, item: Item) -> EntryId:
        return await put_pool_entry(self.gateway, self.runner, item)

    async def ask(self, question: str = LAKE_AGAIN, **options: Any) -> JsonObject:
        account: JsonObject = (await self.gateway.ask(question, **options))["hitproof"]
        return account

    def rows(self) -> list[tuple[Any, ...]]:
        """Return all that the database says of the pool's entries, and of the pool's use."""
        statements = ("SELECT * FROM entries WHERE tenant_id = :pool ORDER BY id",
                      "SELECT * FROM usage WHERE tenant_id = :pool", "SELECT * FROM lookups WHERE tenant_id = :pool",
                      "SELECT * FROM hits WHERE tenant_id = :pool")  # fmt: skip
        return self.gateway.gateway.database.read_now(
            lambda c: [tuple(row) for one in statements for row in c.execute(text(one), {"pool": self.pool.id})]
        )

    def state_of(self, entry: EntryId) -> tuple[str, str | None]:
        found = self.gateway.gateway.database.read_now(
            lambda c: c.execute(
                text("SELECT state, state_reason FROM entries WHERE id = :entry"), {"entry": entry}
            ).one()
        )
        return found[0], found[1]


Scenario = Callable[[World], Awaitable[None]]


def run(
    folder: Path, scenario: Scenario, *, policy: dict[str, Any] | None = None, settings: dict[str, Any] | None = None
) -> None:
    clock = FakeClock()
    runner = SigningRunner(clock)
    options = Options(
        clock=clock,
        upstream=runner,
        upstream_kind="runner",
        settings=PATIENT | POOL_SETTINGS | (settings or {}),
    )

    async def play() -> None:
        async with fake_gateway(folder, options) as gateway:
            pool = open_pool(gateway, **({"threshold_ten_thousandths": 9_000} | (policy or {})))
            gateway.set_policy(tenant=0, **READS)
            await scenario(World(gateway, runner, pool))

    asyncio.run(play())


def tier_of(account: JsonObject) -> tuple[str, str | None]:
    return account["outcome"], account["tier"]


# What it answers


def test_a_question_that_the_tenant_never_asked_is_answered_from_the_pool_with_its_receipt(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        asked = len(world.runner.requests)
        body = await world.gateway.ask(LAKE_AGAIN)
        account = body["hitproof"]
        assert (tier_of(account), account["reason"]) == (("hit", "pool"), "same_meaning")
        assert body["choices"][0]["message"]["content"] == f"You asked: {LAKE}"
        assert account["receipt"]["grade"] == "attested"
        assert account["saved"] == {"tokens": 42, "micro_currency": 72}
        assert len(world.runner.requests) == asked

    run(tmp_path, scenario)


def test_a_stream_from_the_pool_adds_up_to_the_answer_and_ends_with_its_account(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        response = await world.gateway.chat(LAKE_AGAIN, stream=True)
        assert (response.status_code, response.headers["x-hitproof-tier"]) == (200, "pool")
        events = [json.loads(line[6:]) for line in response.text.split("\n\n") if line.startswith("data: {")]
        pieces = [choice["delta"].get("content") or "" for event in events for choice in event["choices"]]
        assert "".join(pieces) == f"You asked: {LAKE}"
        assert tier_of(events[-1]["hitproof"]) == ("hit", "pool")

    run(tmp_path, scenario)


def test_a_tenants_own_entry_goes_before_the_pools(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        assert tier_of(await world.ask(LAKE)) == ("miss", None)
        await world.put(Item(LAKE))
        assert tier_of(await world.ask(LAKE_AGAIN)) == ("hit", "private")

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    "refused",
    [{"pool_read": False}, {"mode": "shadow"}, {"mode": "exact"}, {"mode": "off"}, {"temperature_max": "0.5"}],
)
def test_a_policy_that_does_not_read_the_pool_gets_nothing_from_it(tmp_path: Path, refused: dict[str, Any]) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        world.gateway.set_policy(tenant=0, **(READS | refused))
        assert (await world.ask())["outcome"] != "hit"

    run(tmp_path, scenario)


def test_a_pool_whose_own_policy_is_off_answers_nobody(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        assert tier_of(await world.ask()) == ("miss", None)

    run(tmp_path, scenario, policy={"mode": "off"})


def test_a_request_that_asks_for_a_fresh_answer_is_not_answered_from_the_pool(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        assert (await world.ask(headers={"cache-control": "no-cache, no-store"}))["outcome"] == "miss"
        world.gateway.clock.advance(60)
        assert (await world.ask(headers={"cache-control": "max-age=30, no-store"}))["outcome"] == "miss"
        assert tier_of(await world.ask(headers={"cache-control": "max-age=3000, no-store"})) == ("hit", "pool")

    run(tmp_path, scenario)


def test_a_conversation_that_is_not_poolable_is_not_answered_from_the_pool(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE, system="You are brief."))
        talk = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": LAKE_AGAIN}]
        assert tier_of((await world.gateway.ask(talk))["hitproof"]) == ("miss", None)

    run(tmp_path, scenario)


@pytest.mark.parametrize("mode", ["pooled", "noised"])
def test_a_profile_that_policy_names_is_answered_for_its_own_system_prompt(tmp_path: Path, mode: PoolMode) -> None:
    async def scenario(world: World) -> None:
        brief = "You are brief."
        record = ProfileRecord("brief", brief, "{}", 0)
        await world.gateway.gateway.database.write(lambda c: PoolRepository(c).add_profile(record))
        await parts_of(world.gateway).service.refresh_profiles()
        entry = await world.put(Item(LAKE, system=brief, mode=mode))
        talk = [{"role": "system", "content": brief}, {"role": "user", "content": LAKE_AGAIN}]
        asked = [("plain", talk), ("brief", [talk[1]]), ("brief", talk)]
        found = []
        for profile, messages in asked:
            world.gateway.set_policy(tenant=0, **READS, pool_profiles=(profile,))
            answer = await world.gateway.ask(messages, headers={"cache-control": "no-store"})
            found.append(tier_of(answer["hitproof"]))
        assert found == [("miss", None), ("miss", None), ("hit", "pool")]
        assert world.state_of(entry) == ("live", None)

    run(tmp_path, scenario)


# How it decides


def test_the_stricter_threshold_of_pool_caller_and_request_decides(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        asked: list[tuple[dict[str, Any], dict[str, Any]]] = [
            ({}, {"hitproof": {"threshold": 0.995}}),
            ({"threshold_ten_thousandths": 9_950}, {}),
        ]
        for fields, options in asked:
            world.gateway.set_policy(tenant=0, **(READS | fields))
            found = await world.ask("please tell me how very deep the blue mountain lake by our own house really is",
                                    headers={"cache-control": "no-store"}, **options)  # fmt: skip
            assert found["outcome"] == "miss"
        world.gateway.set_policy(tenant=0, **READS)
        assert tier_of(
            await world.ask("please tell me how very deep the blue mountain lake by our own house really is")
        ) == ("hit", "pool")

    run(tmp_path, scenario)


def test_the_rules_of_pool_and_caller_hold_together() -> None:
    pool = ReusePolicy(threshold_ten_thousandths=9_600, guards=("number", "date"), other_languages="allow")
    caller = ReusePolicy(threshold_ten_thousandths=9_500, guards=("negation",), other_languages="exact_only")
    for found in (stricter(pool, caller), stricter(caller, pool)):
        assert found.threshold_ten_thousandths == 9_600
        assert set(found.guards) == {"number", "date", "negation"}
        assert found.other_languages == "exact_only"
    assert stricter(replace(pool, pool_clock="fast"), caller).pool_clock == "quantised"


def test_a_guard_that_doubts_an_alias_stops_the_pool_too(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item("where is the big blue parcel with the order number 48213 that we sent on the old road"))
        found = await world.ask("where is the big blue parcel with the order number 48231 that we sent on the old road")
        assert found["outcome"] == "miss"

    run(tmp_path, scenario, policy={"threshold_ten_thousandths": 7_460})


def test_a_labelled_entry_is_found_by_its_noised_vector_and_decided_on_by_its_aliases(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        entry = await world.put(
            Item(
                "what did my doctor say about it",
                aliases=(HARBOUR, LAKE),
                mode="noised",
                found_by=HARBOUR + " and lake",
            )
        )
        found = await world.ask(LAKE_AGAIN)
        assert tier_of(found) == ("hit", "pool")
        # Near the vector it is found by, and near no alias.
        assert tier_of(await world.ask("what did my doctor say about it")) == ("miss", None)
        assert tier_of(await world.ask(HARBOUR + " and lake bank")) == ("hit", "pool")
        assert world.state_of(entry) == ("live", None)

    run(tmp_path, scenario)


def test_of_equally_near_entries_the_one_with_the_lower_id_answers(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        first = await world.put(Item(LAKE))
        world.gateway.clock.advance(1)
        second = await world.put(Item(LAKE, mode="noised"))
        found = [await world.ask(LAKE) for _ in range(2)]
        assert first < second
        assert len({account["entry"] for account in found}) == 1
        assert found[0]["receipt"]["id"] == await receipt_of(world, first)

    run(tmp_path, scenario)


async def receipt_of(world: World, entry: EntryId) -> str:
    return str(
        await world.gateway.gateway.database.read(
            lambda c: c.execute(text("SELECT receipt_id FROM entries WHERE id = :entry"), {"entry": entry}).scalar_one()
        )
    )


# Verify on read


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("UPDATE entries SET payload = zeroblob(length(payload))", "does_not_open"),
        ("UPDATE entries SET expires_at_ms = expires_at_ms + 1", "changed_terms"),
        ("UPDATE entries SET fingerprint = x'" + "00" * 32 + "'", "other_fingerprint"),
        ("UPDATE entries SET state = 'removed'", None),
        ("UPDATE entries SET receipt_id = NULL", None),
        ("UPDATE entries SET expires_at_ms = 1", None),
    ],
)
def test_an_entry_of_the_pool_that_does_not_stand_up_to_reading_answers_nothing(
    tmp_path: Path, damage: str, reason: str | None
) -> None:
    async def scenario(world: World) -> None:
        entry = await world.put(Item(LAKE))
        assert tier_of(await world.ask(headers={"cache-control": "no-store"})) == ("hit", "pool")
        await world.gateway.gateway.database.write(
            lambda c: c.execute(text(damage + " WHERE tenant_id = :pool"), {"pool": world.pool.id})
        )
        assert tier_of(await world.ask()) == ("miss", None)
        if reason is not None:
            assert world.state_of(entry) == ("quarantined", reason)

    run(tmp_path, scenario)


def test_what_nobody_attested_is_not_given_out_of_the_pool(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        entry = await world.put(Item(LAKE, attested=False))
        assert tier_of(await world.ask()) == ("miss", None)
        assert world.state_of(entry) == ("quarantined", "not_attested")

    run(tmp_path, scenario)


def test_an_entry_of_another_profile_is_not_given_whatever_partition_its_row_stands_in(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(HARBOUR))
        entry = await world.put(Item(LAKE, system="You are a pirate."))
        database, partitions = world.gateway.gateway.database, world.gateway.gateway.partitions
        await database.write(
            lambda c: c.execute(
                text("UPDATE entries SET fingerprint = (SELECT fingerprint FROM entries WHERE id != :entry AND "
                     "tenant_id = :pool) WHERE id = :entry"),
                {"entry": entry, "pool": world.pool.id},
            )
        )  # fmt: skip
        partitions.drop(world.pool.id)
        assert tier_of(await world.ask()) == ("miss", None)
        assert world.state_of(entry) == ("quarantined", "other_conversation")

    run(tmp_path, scenario)


@pytest.mark.parametrize("fault", [StoreUnavailable("the store is away"), KeyError("a fault of ours")])
def test_a_pool_that_cannot_be_asked_is_a_miss_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))

        async def fail(_self: object) -> Any:
            raise fault

        monkeypatch.setattr(Pool, "context", fail)
        found = await world.ask(headers={"cache-control": "no-store"})
        assert (found["outcome"], found["reason"]) == ("miss", "no_candidate; not stored: no_store")
        metrics = (await world.gateway.client.get("/metrics")).content
        assert b'hitproof_degraded_total{part="pool"} 1.0' in metrics

    run(tmp_path, scenario)


def test_a_family_that_cannot_be_asked_leaves_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE, mode="noised"))
        partitions = world.gateway.gateway.partitions
        search, asked = partitions.search, []

        async def fail_first(key: PartitionKey, *rest: Any) -> Any:
            if key.tenant == world.pool.id:
                asked.append(key.scope)
                if len(asked) == 1:
                    raise StoreUnavailable("the store is away")
            return await search(key, *rest)

        monkeypatch.setattr(partitions, "search", fail_first)
        assert tier_of(await world.ask()) == ("hit", "pool")
        assert len(set(asked)) == 2

    run(tmp_path, scenario)


def test_the_two_families_are_partitions_of_their_own() -> None:
    found = {pool_fingerprint("pooled", bytes(32)), pool_fingerprint("noised", bytes(32)), bytes(32)}
    assert len(found) == 3


# To whom


def test_an_answer_of_the_pool_that_is_called_ones_own_is_stopped_at_the_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        ask = PoolTier.ask

        async def confused(tier: PoolTier, asked: Asked, sight: Sight) -> Sight:
            found = await ask(tier, asked, sight)
            assert isinstance(found.outcome, Hit)
            return replace(found, outcome=Hit("private", found.outcome.entry, "same_meaning"))

        monkeypatch.setattr(PoolTier, "ask", confused)
        response = await world.gateway.chat(LAKE_AGAIN)
        assert (response.status_code, LAKE.encode() in response.content) == (500, False)
        streamed = await world.gateway.chat(LAKE_AGAIN, stream=True)
        assert LAKE.encode() not in streamed.content
        assert b"hitproof_egress_refused_total 2.0" in (await world.gateway.client.get("/metrics")).content

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("owner", "tier", "pool", "may"),
    [
        ("own", None, "pool", True),
        ("own", "private", "pool", True),
        ("own", "exact", None, True),
        ("own", "pool", "pool", False),
        ("pool", "pool", "pool", True),
        ("pool", "pool", None, False),
        ("pool", "private", "pool", False),
        ("pool", None, "pool", False),
        ("other", "pool", "pool", False),
        ("other", "private", "pool", False),
    ],
)
def test_an_answer_leaves_to_its_own_tenant_and_the_pools_as_a_hit_of_the_pool(
    owner: str, tier: Tier | None, pool: str | None, may: bool
) -> None:
    known = None if pool is None else TenantId(pool)
    assert may_leave(TenantId(owner), to=TenantId("own"), tier=tier, pool=known) is may


def test_an_entry_of_the_pool_can_be_neither_opened_nor_removed_by_whom_it_answers(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        entry = await world.put(Item(LAKE))
        path = f"/v1/cache/entries/{(await world.ask())['entry']}"
        assert (await world.gateway.call("GET", path)).status_code == 404
        await world.gateway.call("DELETE", path)
        body = {"all": True, "dry_run": False, "confirm": "remove everything"}
        assert (await world.gateway.call("POST", "/v1/cache/invalidate", json=body)).status_code == 200
        assert world.state_of(entry) == ("live", None)
        assert tier_of(await world.ask()) == ("hit", "pool")

    run(tmp_path, scenario)


# What is not said of it


def test_no_score_of_the_pool_leaves_or_is_written_down(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        entry = await world.put(Item(LAKE))
        near_miss = "please tell me how very cold the blue mountain lake by that small hut mostly was"
        for question in (near_miss, LAKE_AGAIN):
            body: JsonObject = {"model": "fake-model", "messages": [{"role": "user", "content": question}]}
            dry = (await world.gateway.call("POST", "/v1/cache/lookup", json=body)).json()
            told = await world.ask(question, headers={"cache-control": "no-store"})
            for account in (dry, told):
                assert {account["nearest"][name] for name in ("entry", "cosine", "guard")} == {None}
                assert account["nearest"]["compared"] in (0, 1)
        assert tier_of(told) == ("hit", "pool")
        for question in (LAKE_AGAIN, near_miss):
            await world.ask(question)
        await world.gateway.settle()
        own = await world.gateway.gateway.tenants.get(world.gateway.tenants[0].id)
        records = world.gateway.gateway.database.read_now(lambda c: LookupRepository(c, own.id).list_since(0))
        assert [record.tier for record in records] == ["pool", None]
        for record in records:
            assert record.detail is not None
            detail = open_detail(own, record.id, record.detail)
            assert entry not in [candidate for candidate, _ in detail["candidates"]]
            assert detail["explanation"]["nearest"] != str(entry)

    run(tmp_path, scenario)


def test_nothing_of_the_pool_changes_when_it_answers(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        before = world.rows()
        for _ in range(3):
            assert tier_of(await world.ask()) == ("hit", "pool")
        # Not even the note of what was used names the entry.
        assert [recorded.entry for recorded in world.gateway.gateway.recorder._waiting] == [None] * 3
        await world.gateway.settle()
        assert world.rows() == before

    run(tmp_path, scenario)


def test_two_tenants_who_miss_the_same_question_at_once_have_it_computed_twice(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.gateway.set_policy(tenant=1, **READS)
        world.runner.gate = asyncio.Event()
        asked = [asyncio.create_task(world.ask(HARBOUR, tenant=tenant)) for tenant in (0, 1)]
        while len(world.runner.requests) < 2:
            await asyncio.sleep(0.01)
        world.runner.gate.set()
        assert [tier_of(account) for account in await asyncio.gather(*asked)] == [("miss", None)] * 2

    run(tmp_path, scenario)


def test_bad_feedback_keeps_an_entry_of_the_pool_from_that_tenant_alone(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        entry = await world.put(Item(LAKE))
        world.gateway.set_policy(tenant=1, **READS)
        hit = (await world.ask())["hit"]
        told = await world.gateway.call("POST", "/v1/cache/feedback", json={"hit": hit, "verdict": "bad"})
        assert told.json() == {
            "object": "cache.feedback", "hit": hit, "verdict": "bad", "quarantined": False, "suppressed": True
        }  # fmt: skip
        assert tier_of(await world.ask(headers={"cache-control": "no-store"})) == ("miss", None)
        assert tier_of(await world.ask(tenant=1)) == ("hit", "pool")
        assert world.state_of(entry) == ("live", None)

    run(tmp_path, scenario)


def test_feedback_on_an_entry_that_has_left_the_pool_is_a_label_and_nothing_more(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        entry = await world.put(Item(LAKE))
        hit = (await world.ask())["hit"]
        await world.gateway.settle()
        await world.gateway.gateway.database.write(
            lambda c: c.execute(text("DELETE FROM entries WHERE id = :entry"), {"entry": entry})
        )
        told = await world.gateway.call("POST", "/v1/cache/feedback", json={"hit": hit, "verdict": "bad"})
        assert (told.status_code, told.json()["suppressed"]) == (200, False)

    run(tmp_path, scenario)


def test_good_feedback_suppresses_nothing(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        hit = (await world.ask())["hit"]
        told = await world.gateway.call("POST", "/v1/cache/feedback", json={"hit": hit, "verdict": "good"})
        assert told.json()["suppressed"] is False
        assert tier_of(await world.ask()) == ("hit", "pool")

    run(tmp_path, scenario)


def test_an_audited_hit_of_the_pool_goes_upstream_and_no_label_is_taken_of_it(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        world.gateway.set_policy(tenant=0, **READS, audit_share_ten_thousandths=10_000)
        found = await world.ask()
        assert (found["outcome"], found["reason"]) == ("miss", "audit")
        await world.gateway.settle()
        tenant = world.gateway.tenants[0].id
        (record,) = world.gateway.gateway.database.read_now(lambda c: LookupRepository(c, tenant).list_since(0))
        assert record.label is None

    run(tmp_path, scenario)


def test_what_the_pool_answered_is_counted_as_the_readers_use(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        await world.ask()
        stats = (await world.gateway.call("GET", "/v1/cache/stats")).json()
        assert stats["hits"] == {"exact": 0, "private": 0, "pool": 1}
        assert stats["saved_tokens"] == 42

    run(tmp_path, scenario)


# When it leaves


def test_a_hit_of_the_pool_waits_for_the_readers_clock_and_one_of_ones_own_does_not(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        world.gateway.set_policy(tenant=0, **(READS | {"pool_clock": "quantised"}))
        held: list[float] = []

        async def pause(seconds: float) -> None:
            held.append(round(seconds, 6))
            world.gateway.clock.advance(seconds)

        world.gateway.gateway.state.engine._release_clock._sleep = pause
        body: JsonObject = {"model": "fake-model", "messages": [{"role": "user", "content": LAKE_AGAIN}]}
        await world.ask()
        await world.gateway.call("POST", "/v1/cache/lookup", json=body)
        await world.gateway.chat(HARBOUR, headers={"cache-control": "only-if-cached"})
        assert held == [0.2, 0.2, 0.2]
        await world.ask(HARBOUR)
        await world.ask(HARBOUR)
        assert len(held) == 3
        stats = (await world.gateway.call("GET", "/v1/cache/stats")).json()
        pooled = next(day for day in stats["days"] if day["tier"] == "pool")
        assert pooled["mean_latency_ms"] == pytest.approx(200, abs=1)

    run(tmp_path, scenario, settings={"pool_clock_step_ms": 200})


def test_a_reader_that_goes_away_while_its_answer_is_held_was_given_no_hit(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        world.gateway.set_policy(tenant=0, **(READS | {"pool_clock": "quantised"}))
        is_held = asyncio.Event()

        async def pause(_seconds: float) -> None:
            is_held.set()
            await asyncio.Event().wait()

        world.gateway.gateway.state.engine._release_clock._sleep = pause
        asked = asyncio.create_task(world.ask())
        await is_held.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await world.gateway.settle()
        tenant = world.gateway.tenants[0].id
        assert world.gateway.gateway.database.read_now(lambda c: HitRepository(c, tenant).count()) == 0

    run(tmp_path, scenario)


def test_misses_are_what_a_sampled_time_is_drawn_from(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        world.gateway.set_policy(tenant=0, **(READS | {"pool_clock": "sampled_miss"}))
        engine, held = world.gateway.gateway.state.engine, list[float]()

        async def pause(seconds: float) -> None:
            held.append(round(seconds, 6))

        engine._release_clock._sleep = pause
        work = world.runner._work

        async def slow(request: JsonObject, salt: str) -> None:
            world.gateway.clock.advance(0.5)
            await work(request, salt)

        world.runner._work = slow  # type: ignore[method-assign]
        for number in range(16):
            await world.ask(f"{HARBOUR} number {number}", headers={"cache-control": "no-cache"})
        assert tier_of(await world.ask()) == ("hit", "pool")
        assert held == [0.5]

    run(tmp_path, scenario)


# What proves it


def test_a_pool_hit_is_recorded_with_the_pools_receipt_the_readers_vector_and_the_stricter_threshold(
    tmp_path: Path,
) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        account = await world.ask()
        record = await record_of(world, account)
        assert (record.tier, record.receipt[7:39]) == ("pool", account["receipt"]["id"].removeprefix("rcp_"))
        (vector,) = quantise(world.gateway.embedder.embed([LAKE_AGAIN]))
        tenant = await world.gateway.gateway.state.tenants.get(world.gateway.tenants[0].id)
        salt = hit_salt(tenant.hit_salt_key, record.hit, "query_vector")
        assert record.query_vector == query_vector_commitment(salt, vector.tobytes())
        assert record.tau == threshold_integer(9_300, int(norms_squared(vector[None])[0]))

    run(tmp_path, scenario, policy={"threshold_ten_thousandths": 9_300})


def test_the_record_of_a_pool_hit_says_nothing_of_the_pool_that_its_receipt_does_not(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        first = await record_of(world, await world.ask())
        await world.put(Item(HARBOUR, aliases=(HARBOUR, LAKE_AGAIN), mode="noised", found_by=LAKE_AGAIN))
        second = await record_of(world, await world.ask())
        own = {"at_ms": 0, "hit": first.hit, "query": b"", "query_vector": None}
        of_receipt = {"receipt": "", "receipt_leaf": b""}
        # Another entry, other aliases: all that differs is the receipt, the time and the reader's own commitments.
        assert replace(first, **own, **of_receipt) == replace(second, **own, **of_receipt)

    run(tmp_path, scenario)


async def record_of(world: World, account: JsonObject) -> HitRecord:
    """Return what is logged of a hit of the first tenant."""
    await world.gateway.settle()
    tenant = world.gateway.tenants[0].id
    stored = world.gateway.gateway.database.read_now(lambda c: HitRepository(c, tenant).get(account["hit"]))
    assert stored is not None
    return parse_hit_record(stored.record)


async def proof(world: World, path: str, *, tenant: int = 0) -> str:
    for _ in range(200):
        answer = await world.gateway.call("GET", path, tenant=tenant)
        if answer.status_code == 200:
            return answer.text
        assert answer.status_code == 202, answer.text
        await asyncio.sleep(0.05)
    raise AssertionError(path)


LOGGED = {"log_sequencer": True, "log_interval_s": 0.05}


def test_the_reader_can_prove_the_hit_and_the_receipt_offline(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        account = await world.ask()
        now_ms = world.gateway.clock.now_ms()
        draft = world.gateway.gateway.database.read_now(
            lambda c: draft_trust(c, TrustTerms((ROOT.public_key,), 1, DAY_MS), version=1, now_ms=now_ms)
        )
        trust = sign_trust(draft.to_payload(), [ROOT]).encode()
        for path in (f"/v1/hits/{account['hit']}/proof", f"/v1/receipts/{account['receipt']['id']}"):
            file = (await proof(world, path)).encode()
            found = verify_proof_file(file, trust, AuditOptions(now_ms=now_ms))
            assert found.report.exit_code == 0, (path, found.report)

    run(tmp_path, scenario, settings=LOGGED)


def test_a_receipt_of_the_pool_is_shown_to_those_alone_whom_it_answered(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.put(Item(LAKE))
        path = f"/v1/receipts/{(await world.ask())['receipt']['id']}"
        await world.gateway.settle()
        world.gateway.set_policy(tenant=1, **READS)
        assert (await world.gateway.call("GET", path)).status_code == 202
        assert (await world.gateway.call("GET", path, tenant=1)).status_code == 404
        assert tier_of(await world.ask(tenant=1)) == ("hit", "pool")
        await world.gateway.settle()
        assert (await world.gateway.call("GET", path, tenant=1)).status_code == 202

    run(tmp_path, scenario)


def test_a_hit_on_ones_own_entry_opens_no_receipt_of_another(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.ask(HARBOUR, tenant=1)
        receipt = (await world.ask(HARBOUR, tenant=1))["receipt"]["id"]
        await world.gateway.settle()
        assert (await world.gateway.call("GET", f"/v1/receipts/{receipt}")).status_code == 404

    run(tmp_path, scenario)
