"""Hits of the pool before an auditor: what they matched was published, and is told to those alone who may read."""

from __future__ import annotations

import asyncio
from pathlib import Path

from crypto.reference.proof_file import verify_proof_file as second_opinion
from crypto.verify import AuditOptions, verify_proof_file
from server.audit.request import ExportRequest
from server.setup import create_key
from tests.api.test_pool_export import audited, check_of, export, publish, run, trust_of
from tests.fakes import PEPPER, SeededRandom
from tests.pool_houses import QUESTION, PoolHouse


def auditor_of(house: PoolHouse, tenant: int) -> str:
    """Make a key that may export proofs and read nothing."""
    owner, now_ms = house.gateway.tenants[tenant].id, house.gateway.clock.now_ms()
    _, text = house.database.write_now(
        lambda connection: create_key(
            connection, owner, role="auditor", scopes=None, label="test", expires_at_ms=None, pepper=PEPPER,
            actor="test", now_ms=now_ms, random=SeededRandom(99),
        )
    )  # fmt: skip
    return text


def test_what_a_hit_of_the_pool_matched_is_shown_to_both_verifiers(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house)
        hit = (await house.gateway.ask(QUESTION, tenant=11))["hitproof"]["hit"]
        found, parts = audited(house, await export(house, 11, ExportRequest(kinds=("query_vector",))))
        assert [line.hit for line in parts.matches] == [line.hit for line in parts.queries] == [hit]
        assert (check_of(found, "applicability"), found.applicable) == ("passed", frozenset({hit}))

    run(tmp_path, scenario)


def test_what_a_hit_of_the_pool_matched_is_told_to_nobody_who_may_not_read(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house)
        hit = (await house.gateway.ask(QUESTION, tenant=11))["hitproof"]["hit"]
        _, parts = audited(house, await export(house, 11))
        assert parts.matches == ()
        path, auditor = f"/v1/hits/{hit}/proof?applicability=1", auditor_of(house, 11)
        refused = await house.gateway.call("GET", path, tenant=11, headers={"Authorization": f"Bearer {auditor}"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "missing_scope")

    run(tmp_path, scenario)


def test_a_hit_of_the_pool_is_shown_to_be_one_by_a_file_of_its_own(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house)
        hit = (await house.gateway.ask(QUESTION, tenant=11))["hitproof"]["hit"]
        path = f"/v1/hits/{hit}/proof?applicability=1"
        while (answer := await house.gateway.call("GET", path, tenant=11)).status_code == 202:
            await asyncio.sleep(0.05)
        assert answer.status_code == 200, answer.text
        trust, now_ms = trust_of(house), house.gateway.clock.now_ms()
        assert verify_proof_file(answer.content, trust, AuditOptions(now_ms=now_ms)).applicable == {hit}
        assert second_opinion(answer.content, trust, now_ms=now_ms).applicable == {hit}

    run(tmp_path, scenario)
