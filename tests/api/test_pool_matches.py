"""Matches of pool hits from outside: fetched as a proof file or in a bundle, and held to both verifiers."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from crypto.bundle import parse_bundle
from crypto.canonical import canonical_json, parse_canonical_json
from crypto.ed25519 import SigningKey
from crypto.reference.proof_file import verify_proof_file as verify_again
from crypto.reference.verify import verify as verify_bundle_again
from crypto.tlog_proof import parse_tlog_proof
from crypto.trust import sign_trust
from crypto.verify import AuditOptions, verify_bundle, verify_proof_file
from server.identifiers import format_entry_id
from server.ports import JsonObject
from server.trust_document import DAY_MS, TrustTerms, draft_trust
from tests import noised_houses
from tests.noised_houses import ALIAS, NoisedHouse
from tests.pool_houses import QUESTION, PoolHouse, pool_house

ALL = range(12)
LOG: dict[str, Any] = {"log_sequencer": True, "log_interval_s": 0.03}
ROOT = SigningKey(b"\x07" * 32)


def run(folder: Path, scenario: Callable[[PoolHouse], Awaitable[None]], **options: Any) -> None:
    async def work() -> None:
        async with pool_house(folder, **LOG, **options) as house:
            await scenario(house)

    asyncio.run(work())


def trust_of(house: PoolHouse) -> bytes:
    terms, now_ms = TrustTerms((ROOT.public_key,), 1, DAY_MS), house.gateway.clock.now_ms()
    draft = house.database.read_now(lambda c: draft_trust(c, terms, version=1, now_ms=now_ms))
    return sign_trust(draft.to_payload(), [ROOT]).encode()


async def hit(house: PoolHouse, text: str, tenant: int) -> str:
    """Have *tenant* ask *text*, be answered from the pool, and return the hit."""
    account: JsonObject = (await house.gateway.ask(text, tenant=tenant))["hitproof"]
    assert (account["outcome"], account["tier"]) == ("hit", "pool"), account
    return str(account["hit"])


async def publish(house: PoolHouse) -> None:
    """Have eleven organisations ask one question, and the pool answer it."""
    await house.ask(QUESTION, ALL[:11])
    await house.release_last()
    await house.until_live()


async def fetch(house: PoolHouse, hit: str, tenant: int) -> str:
    """Return the proof file of *hit* with what it matched."""
    path = f"/v1/hits/{hit}/proof?applicability=1"
    for _ in range(200):
        answer = await house.gateway.call("GET", path, tenant=tenant)
        if answer.status_code == 200:
            return answer.text
        assert answer.status_code == 202, answer.text
        await asyncio.sleep(0.05)
    raise AssertionError(path)


def shown_in(file: str) -> JsonObject:
    extra = parse_tlog_proof(file).extra
    assert extra is not None
    value: Any = parse_canonical_json(extra)
    found: JsonObject = value["applicability"]
    return found


def changed(file: str, change: Callable[[Any], None]) -> str:
    """Return *file* with something else in its `extra` line."""
    extra = parse_tlog_proof(file).extra
    assert extra is not None
    value: Any = parse_canonical_json(extra)
    change(value["applicability"])
    written = base64.b64encode(canonical_json(value)).decode()
    return file.replace(base64.b64encode(extra).decode(), written)


def judged(house: PoolHouse, file: str) -> tuple[int, str | None, int]:
    """Return what both verifiers say of a proof file: exit code, first reason, and how many hits are shown close."""
    trust, now_ms = trust_of(house), house.gateway.clock.now_ms()
    first = verify_proof_file(file.encode(), trust, AuditOptions(now_ms=now_ms))
    second = verify_again(file.encode(), trust, now_ms=now_ms)
    reasons = [failure.reason for check in first.report.checks for failure in check.failures]
    said = first.report.exit_code, reasons[0] if reasons else None
    assert said == (second.exit_code, second.reason)
    if said[0] == 0:
        assert first.applicable == second.applicable
    return *said, len(first.applicable)


def test_whoever_the_pool_answered_can_show_that_it_was_close(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house)
        file = await fetch(house, await hit(house, QUESTION, 11), 11)
        shown = shown_in(file)
        assert set(shown) == {"match", "query", "release"}
        assert shown["match"]["alias"] == "how do i reset the password of my account"
        assert judged(house, file) == (0, None, 1)

    run(tmp_path, scenario)


def test_a_hit_on_what_a_tenant_published_shows_its_public_question(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        await house.label()
        await house.publish_and_store()
        file = await fetch(house.house, await hit(house.house, ALIAS, 1), 1)
        assert shown_in(file)["match"]["alias"] == ALIAS
        assert judged(house.house, file) == (0, None, 1)
        assert noised_houses.QUESTION not in str(parse_tlog_proof(file).extra)

    noised_houses.run(tmp_path, scenario, **LOG)


def test_a_changed_match_query_or_release_is_refused_by_both(tmp_path: Path) -> None:
    changes: list[tuple[Callable[[Any], None], set[str]]] = [
        (lambda shown: shown["match"].update(alias="how do i reset it"), {"match_invalid"}),
        (lambda shown: shown["match"].update(position=1), {"match_invalid"}),
        (lambda shown: shown["match"]["path"].append("00" * 32), {"match_invalid"}),
        (lambda shown: shown["match"]["item"].update(profile="polite"), {"match_invalid"}),
        (lambda shown: shown["match"].update(vector=[0] * len(shown["match"]["vector"])), {"match_invalid"}),
        (lambda shown: shown["match"]["vector"].pop(), {"match_invalid"}),
        (lambda shown: shown["query"]["vector"].reverse(), {"opening_mismatch"}),
        (lambda shown: shown["query"].update(salt="00" * 32), {"opening_mismatch"}),
        (lambda shown: shown["release"].update(organisations=7), {"match_invalid", "release_unlogged"}),
        (lambda shown: shown["release"]["items"].update(root="00" * 32), {"match_invalid", "release_unlogged"}),
    ]

    async def scenario(house: PoolHouse) -> None:
        await publish(house)
        file = await fetch(house, await hit(house, QUESTION, 11), 11)
        for change, reasons in changes:
            code, reason, shown = judged(house, changed(file, change))
            assert (code, shown) == (1, 0) and reason in reasons, (reason, reasons)

    run(tmp_path, scenario)


def test_the_query_of_another_hit_does_not_open_this_one(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house)
        other = shown_in(await fetch(house, await hit(house, "How do I reset the password of my account now?", 11), 11))
        file = await fetch(house, await hit(house, QUESTION, 11), 11)
        put_query = changed(file, lambda shown: shown.update(query=other["query"]))
        assert judged(house, put_query)[:2] == (1, "opening_mismatch")

    run(tmp_path, scenario, policy={"threshold_ten_thousandths": 8_000})


def test_a_match_is_shown_to_the_hits_own_tenant_alone(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house)
        found = await hit(house, QUESTION, 11)
        assert shown_in(await fetch(house, found, 11))["query"] is not None
        answer = await house.gateway.call("GET", f"/v1/hits/{found}/proof?applicability=1", tenant=0)
        assert answer.status_code == 404

    run(tmp_path, scenario)


def test_what_was_withdrawn_from_the_pool_is_said_to_be_gone(tmp_path: Path) -> None:
    async def scenario(house: NoisedHouse) -> None:
        entry = format_entry_id(await house.label())
        await house.publish_and_store()
        found = await hit(house.house, ALIAS, 1)
        await fetch(house.house, found, 1)
        revoked = await house.gateway.call("DELETE", f"/v1/cache/entries/{entry}/share", tenant=0)
        assert revoked.status_code < 300, revoked.text
        answer = await house.gateway.call("GET", f"/v1/hits/{found}/proof?applicability=1", tenant=1)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "entry_gone")

    noised_houses.run(tmp_path, scenario, **LOG)


def test_a_bundle_whose_queries_are_opened_shows_what_the_pools_hits_matched(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house)
        found = await hit(house, QUESTION, 11)
        data = await exported(house, {"open": ["query_vector"]}, tenant=11)
        parts, now_ms, trust = parse_bundle(data).parts, house.gateway.clock.now_ms(), trust_of(house)
        assert [line.hit for line in parts.matches] == [line.hit for line in parts.queries] == [found]
        first = verify_bundle(data, trust, AuditOptions(now_ms=now_ms))
        second = verify_bundle_again(data, trust, now_ms=now_ms, max_age_ms=None, last_seen=None)
        assert (first.report.exit_code, second.exit_code) == (0, 0), (first.report, second)
        assert first.applicable == second.applicable == frozenset({found})

    run(tmp_path, scenario)


def test_a_bundle_whose_queries_stay_closed_does_not_say_what_the_pools_hits_were_about(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house)
        await hit(house, QUESTION, 11)
        data = await exported(house, {}, tenant=11)
        parts = parse_bundle(data).parts
        assert (parts.matches, parts.queries) == ((), ())
        assert b"reset the password" not in data

    run(tmp_path, scenario)


async def exported(house: PoolHouse, body: JsonObject, *, tenant: int) -> bytes:
    """Have *tenant* export a bundle over the API, and return it."""
    started = await house.gateway.call("POST", "/v1/audit/export", tenant=tenant, json=body)
    assert started.status_code == 202, started.text
    job = started.json()["id"]
    for _ in range(400):
        state = (await house.gateway.call("GET", f"/v1/audit/export/{job}", tenant=tenant)).json()
        if state["state"] != "running":
            break
        await asyncio.sleep(0.05)
    assert state["state"] == "done", state
    return (await house.gateway.call("GET", f"/v1/audit/export/{job}/bundle", tenant=tenant)).content
