"""What may answer what, row by row: C-01 to C-14 of docs/reference/scenarios-reuse.md, from outside, on fakes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from server.ports import Chunk, JsonObject
from server.upstream.errors import UpstreamUnavailable
from tenants.api_keys import _checksum
from tenants.quotas import Quota
from tests.fakes import FakeGateway, FakeUpstream, Options, WordEmbedder, fake_gateway
from tests.traces import PATIENT, accounts_of

LAKE = "please tell me how very deep the blue mountain lake by our old house really is"
LAKE_AGAIN = "please tell me how very deep the blue mountain lake by our old house is really"

Scenario = Callable[[FakeGateway], Awaitable[None]]


def run(folder: Path, scenario: Scenario, options: Options | None = None) -> None:
    async def play() -> None:
        async with fake_gateway(folder, options or Options(settings=PATIENT)) as gateway:
            await scenario(gateway)

    asyncio.run(play())


def outcome(body: JsonObject) -> str:
    return str(body["hitproof"]["outcome"])


def text_of(body: JsonObject) -> str:
    return str(body["choices"][0]["message"]["content"])


# C-01


def test_c01_a_question_that_one_tenant_asked_goes_upstream_for_the_next(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        for tenant in (0, 1):
            assert outcome(await gateway.ask(LAKE, tenant=tenant)) == "miss"
        assert len(gateway.upstream.requests) == 2
        assert outcome(await gateway.ask(LAKE_AGAIN, tenant=0)) == "hit"

    run(tmp_path, scenario)


def test_c01_another_tenants_entry_cannot_be_told_from_none(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        entry = (await gateway.ask(LAKE))["hitproof"]["entry"]
        hit = (await gateway.ask(LAKE))["hitproof"]["hit"]
        for identifier in (entry, "ent_0cb90wqk6m8ef"):
            for method in ("GET", "DELETE"):
                response = await gateway.call(method, f"/v1/cache/entries/{identifier}", tenant=1)
                assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
            body = {"entry": identifier, "dry_run": False}
            response = await gateway.call("POST", "/v1/cache/invalidate", tenant=1, json=body)
            assert response.json()["entries"] == 0
        response = await gateway.call("POST", "/v1/cache/feedback", tenant=1, json={"hit": hit, "verdict": "bad"})
        assert response.status_code == 404
        assert (await gateway.call("GET", "/v1/cache/entries", tenant=1)).json()["data"] == []
        response = await gateway.call("POST", "/v1/cache/invalidate", tenant=1, json={
            "all": True, "dry_run": False, "confirm": "remove everything"})  # fmt: skip
        assert response.json()["entries"] == 0
        assert outcome(await gateway.ask(LAKE)) == "hit"

    run(tmp_path, scenario)


def test_c01_the_exact_keys_of_equal_questions_differ_between_tenants(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(LAKE, tenant=0)
        await gateway.ask(LAKE, tenant=1)
        rows = gateway.gateway.database.read_now(
            lambda connection: connection.execute(text("SELECT tenant_id, exact_key, fingerprint FROM entries")).all()
        )
        assert len({row[0] for row in rows}) == len({bytes(row[1]) for row in rows}) == 2

    run(tmp_path, scenario)


# C-02


@pytest.mark.parametrize(
    ("question", "one", "other"),
    [
        ("where is my order number {} from the spring sale now shipped to", "48213", "48231"),
        ("is it {} to take ibuprofen with a small glass of red wine at dinner", "safe", "unsafe"),
        ("does the green plan {} free calls to all the other countries", "include", "not include"),
        ("how many minutes are in a drive of {} through the city", "30 kilometres", "30 miles"),
        ("what happened on {} in the old harbour of the town", "3 March 1999", "4 March 1999"),
    ],
)
def test_c02_a_near_question_that_differs_in_what_matters_is_a_miss(
    tmp_path: Path, question: str, one: str, other: str
) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.set_policy(threshold_ten_thousandths=7_500)
        await gateway.ask(question.format(one))
        answer = await gateway.ask(question.format(other))
        assert outcome(answer) == "miss", answer["hitproof"]
        assert answer["hitproof"]["nearest"]["guard"] is not None, "it was near enough, and a guard kept it"

    run(tmp_path, scenario)


# C-03


@pytest.mark.parametrize("variant", [LAKE + "\n", "  " + LAKE, LAKE + "\r\n", LAKE.replace("blue", "bl\u0075e")])
def test_c03_white_space_around_a_question_does_not_make_another_one(tmp_path: Path, variant: str) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(LAKE)
        assert (await gateway.ask(variant))["hitproof"]["tier"] == "exact"

    run(tmp_path, scenario)


def test_c03_composed_and_decomposed_letters_are_the_same_question(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask("Where is the caf\u00e9 by the lake?")
        assert (await gateway.ask("Where is the cafe\u0301 by the lake?"))["hitproof"]["tier"] == "exact"

    run(tmp_path, scenario)


@pytest.mark.parametrize("variant", ["p\u0430y my rent in april", "pay my\u200b rent in april", "Pay My Rent In April"])
def test_c03_look_alikes_are_never_an_exact_hit(tmp_path: Path, variant: str) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask("pay my rent in april")
        answer = await gateway.ask(variant)
        assert answer["hitproof"]["tier"] != "exact"
        if "\u0430" in variant:
            assert outcome(answer) == "miss"

    run(tmp_path, scenario)


# C-04


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.3},
        {"top_p": 0.5},
        {"max_tokens": 5},
        {"stop": ["x"]},
        {"seed": 7},
        {"response_format": {"type": "json_object"}},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"n": 2},
        {"reasoning_effort": "high"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_c04_other_parameters_are_another_question(tmp_path: Path, change: JsonObject) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(LAKE)
        assert outcome(await gateway.ask(LAKE, **change)) != "hit"

    run(tmp_path, scenario)


def test_c04_another_system_prompt_or_earlier_turn_is_another_question(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        user = {"role": "user", "content": LAKE}
        turns: list[list[JsonObject]] = [
            [user],
            [{"role": "system", "content": "Be brief."}, user],
            [{"role": "system", "content": "Be long."}, user],
            [{"role": "developer", "content": "Be brief."}, user],
            [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}, user],
        ]
        for messages in turns:
            assert outcome(await gateway.ask(messages)) == "miss"
        for messages in turns:
            assert (await gateway.ask(messages))["hitproof"]["tier"] == "exact"

    run(tmp_path, scenario)


def test_c04_an_alias_that_leads_elsewhere_starts_anew(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(LAKE)
        body = {"upstream": "fake", "requested": "another-model"}
        response = await gateway.call("PUT", "/admin/v1/models/fake-model", tenant=None, json=body)
        assert response.status_code == 200, response.text
        assert outcome(await gateway.ask(LAKE)) == "miss"

    run(tmp_path, scenario)


def test_c04_another_reported_model_supersedes_what_the_old_one_said(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(LAKE)
        gateway.upstream.reported = "fake-2"
        await gateway.ask("an entirely different question about cooking rice in a small pot")
        assert outcome(await gateway.ask(LAKE)) == "miss"
        assert outcome(await gateway.ask(LAKE_AGAIN)) == "hit", "what the new model said counts"

    run(tmp_path, scenario)


# C-05


class OddEmbedder(WordEmbedder):
    """Gives what *odd* makes of a good batch."""

    def __init__(self, odd: Callable[[Any], Any]) -> None:
        super().__init__()
        self.odd = odd

    def embed(self, texts: Any) -> Any:
        return self.odd(super().embed(texts))


def failing(_rows: Any) -> Any:
    raise RuntimeError("the model crashed")


@pytest.mark.parametrize(
    "odd",
    [
        lambda rows: rows * np.float32("nan"),
        lambda rows: rows * np.float32("inf"),
        lambda rows: rows * np.float32(0),
        lambda rows: rows * np.float32(1e-40),
        lambda rows: rows[:, :100],
        lambda rows: rows[:0],
        failing,
    ],
    ids=["nan", "inf", "zero", "denormal", "short", "none", "raises"],
)
def test_c05_a_vector_that_is_none_costs_the_semantic_tier_and_nothing_else(
    tmp_path: Path, odd: Callable[[Any], Any]
) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        first = await gateway.ask(LAKE)
        assert text_of(first).endswith(LAKE)
        assert outcome(await gateway.ask(LAKE_AGAIN)) == "miss"
        assert (await gateway.ask(LAKE))["hitproof"]["tier"] == "exact"
        listed = (await gateway.call("GET", "/v1/cache/entries")).json()["data"]
        assert [entry["matched_by_meaning"] for entry in listed] == [False, False]

    run(tmp_path, scenario, Options(embedder=OddEmbedder(odd), settings=PATIENT))


# C-06


@pytest.mark.parametrize(
    "finish", ["length", "content_filter", "tool_calls", "eine neue Art", "zeile\r\nx-evil: 1", None]
)
@pytest.mark.parametrize("stream", [False, True])
def test_c06_an_answer_that_did_not_end_by_itself_is_not_stored(
    tmp_path: Path, finish: str | None, stream: bool
) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.upstream.finish_reason = finish  # type: ignore[assignment]
        for _ in range(2):
            response = await gateway.chat(LAKE, stream=stream)
            assert response.status_code == 200
            assert accounts_of(response.content)[0]["outcome"] == "miss"
            assert "x-evil" not in response.headers
        assert len(gateway.upstream.requests) == 2
        assert (await gateway.call("GET", "/v1/cache/entries")).json()["data"] == []

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    "message",
    [
        {"content": ""},
        {"content": None},
        {"content": "   \n"},
        {"content": "no", "refusal": "I cannot help with that"},
        {
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
    ],
    ids=["empty", "null", "blank", "refusal", "tool_call"],
)
def test_c06_refused_empty_and_tool_calling_answers_are_not_stored(tmp_path: Path, message: JsonObject) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.upstream.message = message
        for _ in range(2):
            assert outcome(await gateway.ask(LAKE)) == "miss"
        assert len(gateway.upstream.requests) == 2

    run(tmp_path, scenario)


# C-07


class CutUpstream(FakeUpstream):
    """Breaks the line in the middle of a stream."""

    async def stream(self, request: JsonObject, *, tenant_salt: str) -> Any:
        sent = 0
        async for item in super().stream(request, tenant_salt=tenant_salt):
            if isinstance(item, Chunk):
                yield item
            sent += 1
            if sent == 3:
                raise UpstreamUnavailable("the connection to the upstream was lost")


def test_c07_a_stream_that_the_upstream_cuts_ends_in_an_error_and_is_not_stored(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        response = await gateway.chat(LAKE, stream=True)
        assert b"[DONE]" not in response.content
        assert json.loads(response.content.strip().rpartition(b"data: ")[2])["error"]["code"] == "upstream_unavailable"
        assert (await gateway.call("GET", "/v1/cache/entries")).json()["data"] == []
        assert outcome(await gateway.ask(LAKE)) == "miss"

    run(tmp_path, scenario, Options(upstream=CutUpstream(), settings=PATIENT))


def test_c07_a_client_that_leaves_a_stream_takes_nothing_with_it(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.upstream.gate = asyncio.Event()
        leaving = asyncio.create_task(gateway.chat(LAKE, stream=True))
        while not gateway.upstream.requests:
            await asyncio.sleep(0.001)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        gateway.upstream.gate.set()
        while len(gateway.gateway.flights):
            await asyncio.sleep(0.001)
        again = await gateway.ask(LAKE)
        assert (outcome(again), text_of(again)) == ("hit", f"You asked: {LAKE}"), "stored whole, or not at all"

    run(tmp_path, scenario)


# C-08


def test_c08_an_expired_entry_is_a_miss_in_both_tiers_before_anything_was_swept(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(LAKE, hitproof={"ttl": 60})
        gateway.clock.advance(59.9)
        assert outcome(await gateway.ask(LAKE)) == outcome(await gateway.ask(LAKE_AGAIN)) == "hit"
        gateway.clock.advance(0.2)
        assert outcome(await gateway.ask(LAKE_AGAIN, headers={"cache-control": "no-store"})) == "miss"
        assert outcome(await gateway.ask(LAKE)) == "miss"

    run(tmp_path, scenario)


def test_c08_a_removed_entry_is_a_miss_even_while_the_index_still_holds_its_vector(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        entry = (await gateway.ask(LAKE))["hitproof"]["entry"]
        assert outcome(await gateway.ask(LAKE_AGAIN)) == "hit"
        # The feed is not followed here (PATIENT), so the index lags behind the store.
        await gateway.call("DELETE", f"/v1/cache/entries/{entry}")
        assert outcome(await gateway.ask(LAKE_AGAIN, headers={"cache-control": "no-store"})) == "miss"
        assert outcome(await gateway.ask(LAKE)) == "miss"

    run(tmp_path, scenario)


def test_c08_a_quarantined_entry_never_answers_again(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(LAKE)
        hit = await gateway.ask(LAKE_AGAIN)
        body = {"hit": hit["hitproof"]["hit"], "verdict": "bad"}
        assert (await gateway.call("POST", "/v1/cache/feedback", json=body)).json()["quarantined"]
        assert outcome(await gateway.ask(LAKE_AGAIN, headers={"cache-control": "no-store"})) == "miss"
        assert outcome(await gateway.ask(LAKE, headers={"cache-control": "no-store"})) == "miss"

    run(tmp_path, scenario)


@pytest.mark.parametrize("asked", [LAKE, LAKE_AGAIN], ids=["exact", "private"])
def test_c08_an_entry_that_does_not_open_is_a_miss_and_quarantined(tmp_path: Path, asked: str) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(LAKE)
        assert outcome(await gateway.ask(LAKE_AGAIN)) == "hit"
        change_rows(
            gateway, "payload", lambda payloads: [payload[:-1] + bytes([payload[-1] ^ 1]) for payload in payloads]
        )
        assert outcome(await gateway.ask(asked, headers={"cache-control": "no-store"})) == "miss"
        states = [entry["state"] for entry in (await gateway.call("GET", "/v1/cache/entries")).json()["data"]]
        assert states == ["quarantined"]
        assert (
            b'hitproof_entries_quarantined_total{reason="does_not_open"} 1.0'
            in (await gateway.client.get("/metrics")).content
        )

    run(tmp_path, scenario)


def change_rows(gateway: FakeGateway, column: str, change: Callable[[list[Any]], list[Any]]) -> None:
    """Write over one column of all entries behind the house's back."""

    def write(connection: Any) -> None:
        rows = connection.execute(text(f"SELECT id, {column} FROM entries ORDER BY id")).all()
        for (entry, _), value in zip(rows, change([row[1] for row in rows]), strict=True):
            connection.execute(
                text(f"UPDATE entries SET {column} = :value WHERE id = :id"), {"value": value, "id": entry}
            )

    gateway.gateway.database.write_now(write)


