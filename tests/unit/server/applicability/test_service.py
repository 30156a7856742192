"""Proofs in turns: what waits for what, what is refused, and what is left alone, on a prover that a test steers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from crypto.applicability.setup import load_setup
from crypto.applicability.statement import ApplicabilityStatement
from crypto.applicability.suites import Suite, find_suite
from server.applicability.build import ApplicabilityParts, build_applicability
from server.applicability.outcomes import ProvedHit, Unprovable
from server.audit.keys import ExportKeys
from server.audit.request import ExportRequest
from server.errors import RateLimited
from server.prover.errors import ProverBusy
from server.prover.prover import Prover
from server.reuse.tenant_directory import TenantContext
from server.store.applicability import ApplicabilityRepository
from server.store.retention import ProofRetention
from server.telemetry import Telemetry
from tenants.identifiers import EntryId, TenantId
from tests.fakes import FakeGateway, Options, SystemLikeRandom, fake_gateway

QUESTION = "Which lantern hangs over the northern gate of the harbour?"
ALIKE = "Which lantern hangs over the northern gate of our harbour?"
ALSO_ALIKE = "Which lantern hangs over the northern gate of your harbour?"
Scenario = Callable[[FakeGateway], Awaitable[None]]
DAY_S = 86_400
PROVER = Prover(load_setup())


class SteeredProver:
    """Proves in this process; each proof of a hit waits at *gate*, and a commitment can be made wrong."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.wanted: list[str] = []
        self.at_once = 0
        self.at_once_max = 0
        self.commits_to_something_else = False

    async def commit(self, suite_name: str, vector: Sequence[int], seed: bytes) -> bytes:
        found = PROVER.commit(_suite(suite_name), vector, seed)
        return bytes(len(found)) if self.commits_to_something_else else found

    async def prove_well_formedness(self, suite_name: str, vector: Sequence[int], seed: bytes) -> bytes:
        self.wanted.append("well-formedness")
        return PROVER.prove_well_formedness(_suite(suite_name), vector, seed)

    async def prove_applicability(self, statement: ApplicabilityStatement, vector: Sequence[int], seed: bytes) -> bytes:
        self.wanted.append("applicability")
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            await self.gate.wait()
            return PROVER.prove_applicability(statement, vector, seed, SystemLikeRandom())
        finally:
            self.at_once -= 1


class SlowRunner:
    """States nothing before it is told to; *asked* is set when somebody waits for it."""

    def __init__(self, inner: Callable[[TenantId, EntryId], Awaitable[str | None]]) -> None:
        self._inner = inner
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()

    async def state_now(self, tenant: TenantId, entry: EntryId) -> str | None:
        self.asked.set()
        await self.gate.wait()
        return await self._inner(tenant, entry)


def run(folder: Path, scenario: Scenario) -> None:
    async def play() -> None:
        async with fake_gateway(folder, Options()) as gateway:
            await scenario(gateway)

    asyncio.run(play())


def parts_of(
    gateway: FakeGateway, prover: SteeredProver, stater: SlowRunner | None = None, **settings: int
) -> ApplicabilityParts:
    inner = gateway.gateway
    return build_applicability(
        gateway.settings.model_copy(update=settings),
        Telemetry(),
        database=inner.database,
        tenants=inner.tenants,
        prover=prover,
        stater=stater or inner.embedding_statements,
        clock=gateway.clock,
        random=inner.state.random,
    )


async def hit_by_meaning(gateway: FakeGateway, text: str = ALIKE, tenant: int = 0) -> str:
    await gateway.ask(QUESTION, tenant=tenant)
    account = (await gateway.ask(text, tenant=tenant))["hitproof"]
    assert account["tier"] == "private", account
    await gateway.settle()
    found: str = account["hit"]
    return found


async def context_of(gateway: FakeGateway, tenant: int = 0) -> TenantContext:
    return await gateway.gateway.tenants.get(gateway.tenants[tenant].id)


