"""Commitments in embedding statements: what a runner's must open to, what the gateway states itself, and at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto.applicability.setup import load_setup
from crypto.applicability.suites import SUITES, suite_for
from crypto.commitment import text_commitment, vector_commitment
from crypto.dsse import verify_envelope
from crypto.embedding_statement import EmbeddingStatement, parse_embedding
from server.identifiers import parse_entry_id
from server.ports import JsonObject
from server.prover.commitment import commit
from server.reuse.evidence_opening import unseal_opening
from server.reuse.quantise import quantise
from server.store.entries import EntryRepository
from server.store.log_records import StoredEvidence
from server.store.receipts import EvidenceRepository
from tenants.identifiers import EntryId
from tests.fakes import GATEWAY_KEY, FakeClock, FakeGateway, Options, fake_gateway
from tests.signing_runner import COMMIT, RUNNER_KEY, SigningRunner, unavailable

QUESTION = "Which lantern hangs over the northern gate of the harbour?"
STATED = {"embedding_statement_batch_max": 8, "embedding_statement_interval_s": 3600}
Scenario = Callable[[FakeGateway], Awaitable[None]]


def run(folder: Path, scenario: Scenario, **options: Any) -> None:
    async def play() -> None:
        async with fake_gateway(folder, Options(settings=STATED, **options)) as gateway:
            await scenario(gateway)

    asyncio.run(play())


def run_signed(folder: Path, scenario: Callable[[FakeGateway, SigningRunner], Awaitable[None]]) -> None:
    """Run *scenario* on a gateway whose upstream is a runner that signs."""
    clock = FakeClock()
    runner = SigningRunner(clock)
    run(folder, lambda gateway: scenario(gateway, runner), clock=clock, upstream=runner, upstream_kind="runner")


def entry_of(body: JsonObject) -> EntryId:
    found = parse_entry_id(body["hitproof"]["entry"])
    assert found is not None
    return found


def evidence(gateway: FakeGateway, entry: EntryId) -> StoredEvidence | None:
    owner = gateway.tenants[0].id

    def load(connection: Any) -> StoredEvidence | None:
        name = EntryRepository(connection, owner).get_embedding_statement(entry)
        return None if name is None else EvidenceRepository(connection, owner).get(name)

    return gateway.gateway.database.read_now(load)


def counted(gateway: FakeGateway) -> dict[str, float]:
    """Return what the metric of statements says, by result."""
    (family,) = gateway.gateway.state.telemetry.embedding_statements.collect()
    return {one.labels["result"]: one.value for one in family.samples if one.name.endswith("_total")}


async def salts_of(gateway: FakeGateway, stored: StoredEvidence) -> dict[str, bytes]:
    tenant = await gateway.gateway.tenants.get(gateway.tenants[0].id)
    assert stored.opening is not None
    return unseal_opening(tenant.data_key, tenant.id, stored.id, stored.opening)


async def verify_opens(gateway: FakeGateway, stored: StoredEvidence, question: str, public_key: bytes) -> None:
    """Hold stored evidence to *public_key*, to *question* and to what its sealed opening opens."""
    envelope, statement = parse_embedding(stored.body or b"")
    verify_envelope(envelope, public_key)
    salts = await salts_of(gateway, stored)
    vector = quantise(gateway.embedder.embed([question]))[0]
    assert set(salts) == {"commitment", "text", "vector"}
    assert statement.text_commitment == text_commitment(salts["text"], question)
    assert statement.vector_commitment == vector_commitment(salts["vector"], vector.tobytes())
    suite = suite_for(len(vector))
    point = commit(load_setup(), suite, [int(part) for part in vector], salts["commitment"])
    assert (statement.suite, statement.commitment) == (suite.name, point.hex())


# A runner's


def test_a_runners_commitment_is_kept_with_the_seed_that_opens_it(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, _runner: SigningRunner) -> None:
        entry = entry_of(await gateway.ask(QUESTION))
        assert await gateway.gateway.embedding_statements.step() == 1
        stored = evidence(gateway, entry)
        assert stored is not None
        await verify_opens(gateway, stored, QUESTION, RUNNER_KEY.public_key)

    run_signed(tmp_path, scenario)


def other_suite(statement: EmbeddingStatement) -> EmbeddingStatement:
    return replace(statement, suite="hitproof/kzg-bls12381-4096/v1")


def other_point(statement: EmbeddingStatement) -> EmbeddingStatement:
    return replace(statement, commitment=COMMIT(SUITES[1], [1] * 384, bytes(32)).hex())


def no_commitment(statement: EmbeddingStatement) -> EmbeddingStatement:
    return replace(statement, commitment=None, suite=None)


def same(value: Any) -> Any:
    return value


@pytest.mark.parametrize(
    ("statement", "seed"),
    [
        (other_suite, same),
        (other_point, same),
        (no_commitment, same),
        (same, lambda _seed: None),
        (same, lambda seed: seed[::-1]),
        (same, lambda _seed: bytes(32)),
    ],
    ids=["another suite", "another vector", "a seed alone", "no seed", "another seed", "a seed of zeros"],
)
def test_a_commitment_that_is_not_to_the_stored_vector_is_not_stored(
    tmp_path: Path, statement: Callable[[EmbeddingStatement], EmbeddingStatement], seed: Callable[[Any], Any]
) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        entry = entry_of(await gateway.ask(QUESTION))
        runner.change_embedding, runner.change_seed = statement, seed
        assert await gateway.gateway.embedding_statements.step() == 0
        assert evidence(gateway, entry) is None

    run_signed(tmp_path, scenario)


def test_the_word_of_a_runner_that_commits_to_nothing_still_counts(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        runner.commits = False
        entry = entry_of(await gateway.ask(QUESTION))
        works = gateway.gateway.embedding_statements
        assert await works.step() == 1
        assert counted(gateway) == {"stored": 1}
        stored = evidence(gateway, entry)
        assert stored is not None
        assert set(await salts_of(gateway, stored)) == {"text", "vector"}
        assert await works.state_now(gateway.tenants[0].id, entry) is None
        assert evidence(gateway, entry) == stored, "the same word again says nothing new"

    run_signed(tmp_path, scenario)


def test_what_was_stated_without_a_commitment_is_stated_anew_when_one_is_needed(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        runner.commits = False
        entry = entry_of(await gateway.ask(QUESTION))
        works = gateway.gateway.embedding_statements
        assert await works.step() == 1
        before = evidence(gateway, entry)
        runner.commits = True
        assert await works.step() == 0, "nothing waits by itself: it is stated"
        name = await works.state_now(gateway.tenants[0].id, entry)
        after = evidence(gateway, entry)
        assert before is not None and after is not None
        assert (after.id, after.receipt_id) == (name, before.receipt_id)
        assert after.id != before.id
        await verify_opens(gateway, after, QUESTION, RUNNER_KEY.public_key)
        old = gateway.gateway.database.read_now(lambda c: EvidenceRepository(c, gateway.tenants[0].id).get(before.id))
        assert old is not None
        assert (old.body is None, old.opening) == (False, None)

    run_signed(tmp_path, scenario)


def test_an_entry_that_breaks_a_round_holds_no_other_up(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        for number in ("one", "two"):
            await gateway.ask(f"Which of the lanterns number {number} is lit at night?")
        runner.embedding_fault = RuntimeError("a fault of nobody's making")
        works = gateway.gateway.embedding_statements
        with pytest.raises(RuntimeError):
            await works.step()
        runner.embedding_fault = None
        assert await works.step() == 1

    run_signed(tmp_path, scenario)


def test_the_gateway_never_speaks_for_a_runner_that_is_away(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        entry = entry_of(await gateway.ask(QUESTION))
        runner.embedding_fault = unavailable()
        works = gateway.gateway.embedding_statements
        assert await works.step() == 0
        assert await works.state_now(gateway.tenants[0].id, entry) is None
        assert evidence(gateway, entry) is None

    run_signed(tmp_path, scenario)


@pytest.mark.parametrize("grade", ["attested", "declared"])
def test_the_gateway_never_speaks_for_a_runner_that_is_none_any_more(tmp_path: Path, grade: str) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        runner.manifest = runner.manifest if grade == "attested" else None
        await gateway.gateway.models.ask_upstreams()
        body = await gateway.ask(QUESTION)
        assert body["hitproof"]["receipt"]["grade"] == grade
        runner.announced = None
        await gateway.gateway.models.ask_upstreams()
        assert await gateway.gateway.embedding_statements.step() == 0
        assert (evidence(gateway, entry_of(body)), runner.embeddings) == (None, [])

    run_signed(tmp_path, scenario)


# The gateway's own


def test_what_another_vendor_answered_the_gateway_states_under_its_own_key(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        entry = entry_of(await gateway.ask(QUESTION))
        works = gateway.gateway.embedding_statements
        assert [await works.step(), await works.step()] == [1, 0]
        stored = evidence(gateway, entry)
        assert stored is not None
        await verify_opens(gateway, stored, QUESTION, GATEWAY_KEY.public_key)

    run(tmp_path, scenario)


def test_what_a_client_put_the_gateway_states_and_no_runner_is_asked(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        messages = [{"role": "user", "content": QUESTION}]
        body = {"model": "fake-model", "messages": messages, "answer": "The red one."}
        put = await gateway.call("POST", "/v1/cache/entries", json=body)
        entry = parse_entry_id(put.json()["id"])
        assert entry is not None
        assert await gateway.gateway.embedding_statements.step() == 1
        stored = evidence(gateway, entry)
        assert stored is not None
        await verify_opens(gateway, stored, QUESTION, GATEWAY_KEY.public_key)
        assert runner.embeddings == []

    run_signed(tmp_path, scenario)


def test_every_statement_of_the_gateways_has_salts_and_a_seed_of_its_own(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        entries = [entry_of(await gateway.ask(f"Which lantern is number {number}?")) for number in ("one", "two")]
        assert await gateway.gateway.embedding_statements.step() == 2
        first, second = [evidence(gateway, entry) for entry in entries]
        assert first is not None and second is not None
        salts = [*(await salts_of(gateway, first)).values(), *(await salts_of(gateway, second)).values()]
        assert len(set(salts)) == 6

    run(tmp_path, scenario)


def test_while_nothing_can_be_committed_to_the_gateway_states_nothing(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        entry = entry_of(await gateway.ask(QUESTION))
        await gateway.gateway.prover.close()
        works = gateway.gateway.embedding_statements
        assert await works.step() == 0
        assert await works.state_now(gateway.tenants[0].id, entry) is None
        assert evidence(gateway, entry) is None

    run(tmp_path, scenario)


# At once


def test_an_entry_is_stated_at_once_for_whoever_waits_and_only_once(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        tenant, works = gateway.tenants[0].id, gateway.gateway.embedding_statements
        entry = entry_of(await gateway.ask(QUESTION))
        found = await asyncio.gather(works.state_now(tenant, entry), works.state_now(tenant, entry), works.step())
        stored = evidence(gateway, entry)
        assert stored is not None
        assert [found[0], found[1]] == [stored.id] * 2
        assert runner.embeddings == [QUESTION]
        assert await works.state_now(tenant, entry) == stored.id
        assert runner.embeddings == [QUESTION]

    run_signed(tmp_path, scenario)


def test_another_tenants_entry_is_not_stated(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        entry = entry_of(await gateway.ask(QUESTION))
        assert await gateway.gateway.embedding_statements.state_now(gateway.tenants[1].id, entry) is None
        assert evidence(gateway, entry) is None

    run(tmp_path, scenario)


def test_an_entry_that_is_gone_is_not_stated(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        body = await gateway.ask(QUESTION)
        await gateway.call("DELETE", f"/v1/cache/entries/{body['hitproof']['entry']}")
        assert await gateway.gateway.embedding_statements.state_now(gateway.tenants[0].id, entry_of(body)) is None

    run(tmp_path, scenario)


def test_a_key_that_was_revoked_states_nothing(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        entry = entry_of(await gateway.ask(QUESTION))
        gateway.gateway.database.write_now(
            lambda c: c.exec_driver_sql("UPDATE signers SET status = 'compromised', since_index = 0")
        )
        assert await gateway.gateway.embedding_statements.state_now(gateway.tenants[0].id, entry) is None
        assert evidence(gateway, entry) is None

    run(tmp_path, scenario)