@pytest.mark.parametrize("swapped", ["payload", "vector", "tenant_id"])
def test_c08_what_is_moved_between_tenants_in_the_store_opens_for_neither(tmp_path: Path, swapped: str) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.upstream.answer = lambda request: f"secret {len(gateway.upstream.requests)}"
        for tenant in (0, 1):
            await gateway.ask(LAKE, tenant=tenant)
        change_rows(gateway, swapped, lambda values: values[::-1])
        gateway.gateway.partitions.drop_all()
        for tenant, own in ((0, "secret 1"), (1, "secret 2")):
            foreign = {"secret 1", "secret 2"} - {own}
            for question in (LAKE_AGAIN, LAKE):
                answer = await gateway.ask(question, tenant=tenant, headers={"cache-control": "no-store"})
                assert text_of(answer) not in foreign
                assert swapped == "vector" or outcome(answer) == "miss"

    run(tmp_path, scenario)


def test_c08_a_row_whose_key_was_changed_does_not_answer_for_another_question(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(LAKE)
        gateway.clock.advance(1)
        await gateway.ask("who owns the red boat")
        change_rows(gateway, "exact_key", lambda keys: [bytes(32), keys[0]])
        answer = await gateway.ask(LAKE, headers={"cache-control": "no-store"})
        assert text_of(answer) == f"You asked: {LAKE}"

    run(tmp_path, scenario)


# C-09, C-10


async def until_waiting(gateway: FakeGateway, count: int) -> None:
    """Wait until *count* requests wait for what is in the air."""
    async with asyncio.timeout(60):
        while sum(flight.waiters for flight in gateway.gateway.flights._shared.values()) < count:
            await asyncio.sleep(0.001)


def test_c09_a_thousand_equal_questions_at_once_are_one_upstream_call(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        answers = await asyncio.gather(*(gateway.ask(LAKE) for _ in range(1_000)))
        assert len(gateway.upstream.requests) == 1
        assert {text_of(answer) for answer in answers} == {f"You asked: {LAKE}"}
        assert {answer["hitproof"]["entry"] for answer in answers} == {answers[0]["hitproof"]["entry"]}

    many = Quota(concurrent_requests_max=2_000, concurrent_requests_per_key_max=2_000)
    run(tmp_path, scenario, Options(quota=many, settings={**PATIENT, "concurrency_max": 2_000}))


def test_c09_whoever_is_left_is_served_when_the_first_who_asked_leaves(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.upstream.gate = asyncio.Event()
        leader = asyncio.create_task(gateway.chat(LAKE))
        while not gateway.upstream.requests:
            await asyncio.sleep(0.001)
        followers = [asyncio.create_task(gateway.chat(LAKE, stream=number % 2 == 1)) for number in range(8)]
        await until_waiting(gateway, 9)
        leader.cancel()
        await asyncio.gather(leader, return_exceptions=True)
        gateway.upstream.gate.set()
        responses = await asyncio.gather(*followers)
        assert [response.status_code for response in responses] == [200] * 8
        assert all(accounts_of(response.content)[0]["outcome"] == "miss" for response in responses)
        assert len(gateway.upstream.requests) == 1

    run(tmp_path, scenario)


def test_c09_an_error_is_shared_by_those_who_waited_and_by_nobody_later(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.upstream.gate, gateway.upstream.fault = asyncio.Event(), UpstreamUnavailable("down")
        waiting = [asyncio.create_task(gateway.chat(LAKE)) for _ in range(5)]
        await until_waiting(gateway, 5)
        gateway.upstream.gate.set()
        assert [response.status_code for response in await asyncio.gather(*waiting)] == [502] * 5
        assert len(gateway.upstream.requests) == 1
        gateway.upstream.fault = None
        assert outcome(await gateway.ask(LAKE)) == "miss"

    run(tmp_path, scenario)


def test_c10_two_tenants_with_one_question_are_two_upstream_calls(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.upstream.gate = asyncio.Event()
        gateway.upstream.answer = lambda request: f"for {gateway.upstream.salts[-1]}"
        waiting = [asyncio.create_task(gateway.ask(LAKE, tenant=number % 2)) for number in range(10)]
        await until_waiting(gateway, 10)
        gateway.upstream.gate.set()
        answers = await asyncio.gather(*waiting)
        assert len(gateway.upstream.requests) == 2
        entries = [{answer["hitproof"]["entry"] for answer in answers[tenant::2]} for tenant in (0, 1)]
        assert len(entries[0]) == len(entries[1]) == 1 and entries[0] != entries[1]

    run(tmp_path, scenario)


def test_an_answer_that_carries_another_tenant_is_stopped_at_the_door(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        flights = gateway.gateway.flights
        join = flights.join

        def confused(tenant: Any, key: Any, fly: Any) -> Any:
            return join(gateway.tenants[1].id, key, fly)

        flights.join = confused  # type: ignore[method-assign]  # the fault that the last wall is for
        response = await gateway.chat(LAKE)
        assert response.status_code == 500
        assert LAKE.encode() not in response.content
        streamed = await gateway.chat("who owns the red boat", stream=True)
        assert b"red boat" not in streamed.content
        assert b"hitproof_egress_refused_total 2.0" in (await gateway.client.get("/metrics")).content

    run(tmp_path, scenario)


# C-11


def test_c11_a_tenant_that_floods_evicts_only_its_own(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.set_policy(tenant=0, entries_max=5)
        await gateway.ask(LAKE, tenant=1)
        for number in range(12):
            gateway.clock.advance(1)
            await gateway.ask(f"what is the {number}th of the secret words in the long list", tenant=0)
        held = [(await gateway.call("GET", "/v1/cache/stats", tenant=tenant)).json()["entries"] for tenant in (0, 1)]
        assert held == [5, 1]
        assert outcome(await gateway.ask(LAKE, tenant=1)) == "hit"

    run(tmp_path, scenario)


# C-12


def test_c12_a_hit_does_not_make_an_entry_live_longer(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(LAKE, hitproof={"ttl": 100})
        for _ in range(9):
            gateway.clock.advance(10)
            assert outcome(await gateway.ask(LAKE)) == "hit"
            await gateway.settle()
        gateway.clock.advance(10.1)
        assert outcome(await gateway.ask(LAKE)) == "miss"

    run(tmp_path, scenario)


@pytest.mark.parametrize("jump_s", [-3_600, -86_400, 3_600])
def test_c12_a_clock_that_jumps_makes_no_age_negative_and_no_request_fail(tmp_path: Path, jump_s: int) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(LAKE, hitproof={"ttl": 86_400})
        gateway.clock.jump(jump_s)
        assert outcome(await gateway.ask(LAKE)) == "hit"
        assert outcome(await gateway.ask(LAKE, headers={"cache-control": "max-age=60"})) == (
            "miss" if jump_s > 0 else "hit"
        )

    run(tmp_path, scenario)


def test_c12_the_year_2038_is_a_year_like_any_other(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.clock.jump((2**31 * 1000 - gateway.clock.now_ms()) / 1000 - 1)
        await gateway.ask(LAKE, hitproof={"ttl": 60})
        gateway.clock.advance(2)
        assert outcome(await gateway.ask(LAKE)) == "hit"

    run(tmp_path, scenario)


@pytest.mark.parametrize("steered", [0.0, 0.1, 0.75])
def test_a_request_cannot_loosen_the_threshold(tmp_path: Path, steered: float) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.set_policy(threshold_ten_thousandths=9_900)
        await gateway.ask(LAKE)
        near = LAKE.replace("very deep", "deep")
        assert outcome(await gateway.ask(near, hitproof={"threshold": steered})) == "miss"
        gateway.set_policy(threshold_ten_thousandths=8_000)
        assert outcome(await gateway.ask(near.replace("old", "old old"), hitproof={"threshold": 0.999})) == "miss"

    run(tmp_path, scenario)


def test_steering_for_a_short_life_is_never_answered_with_more(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.set_policy(threshold_ten_thousandths=9_000, ttl_s=100, ttl_s_max=200)
        await gateway.ask(LAKE, hitproof={"ttl": 100_000})
        entry = (await gateway.call("GET", "/v1/cache/entries")).json()["data"][0]
        assert entry["expires_at_ms"] - entry["created_at_ms"] == 200_000

    run(tmp_path, scenario)


# C-13


def test_c13_an_erased_tenant_leaves_nothing_though_its_answers_were_in_the_air(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        erased = gateway.tenants[0].id
        await gateway.ask(LAKE)
        gateway.upstream.gate = asyncio.Event()
        in_the_air = [
            asyncio.create_task(gateway.chat(f"what is the {number}th word", stream=number % 2 == 0))
            for number in range(16)
        ]
        while len(gateway.upstream.requests) < 17:
            await asyncio.sleep(0.001)
        body = {"confirm": "tenant-0"}
        response = await gateway.call("DELETE", f"/admin/v1/tenants/{erased}", tenant=None, json=body)
        assert response.status_code == 200, response.text
        gateway.upstream.gate.set()
        await asyncio.gather(*in_the_air)
        assert (await gateway.chat("anybody?")).status_code == 401
        await gateway.settle()
        for table in ("entries", "data_keys", "entry_tags"):
            count = gateway.gateway.database.read_now(
                lambda connection, table=table: connection.execute(  # type: ignore[misc]
                    text(f"SELECT count(*) FROM {table} WHERE tenant_id = :tenant"), {"tenant": erased}
                ).scalar_one()
            )
            assert count == 0, table
        assert outcome(await gateway.ask(LAKE, tenant=1)) == "miss"

    run(tmp_path, scenario)


# C-14


def test_c14_a_backup_from_before_the_erasure_holds_nothing_that_reads_as_text(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask("the word is halcyon-9d1f and nothing else")
        database, backup = gateway.gateway.database, tmp_path / "backup.db"
        database.read_now(lambda connection: connection.execute(text(f"VACUUM INTO '{backup}'")))
        assert b"halcyon-9d1f" not in backup.read_bytes()
        gateway.erase()

    run(tmp_path, scenario)


# Steering, keys and the feed


def test_no_store_stores_nothing_and_no_cache_reads_nothing(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(LAKE, headers={"cache-control": "no-store"})
        assert (await gateway.call("GET", "/v1/cache/entries")).json()["data"] == []
        await gateway.ask(LAKE)
        assert outcome(await gateway.ask(LAKE, headers={"cache-control": "no-cache"})) == "miss"
        assert outcome(await gateway.ask(LAKE)) == "hit"

    run(tmp_path, scenario)


def test_a_key_that_shares_its_beginning_with_a_good_one_opens_nothing(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(LAKE)
        good = gateway.tenants[0].key
        body = good[:21] + ("a" * 32 if good[21:53] != "a" * 32 else "b" * 32)
        forged = body + _checksum(body)
        response = await gateway.client.get("/v1/models", headers={"authorization": f"Bearer {forged}"})
        assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")

    run(tmp_path, scenario)


def test_every_change_of_an_entry_stands_in_the_feed(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        first = (await gateway.ask(LAKE))["hitproof"]["entry"]
        await gateway.ask("quite another question about boats and harbours")
        await gateway.call("DELETE", f"/v1/cache/entries/{first}")
        hit = (await gateway.ask("quite another question about boats and harbours"))["hitproof"]["hit"]
        await gateway.call("POST", "/v1/cache/feedback", json={"hit": hit, "verdict": "bad"})
        rows = gateway.gateway.database.read_now(
            lambda connection: connection.execute(
                text("SELECT operation FROM feed WHERE entry_id IS NOT NULL ORDER BY seq")
            ).all()
        )
        assert [row[0] for row in rows] == ["add", "add", "remove", "remove"]

    run(tmp_path, scenario)


def test_other_processes_learn_of_an_entry_and_of_its_end_through_the_feed(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask("quite another question about boats and harbours")
        options = Options(settings=PATIENT)
        async with fake_gateway(tmp_path, options) as second:
            assert outcome(await second.ask(LAKE_AGAIN, headers={"cache-control": "no-store"})) == "miss"
            entry = (await gateway.ask(LAKE))["hitproof"]["entry"]
            await second.settle()
            assert outcome(await second.ask(LAKE_AGAIN)) == "hit"
            await gateway.call("DELETE", f"/v1/cache/entries/{entry}")
            assert outcome(await second.ask(LAKE_AGAIN, headers={"cache-control": "no-store"})) == "miss"

    run(tmp_path, scenario)