def test_two_who_want_one_proof_at_once_get_the_same(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        prover, hit, tenant = SteeredProver(), await hit_by_meaning(gateway), await context_of(gateway)
        service = parts_of(gateway, prover).service
        first, second = await asyncio.gather(service.ensure(tenant, hit), service.ensure(tenant, hit))
        assert isinstance(first, ProvedHit) and first == second
        assert prover.wanted == ["well-formedness", "applicability"]

    run(tmp_path, scenario)


def test_a_proof_lies_sealed_and_opens_and_is_made_under_keys_that_were_in_force(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gateway.set_policy(threshold_ten_thousandths=9_000, ttl_s=200 * DAY_S, ttl_s_max=200 * DAY_S)
        hit, tenant = await hit_by_meaning(gateway), await context_of(gateway)
        also = await hit_by_meaning(gateway, ALSO_ALIKE)
        service = parts_of(gateway, SteeredProver()).service
        made = await service.ensure(tenant, hit)
        assert isinstance(made, ProvedHit) and made.proof.document.startswith(b"{")
        stored = gateway.gateway.database.read_now(lambda c: ApplicabilityRepository(c, tenant.id).get(hit))
        assert stored is not None and b"hitproof/applicability" not in stored.document
        gateway.clock.advance(91 * DAY_S)
        renewed = await context_of(gateway)
        assert (tenant.data_key.epoch, renewed.data_key.epoch) == (1, 2)
        assert await service.ensure(renewed, hit) == made
        assert isinstance(await service.ensure(renewed, also), ProvedHit)

    run(tmp_path, scenario)


def test_a_proof_that_does_not_open_is_said_not_to(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        hits = [await hit_by_meaning(gateway, text) for text in (ALIKE, ALSO_ALIKE)]
        tenant, service = await context_of(gateway), parts_of(gateway, SteeredProver()).service
        for hit in hits:
            assert isinstance(await service.ensure(tenant, hit), ProvedHit)
        swap = (
            "UPDATE applicability SET document = "
            "(SELECT document FROM applicability AS other WHERE other.hit_id <> applicability.hit_id)"
        )
        gateway.gateway.database.write_now(lambda c: c.exec_driver_sql(f"{swap} WHERE hit_id = '{hits[0]}'"))
        assert await service.ensure(tenant, hits[0]) == Unprovable("does_not_open")
        assert isinstance(await service.ensure(tenant, hits[1]), ProvedHit)

    run(tmp_path, scenario)


def test_of_a_query_that_is_forgotten_meanwhile_no_proof_appears(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        prover, hit, tenant = SteeredProver(), await hit_by_meaning(gateway), await context_of(gateway)
        prover.gate.clear()
        waiting = asyncio.create_task(parts_of(gateway, prover).service.ensure(tenant, hit))
        while not prover.at_once:
            await asyncio.sleep(0.01)
        forget = gateway.gateway.database.write_now
        before_ms = gateway.clock.now_ms() + 1
        assert forget(lambda c: ProofRetention(c, tenant.id).forget_query_vectors(before_ms=before_ms, limit=9)) == 1
        prover.gate.set()
        assert await waiting == Unprovable("query_not_kept")
        assert gateway.gateway.database.read_now(lambda c: ApplicabilityRepository(c, tenant.id).get(hit)) is None

    run(tmp_path, scenario)


def test_proofs_are_made_one_at_a_time(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        hits = [await hit_by_meaning(gateway, text) for text in (ALIKE, ALSO_ALIKE)]
        prover, tenant = SteeredProver(), await context_of(gateway)
        service = parts_of(gateway, prover).service
        made = await asyncio.gather(*(service.ensure(tenant, hit) for hit in hits))
        assert [type(one) for one in made] == [ProvedHit, ProvedHit]
        assert prover.at_once_max == 1
        assert prover.wanted == ["well-formedness", "applicability", "applicability"]

    run(tmp_path, scenario)


def test_beyond_the_queue_nobody_waits(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        first, second = [await hit_by_meaning(gateway, text) for text in (ALIKE, ALSO_ALIKE)]
        prover, tenant = SteeredProver(), await context_of(gateway)
        service = parts_of(gateway, prover, applicability_queue_max=1).service
        prover.gate.clear()
        waiting = asyncio.create_task(service.ensure(tenant, first))
        while not prover.wanted:
            await asyncio.sleep(0.01)
        with pytest.raises(ProverBusy):
            await service.ensure(tenant, second)
        prover.gate.set()
        assert isinstance(await waiting, ProvedHit)
        assert isinstance(await service.ensure(tenant, second), ProvedHit)

    run(tmp_path, scenario)


def test_a_runner_that_takes_its_time_holds_up_nobody_else(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        slow, quick = await hit_by_meaning(gateway), await hit_by_meaning(gateway, tenant=1)
        prover, contexts = SteeredProver(), [await context_of(gateway, number) for number in (0, 1)]
        assert isinstance(await parts_of(gateway, prover).service.ensure(contexts[1], quick), ProvedHit)
        quicker = await hit_by_meaning(gateway, ALSO_ALIKE, tenant=1)
        stater = SlowRunner(gateway.gateway.embedding_statements.state_now)
        service = parts_of(gateway, prover, stater, applicability_queue_max=1).service
        waiting = asyncio.create_task(service.ensure(contexts[0], slow))
        await stater.asked.wait()
        assert isinstance(await service.ensure(contexts[1], quicker), ProvedHit)
        stater.gate.set()
        assert isinstance(await waiting, ProvedHit)

    run(tmp_path, scenario)


def test_beyond_a_tenants_limit_no_runner_is_asked(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        hit, tenant = await hit_by_meaning(gateway), await context_of(gateway)
        stater = SlowRunner(gateway.gateway.embedding_statements.state_now)
        service = parts_of(gateway, SteeredProver(), stater, applicability_per_minute=0).service
        with pytest.raises(RateLimited):
            await asyncio.wait_for(service.ensure(tenant, hit), 5)
        assert not stater.asked.is_set()

    run(tmp_path, scenario)


class LateProver(SteeredProver):
    """Takes six minutes for every proof of a hit."""

    def __init__(self, gateway: FakeGateway) -> None:
        super().__init__()
        self._gateway = gateway

    async def prove_applicability(self, statement: ApplicabilityStatement, vector: Sequence[int], seed: bytes) -> bytes:
        self._gateway.clock.advance(360)
        return await super().prove_applicability(statement, vector, seed)


def test_an_export_waits_for_its_proofs_no_longer_than_minutes(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        for text in (ALIKE, ALSO_ALIKE):
            await hit_by_meaning(gateway, text)
        missing = parts_of(gateway, LateProver(gateway)).missing
        assert await missing.make(gateway.tenants[0].id, ExportRequest(applicability=True)) == 1

    run(tmp_path, scenario)


def test_a_gateway_that_ends_does_not_wait_for_an_exports_proofs(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        state, owner = gateway.gateway.state, gateway.tenants[0].id
        context, began = await context_of(gateway), asyncio.Event()

        async def prepare() -> None:
            began.set()
            await asyncio.sleep(3_600)

        keys = ExportKeys(context.pseudonym_key, context.open_with, state.gateway_signer)
        job = await state.export_jobs.start(owner, keys, ExportRequest(), prepare=prepare)
        await began.wait()
        await asyncio.wait_for(state.export_jobs.stop(), 30)
        ended = await state.export_jobs.get(owner, job.id)
        assert (ended.state, ended.error) == ("failed", "the gateway ended before the export did; start it again")

    run(tmp_path, scenario)


def test_behind_the_answers_one_step_looks_at_so_many_tenants_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        monkeypatch.setattr("server.applicability.background.TENANTS_PER_STEP", 1)
        await hit_by_meaning(gateway, tenant=1)
        background = parts_of(gateway, SteeredProver()).background
        steps = [await background.step() for _ in range(2 * len(gateway.tenants))]
        assert steps.count(True) == 1

    run(tmp_path, scenario)


def test_a_statement_that_commits_to_another_vector_is_never_proved_under(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        prover, hit, tenant = SteeredProver(), await hit_by_meaning(gateway), await context_of(gateway)
        prover.commits_to_something_else = True
        assert await parts_of(gateway, prover).service.ensure(tenant, hit) == Unprovable("not_provable")
        assert prover.wanted == []

    run(tmp_path, scenario)


def test_behind_the_answers_no_tenant_waits_for_all_of_anothers(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        many = [await hit_by_meaning(gateway, text) for text in (ALIKE, ALSO_ALIKE)]
        few = await hit_by_meaning(gateway, tenant=1)
        background = parts_of(gateway, SteeredProver()).background
        assert [await background.step() for _ in range(2)] == [True, True]
        database = gateway.gateway.database
        one, other = gateway.tenants[0].id, gateway.tenants[1].id
        assert database.read_now(lambda c: len(ApplicabilityRepository(c, one).list_of_hits(many))) == 1
        assert database.read_now(lambda c: ApplicabilityRepository(c, other).get(few)) is not None

    run(tmp_path, scenario)


def test_behind_the_answers_what_cannot_be_proved_is_tried_once(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await hit_by_meaning(gateway)
        prover = SteeredProver()
        prover.commits_to_something_else = True
        background = parts_of(gateway, prover).background
        assert [await background.step() for _ in range(3)] == [False, False, False]
        prover.commits_to_something_else = False
        assert await background.step() is False

    run(tmp_path, scenario)


def test_behind_the_answers_old_hits_are_left_to_those_who_ask(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        hit, tenant = await hit_by_meaning(gateway), await context_of(gateway)
        parts = parts_of(gateway, SteeredProver())
        gateway.clock.advance(3_601)
        assert await parts.background.step() is False
        assert isinstance(await parts.service.ensure(tenant, hit), ProvedHit)

    run(tmp_path, scenario)


def test_behind_the_answers_an_entry_has_no_more_proofs_than_it_may(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        for text in (ALIKE, ALSO_ALIKE):
            await hit_by_meaning(gateway, text)
        background = parts_of(gateway, SteeredProver(), applicability_per_entry_hour=1).background
        assert [await background.step() for _ in range(3)] == [True, False, False]

    run(tmp_path, scenario)


def _suite(name: str) -> Suite:
    found = find_suite(name)
    assert found is not None
    return found
