"""What an auditor gets of the pool: the ledger whole, every release, and the pool's receipts that answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from crypto.bundle import BundleParts, parse_bundle
from crypto.ed25519 import SigningKey
from crypto.reference.verify import verify as second_opinion
from crypto.release import parse_release
from crypto.trust import sign_trust
from crypto.verify import AuditOptions, Verification, verify_bundle
from server.audit.export import Exporter
from server.audit.keys import ExportKeys, PoolKeys
from server.audit.request import ExportError, ExportRequest
from server.audit.settling import settle
from server.trust_document import DAY_MS, TrustTerms, draft_trust
from tenants.identifiers import TenantId
from tests.pool_houses import QUESTION, PoolHouse, pool_house

ALL = range(12)
KINDS = ("output", "output_tokens", "prompt", "prompt_tokens")
ROOT = SigningKey(b"\x07" * 32)
LOG: dict[str, Any] = {"log_sequencer": True, "log_interval_s": 0.03}


def run(folder: Path, scenario: Callable[[PoolHouse], Awaitable[None]], **options: Any) -> None:
    async def work() -> None:
        async with pool_house(folder, **LOG, **options) as house:
            await scenario(house)

    asyncio.run(work())


async def publish(house: PoolHouse) -> None:
    """Have eleven organisations ask one question, and the pool answer it."""
    await house.ask(QUESTION, ALL[:11])
    ended = await house.release_last()
    assert (ended.state, ended.reason) == ("released", None)
    await house.until_live()


async def export(house: PoolHouse, tenant: int | TenantId, request: ExportRequest | None = None) -> bytes:
    """Return the bundle of a tenant, by its place in the house or by its id."""
    gateway, clock = house.gateway.gateway, house.gateway.clock
    await gateway.state.hit_journal.flush()
    name = house.gateway.tenants[tenant].id if isinstance(tenant, int) else tenant
    random = gateway.state.random
    checkpoint = await asyncio.to_thread(settle, house.database, name, clock=clock, random=random)
    own, pool = await gateway.tenants.get(name), await house.parts.pool.context()
    keys = ExportKeys(
        own.pseudonym_key,
        own.open_with,
        gateway.state.gateway_signer,
        PoolKeys(house.parts.pool.id, pool.pseudonym_key, pool.open_with, pool),
        own.hit_salt_key,
    )
    exporter = Exporter(house.database, gateway.proving.log.storage, name, keys, clock)
    return exporter.export(request or ExportRequest(), checkpoint, lambda _done, _total: None).data


def trust_of(house: PoolHouse) -> bytes:
    terms, now_ms = TrustTerms((ROOT.public_key,), 1, DAY_MS), house.gateway.clock.now_ms()
    draft = house.database.read_now(lambda c: draft_trust(c, terms, version=1, now_ms=now_ms))
    return sign_trust(draft.to_payload(), [ROOT]).encode()


def audited(house: PoolHouse, data: bytes) -> tuple[Verification, BundleParts]:
    """Hold a bundle to both verifiers; return what the first found, and the parts."""
    now_ms, trust = house.gateway.clock.now_ms(), trust_of(house)
    found = verify_bundle(data, trust, AuditOptions(now_ms=now_ms, max_age_ms=60_000))
    assert found.report.exit_code == 0, found.report
    second = second_opinion(data, trust, now_ms=now_ms, max_age_ms=60_000)
    assert second.exit_code == 0, second
    return found, parse_bundle(data).parts


def check_of(found: Verification, name: str) -> str:
    return next(check.status for check in found.report.checks if check.name == name)


def test_whoever_the_pool_answered_can_show_it_with_the_ledger_and_the_release(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house)
        body = await house.gateway.ask(QUESTION, tenant=11)
        assert body["hitproof"]["tier"] == "pool"
        found, parts = audited(house, await export(house, 11, ExportRequest(kinds=KINDS)))
        assert check_of(found, "ledger") == "passed"
        assert [record.tier for line in parts.hits for record in line.records] == ["pool"]
        # Its organisation paid although it had asked nothing: who shares pays for every release.
        assert [line.document.number for line in parts.spendings] == [1]
        assert [line.document.number for line in parts.releases] == [1]
        assert parts.scope.organisation == parts.spendings[0].document.organisation
        assert parts.scope.pool is not None
        assert parts.scope.pool.tenant == house.parts.pool.id
        assert {line.kind for line in parts.openings} == set(KINDS)
        answered = [line for line in parts.openings if line.kind == "output"]
        assert [choice["message"]["content"] for choice in answered[0].value] == [  # type: ignore[index, union-attr, call-overload]
            body["choices"][0]["message"]["content"]
        ]

    run(tmp_path, scenario)


def test_a_voters_bundle_tells_its_own_ledger_and_nobody_elses(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house)
        for _ in range(2):
            await house.next_epoch()
            await house.release_last()
        pseudonyms = set()
        for tenant in (0, 1):
            found, parts = audited(house, await export(house, tenant))
            assert check_of(found, "ledger") == "passed"
            assert parts.scope.pool is None
            assert len(parts.releases) == len(house.releases())
            assert len(parts.spendings) == sum(row.state == "released" for row in house.releases())
            assert {line.document.organisation for line in parts.spendings} == {parts.scope.organisation}
            assert all(line.head is not None for line in parts.releases)
            pseudonyms.add(parts.scope.organisation)
        assert len(pseudonyms) == 2

    run(tmp_path, scenario)


def test_a_reader_that_shares_nothing_has_no_ledger_and_sees_the_releases_that_answered_it(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        house.gateway.set_policy(tenant=11, threshold_ten_thousandths=9_000, pool_read=True)
        await publish(house)
        _, parts = audited(house, await export(house, 11))
        assert (parts.releases, parts.spendings, parts.scope.organisation, parts.scope.pool) == ((), (), None, None)
        assert (await house.gateway.ask(QUESTION, tenant=11))["hitproof"]["tier"] == "pool"
        found, parts = audited(house, await export(house, 11))
        assert check_of(found, "ledger") == "passed"
        assert (parts.spendings, parts.scope.organisation) == ((), None)
        assert [(line.document.number, line.head) for line in parts.releases] == [(1, None)]
        assert parts.scope.pool is not None

    run(tmp_path, scenario)


def test_a_scope_of_time_cuts_hits_and_receipts_and_never_the_ledger(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house)
        await house.gateway.ask(QUESTION, tenant=11)
        now_ms = house.gateway.clock.now_ms()
        later, earlier = ExportRequest(since_ms=now_ms + 1), ExportRequest(until_ms=now_ms)
        for request in (later, earlier):
            _, parts = audited(house, await export(house, 11, request))
            assert (parts.hits, parts.receipts, parts.scope.pool) == ((), (), None)
            assert (len(parts.spendings), len(parts.releases)) == (1, 1)

    run(tmp_path, scenario)


def test_a_payment_whose_release_is_not_out_yet_verifies_and_so_does_its_void(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.ask(QUESTION, ALL[:11])
        epoch = house.epoch
        await house.next_epoch()
        await house.begin_and_die(epoch)
        _, parts = audited(house, await export(house, 0))
        assert (len(parts.spendings), len(parts.releases)) == (1, 0)
        house.gateway.clock.advance(3_600)
        await house.another_releaser().release(epoch)
        _, parts = audited(house, await export(house, 0))
        assert [line.document.state for line in parts.releases] == ["void", "released"]
        assert [line.document.release for line in parts.spendings] == [1, 2]

    run(tmp_path, scenario)


def test_a_bundle_before_any_release_does_not_cover_the_ledger(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await house.gateway.ask(QUESTION, tenant=0)
        found, parts = audited(house, await export(house, 0))
        assert check_of(found, "ledger") == "not_covered"
        assert (parts.releases, parts.spendings) == ((), ())

    run(tmp_path, scenario)


def test_the_pool_itself_is_nobody_whose_bundle_could_be_made(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house)
        with pytest.raises(ExportError, match="nobody's tenant"):
            await export(house, house.parts.pool.id)

    run(tmp_path, scenario)


def test_over_http_a_bundle_holds_the_pools_receipt_as_well(tmp_path: Path) -> None:
    async def scenario(house: PoolHouse) -> None:
        await publish(house)
        await house.gateway.ask(QUESTION, tenant=11)
        key = {"authorization": f"Bearer {house.gateway.tenants[11].key}"}
        answer = await house.gateway.client.get("/v1/audit/export", headers=key)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-hitproof-hits"] == "1"
        _, parts = audited(house, answer.content)
        document = parts.releases[0].document
        stored = house.releases()[0]
        assert document == parse_release(stored.document.encode())
        assert document.digest() == stored.digest

    run(tmp_path, scenario)
