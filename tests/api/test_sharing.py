"""Sharing by consent through the gateway: who labels what, what is refused and how, and who sees what of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from server.identifiers import format_entry_id
from server.ports import JsonObject
from server.reuse.policy import ReusePolicy
from tests.api.in_process import in_process
from tests.fakes import Options
from tests.noised_houses import ALIAS, ALIASES, ANSWER, QUESTION, NoisedHouse, entry_of, run

WEAK = {"noised_epsilon_milli": 12_000, "noised_allow_weak": True}


def refused(response: httpx2.Response, status: int) -> str:
    """Return the code of an error."""
    assert response.status_code == status, response.text
    code: str = response.json()["error"]["code"]
    return code


async def call(house: NoisedHouse, method: str, path: str, **options: Any) -> httpx2.Response:
    return await house.gateway.call(method, path, **options)


async def share_of(house: NoisedHouse, entry: Any, *, tenant: int = 0) -> JsonObject:
    response = await call(house, "GET", f"/v1/cache/entries/{format_entry_id(entry)}/share", tenant=tenant)
    assert response.status_code == 200, response.text
    found: JsonObject = response.json()
    return found


# Labels


def test_a_request_labels_the_entry_that_it_stores(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label(epsilon="2.5")
        found = await share_of(house, entry)
        assert found == {
            "object": "cache.share", "entry": format_entry_id(entry), "state": "labelled", "reason": None,
            "epsilon": "2.5", "obfuscation": False, "at_ms": house.gateway.clock.now_ms(), "aliases": list(ALIASES),
            "published": None,
        }  # fmt: skip

    run(tmp_path, scenario)


def test_a_request_for_a_stream_labels_too(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        response = await house.gateway.chat(QUESTION, stream=True, hitproof={"share": True})
        assert response.status_code == 200
        page = (await call(house, "GET", "/v1/cache/shares")).json()
        assert [row["state"] for row in page["data"]] == ["labelled"]

    run(tmp_path, scenario)


def test_a_hit_labels_the_callers_own_entry(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = entry_of(await house.gateway.ask(QUESTION))
        assert house.find_share(entry) is None
        hit = await house.gateway.ask(QUESTION, hitproof={"share": {"aliases": list(ALIASES)}})
        assert hit["hitproof"]["outcome"] == "hit"
        assert house.state(entry) == ("labelled", None)
        # What is labelled already keeps its place in the line.
        house.gateway.clock.advance(60)
        await house.gateway.ask(QUESTION, hitproof={"share": True})
        assert (await share_of(house, entry))["at_ms"] == house.gateway.clock.now_ms() - 60_000

    run(tmp_path, scenario)


def test_a_hit_of_the_pool_labels_nothing(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        await house.publish_and_store()
        body = await house.gateway.ask(ALIAS, tenant=1, hitproof={"share": True})
        assert body["hitproof"]["tier"] == "pool"
        assert (await call(house, "GET", "/v1/cache/shares", tenant=1)).json()["data"] == []

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("policy", "options", "labelled"),
    [
        ({"share_tags": ("public",)}, {"tags": ["public"]}, True),
        ({"share_tags": ("public",)}, {"tags": ["other"]}, False),
        ({"share_tags": ("public",)}, {"tags": ["public"], "share": False}, False),
        ({"share_by_default": True}, {}, True),
        ({"share_by_default": True}, {"share": False}, False),
        ({}, {}, False),
    ],
)
def test_tags_and_policy_label_unless_the_request_declines(
    tmp_path: Path, policy: dict[str, Any], options: dict[str, Any], labelled: bool
) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = entry_of(await house.gateway.ask(QUESTION, hitproof=options))
        assert (house.find_share(entry) is not None) == labelled

    run(tmp_path, scenario, policy=policy)


def test_tags_and_policy_label_nothing_that_could_not_be_published(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        system = {"role": "system", "content": "You are the desk of Northwind."}
        entry = entry_of(await house.gateway.ask([system, {"role": "user", "content": QUESTION}]))
        assert house.find_share(entry) is None

    run(tmp_path, scenario, policy={"share_by_default": True})


def test_what_is_not_stored_is_not_labelled(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        body = await house.gateway.ask(QUESTION, hitproof={"share": True}, headers={"cache-control": "no-store"})
        assert body["hitproof"]["entry"] is None
        assert (await call(house, "GET", "/v1/cache/shares")).json()["data"] == []

    run(tmp_path, scenario)


def test_nobody_is_labelled_by_the_word_of_another_who_asks_at_the_same_time(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        house.runner.gate = asyncio.Event()
        words: tuple[JsonObject, ...] = ({"share": False}, {}, {"share": True})
        asked = [asyncio.create_task(house.gateway.ask(QUESTION, hitproof=word)) for word in words]
        for _ in range(200):
            await asyncio.sleep(0.01 if len(house.runner.requests) < 3 else 0)
        house.runner.gate.set()
        entries = [entry_of(body) for body in await asyncio.gather(*asked)]
        assert len(set(entries)) == 3
        assert [house.find_share(entry) is not None for entry in entries] == [False, False, True]

    run(tmp_path, scenario)


@pytest.mark.parametrize("sharing", ["off", "pooled"])
def test_a_policy_that_publishes_nothing_refuses_consent(tmp_path: Path, sharing: str) -> None:
    async def scenario(house: NoisedHouse) -> None:
        for wish in (True, {}, {"aliases": [ALIAS]}):
            response = await house.gateway.chat(QUESTION, hitproof={"share": wish})
            assert refused(response, 403) == "sharing_is_off"
        assert house.runner.requests == []
        entry = entry_of(await house.gateway.ask(QUESTION, hitproof={"share": False}))
        path = f"/v1/cache/entries/{format_entry_id(entry)}/share"
        assert refused(await call(house, "POST", path, json={}), 403) == "sharing_is_off"
        assert house.find_share(entry) is None

    run(tmp_path, scenario, policy={"sharing": sharing})


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"epsilon": "0"}, "hitproof.share.epsilon"),
        ({"epsilon": "-1"}, "hitproof.share"),
        ({"epsilon": 4}, "hitproof.share"),
        ({"aliases": ["x"] * 17}, "hitproof.share"),
        ({"aliases": ["with\na line"]}, "hitproof.share"),
        ({"alias": "?"}, "hitproof.share"),
        ("yes", "hitproof.share"),
    ],
)
def test_a_wish_of_another_form_is_refused_by_name(tmp_path: Path, wish: Any, param: str) -> None:
    async def scenario(house: NoisedHouse) -> None:
        response = await house.gateway.chat(QUESTION, hitproof={"share": wish})
        assert response.status_code == 400
        assert str(response.json()["error"]["param"]).startswith(param)

    run(tmp_path, scenario)


# By hand


def test_an_entry_is_labelled_published_shown_and_revoked_by_its_tenant(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = entry_of(await house.gateway.ask(QUESTION))
        path = f"/v1/cache/entries/{format_entry_id(entry)}/share"
        assert refused(await call(house, "GET", path), 404) == "not_found"
        made = await call(house, "POST", path, json={"aliases": list(ALIASES), "epsilon": "4"})
        assert (made.status_code, made.json()["state"], made.json()["epsilon"]) == (200, "labelled", "4")
        await house.publish_and_store()
        found = await share_of(house, entry)
        assert (found["state"], found["published"]) == (
            "published", {"texts": list(ALIASES), "release": 1, "state": "live"}
        )  # fmt: skip
        assert await house.is_in_pool()
        gone = await call(house, "DELETE", path)
        assert (gone.status_code, gone.json()["state"]) == (200, "revoked")
        assert gone.json()["published"] == {"texts": [], "release": 1, "state": "withdrawn"}
        assert not await house.is_in_pool()
        assert refused(await call(house, "POST", path, json={}), 409) == "conflict"
        assert (await call(house, "DELETE", path)).status_code == 200
        rows = (await call(house, "GET", "/admin/v1/audit-log?limit=500")).json()["data"]
        assert [row["action"] for row in rows if row["action"].startswith("share.")] == ["share.add", "share.revoke"]
        assert QUESTION not in str(rows) and ALIAS not in str(rows)

    run(tmp_path, scenario)


def test_what_a_client_put_can_be_labelled_and_is_refused_when_its_turn_comes(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        body = {"model": "fake-model", "messages": [{"role": "user", "content": QUESTION}], "answer": ANSWER}
        made = (await call(house, "POST", "/v1/cache/entries", json=body)).json()["id"]
        await call(house, "POST", f"/v1/cache/entries/{made}/share", json={"aliases": list(ALIASES)})
        await house.publish()
        shown = (await call(house, "GET", f"/v1/cache/entries/{made}/share")).json()
        assert (shown["state"], shown["reason"]) == ("refused", "not_attested")

    run(tmp_path, scenario)


def test_another_tenants_entry_and_share_are_none(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        path = f"/v1/cache/entries/{format_entry_id(entry)}/share"
        for method, json in (("GET", None), ("DELETE", None), ("POST", {})):
            assert refused(await call(house, method, path, tenant=1, json=json), 404) == "not_found"
        assert house.state(entry) == ("labelled", None)
        assert (await call(house, "GET", "/v1/cache/shares", tenant=1)).json()["data"] == []

    run(tmp_path, scenario)


def test_shares_are_listed_page_by_page_and_by_state(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entries = [format_entry_id(entry) for entry in await house.label_many(3)][::-1]
        await call(house, "DELETE", f"/v1/cache/entries/{entries[0]}/share")
        page = (await call(house, "GET", "/v1/cache/shares?limit=2")).json()
        assert ([row["entry"] for row in page["data"]], page["has_more"], page["last_id"]) == (
            entries[:2], True, entries[1]
        )  # fmt: skip
        assert "aliases" not in page["data"][0]
        rest = (await call(house, "GET", f"/v1/cache/shares?after={page['last_id']}")).json()
        assert ([row["entry"] for row in rest["data"]], rest["has_more"]) == (entries[2:], False)
        found = (await call(house, "GET", "/v1/cache/shares?state=revoked")).json()
        assert [row["entry"] for row in found["data"]] == entries[:1]
        assert refused(await call(house, "GET", "/v1/cache/shares?state=gone"), 400) == "invalid_value"

    run(tmp_path, scenario)


# What an administrator sees


def test_an_administrator_sees_how_it_shares_what_left_and_what_that_cost(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entries = await house.label_many(3)
        await house.publish_and_store()
        await call(house, "DELETE", f"/v1/cache/entries/{format_entry_id(entries[0])}/share")
        found = (await call(house, "GET", "/admin/v1/sharing")).json()
        assert (found["sharing"], found["noised_epsilon"], found["obfuscation"]) == ("noised", "8", False)
        assert found["labels"] == {"published": 2, "revoked": 1}
        assert [row["entry"] for row in found["left"]] == [format_entry_id(entry) for entry in entries[:0:-1]]
        # What was revoked was paid for all the same.
        (spending,) = house.spendings()
        assert found["spent"]["entries"] == 3
        assert found["spent"]["on_entries"] == found["spent"]["spent"] == {
            "epsilon_micro": 0, "rho_nano": spending.rho_nano, "delta_atto": 0
        }  # fmt: skip
        assert found["spent"]["budget"]["rho_nano"] > spending.rho_nano
        assert QUESTION not in str(found) and ALIAS not in str(found)

    run(tmp_path, scenario)


def test_the_platform_names_a_tenant_and_others_see_their_own_alone(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        own, other = house.gateway.tenants[0].id, house.gateway.tenants[1].id
        named = await call(house, "GET", f"/admin/v1/sharing?tenant={own}", tenant=None)
        assert (named.status_code, named.json()["tenant"]) == (200, own)
        assert (await call(house, "GET", "/admin/v1/sharing", tenant=None)).status_code == 400
        assert (await call(house, "GET", "/admin/v1/sharing?tenant=ten_none", tenant=None)).status_code == 404
        assert (
            await call(house, "GET", f"/admin/v1/sharing?tenant={house.parts.pool.id}", tenant=None)
        ).status_code == 404
        assert (await call(house, "GET", f"/admin/v1/sharing?tenant={other}", tenant=0)).status_code == 404

    run(tmp_path, scenario)


def test_above_eight_every_surface_says_obfuscation(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = await house.label()
        assert ((await share_of(house, entry))["epsilon"], (await share_of(house, entry))["obfuscation"]) == (
            "12",
            True,
        )
        assert (await call(house, "GET", "/v1/cache/shares")).json()["data"][0]["obfuscation"] is True
        assert (await call(house, "GET", "/admin/v1/sharing")).json()["obfuscation"] is True
        await house.publish()
        assert (await call(house, "GET", "/admin/v1/sharing")).json()["left"][0]["obfuscation"] is True
        # One that asked for less is none.
        careful = await house.label(f"{QUESTION} Pallet 4?", epsilon="8")
        assert (await share_of(house, careful))["obfuscation"] is False

    run(tmp_path, scenario, policy=WEAK)


def test_a_gateway_without_a_pool_says_that_nothing_was_spent(tmp_path: Path) -> None:
    policy = ReusePolicy(sharing="noised", share_by_default=True)
    with in_process(tmp_path, Options(policy=policy)) as house:
        entry = house.chat(QUESTION).json()["hitproof"]["entry"]
        assert house.call("GET", f"/v1/cache/entries/{entry}/share").status_code == 404
        assert house.call("GET", "/admin/v1/sharing").json()["spent"] is None
        assert house.call("POST", f"/v1/cache/entries/{entry}/share", json={}).json()["state"] == "labelled"
