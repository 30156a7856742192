"""No receipt, no hit: what is signed, what is believed, and what stops an answer that has lost its proof."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from crypto.bodies import parse_body
from crypto.commitment import hit_salt, query_commitment, query_vector_commitment
from crypto.dsse import verify_envelope
from crypto.ed25519 import key_id
from crypto.hit import parse_hit_record
from crypto.leaf import LeafKind, envelope_leaf
from crypto.merkle import leaf_hash
from crypto.statement import EvidenceReference, ReceiptStatement, parse_receipt, statement_digest
from server.ports import JsonObject
from server.standing import end_model_version, revoke_signer
from server.store.log import LogRepository
from server.store.log_records import StoredHit, StoredReceipt
from server.store.receipts import HitRepository, ReceiptRepository
from server.store.signers import SignerRepository
from server.store.status import AnnouncementRepository
from tests.fakes import GATEWAY_KEY, FakeClock, FakeGateway, Options, SeededRandom, fake_gateway
from tests.signing_runner import OTHER_KEY, RUNNER_KEY, SigningRunner, unavailable

QUESTION = "Which lantern hangs over the northern gate of the harbour?"
ALIKE = "Which lantern hangs over the northern gate of our harbour?"
DAY_S = 24 * 3600
Scenario = Callable[[FakeGateway], Awaitable[None]]


def run(folder: Path, scenario: Scenario, **options: Any) -> None:
    async def play() -> None:
        async with fake_gateway(folder, Options(**options)) as gateway:
            await scenario(gateway)

    asyncio.run(play())


def run_signed(folder: Path, scenario: Callable[[FakeGateway, SigningRunner], Awaitable[None]], **options: Any) -> None:
    """Run *scenario* on a gateway whose upstream is a runner that signs."""
    clock = FakeClock()
    runner = SigningRunner(clock)

    async def play() -> None:
        made = Options(clock=clock, upstream=runner, upstream_kind="runner", **options)
        async with fake_gateway(folder, made) as gateway:
            await scenario(gateway, runner)

    asyncio.run(play())


def account(body: JsonObject) -> JsonObject:
    found: JsonObject = body["hitproof"]
    return found


def receipts(gateway: FakeGateway, tenant: int = 0) -> list[StoredReceipt]:
    owner = gateway.tenants[tenant].id
    return gateway.gateway.database.read_now(
        lambda c: ReceiptRepository(c, owner).list_page(
            since_ms=None, until_ms=None, model_version=None, after=None, limit=100
        )
    )


async def hits(gateway: FakeGateway, tenant: int = 0) -> list[StoredHit]:
    await gateway.settle()
    owner = gateway.tenants[tenant].id
    return gateway.gateway.database.read_now(
        lambda c: HitRepository(c, owner).list_page(since_ms=None, until_ms=None, after=None, limit=100)
    )


def leaves(gateway: FakeGateway, kind: LeafKind) -> list[JsonObject]:
    """Return the bodies of unsequenced leaves of one kind that the log asserts, in order."""
    rows = gateway.gateway.database.read_now(lambda c: LogRepository(c).load_unsequenced(1000))
    return [json.loads(row.body) for row in rows if row.kind == kind and row.body is not None]


def execute(gateway: FakeGateway, statement: str, **values: Any) -> None:
    gateway.gateway.database.write_now(lambda c: c.execute(text(statement), values))


# What is signed


def test_an_answer_of_a_third_party_is_declared_by_the_gateway(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        response = await gateway.chat(QUESTION)
        shown = account(response.json())["receipt"]
        (stored,) = receipts(gateway)
        assert shown == {"id": stored.id, "state": "pending", "grade": "declared"}
        assert response.headers["x-hitproof-receipt"] == stored.id
        assert stored.body is not None
        envelope, statement = parse_receipt(stored.body)
        verify_envelope(envelope, GATEWAY_KEY.public_key)
        assert statement.model_version == account(response.json())["model_version"]
        assert stored.leaf == envelope_leaf(LeafKind.RECEIPT, envelope, statement.issued_at_ms).encode()

    run(tmp_path, scenario)


def test_an_answer_of_a_runner_is_stored_with_the_runners_own_statement(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        body = await gateway.ask(QUESTION)
        assert account(body)["receipt"]["grade"] == "attested"
        (stored,) = receipts(gateway)
        assert stored.body is not None and stored.key_id == RUNNER_KEY.key_id
        verify_envelope(parse_receipt(stored.body)[0], RUNNER_KEY.public_key)
        assert account(await gateway.ask(QUESTION))["receipt"]["id"] == stored.id

    run_signed(tmp_path, scenario)


def test_a_streamed_answer_has_its_receipt_in_the_last_chunk(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        for outcome in ("miss", "hit"):
            response = await gateway.chat(QUESTION, stream=True)
            chunks = [json.loads(line[6:]) for line in response.text.split("\n\n") if line.startswith("data: {")]
            assert chunks[-1]["hitproof"]["outcome"] == outcome
            assert chunks[-1]["hitproof"]["receipt"]["id"] == receipts(gateway)[0].id

    run_signed(tmp_path, scenario)


def test_a_runner_is_asked_to_sign_for_a_pseudonym_and_not_for_a_name(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        await gateway.ask(QUESTION, tenant=0)
        await gateway.ask(QUESTION, tenant=1)
        first, second = (wanted["tenant"] for wanted in runner.asked)
        assert len({first, second}) == 2
        assert gateway.tenants[0].id not in json.dumps(runner.asked)

    run_signed(tmp_path, scenario)


def test_a_client_cannot_have_a_statement_of_its_own_choice_signed(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        forged = {"derivation": "none", "parents": [], "policy": None, "tenant": "00" * 16}
        await gateway.chat(QUESTION, hitproof_statement=forged)
        await gateway.chat(QUESTION, hitproof_statement=forged, temperature=2, headers={"Cache-Control": "no-store"})
        assert forged not in runner.asked

    run_signed(tmp_path, scenario)


def test_an_entry_that_a_client_put_is_declared(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        messages = [{"role": "user", "content": QUESTION}]
        body = {"model": "fake-model", "messages": messages, "answer": "The red one."}
        made = await gateway.call("POST", "/v1/cache/entries", json=body)
        assert made.status_code == 201
        entry = (await gateway.call("GET", f"/v1/cache/entries/{made.json()['id']}")).json()
        assert entry["receipt"] == {"id": receipts(gateway)[0].id, "state": "pending", "grade": "declared"}
        looked_up = await gateway.call("POST", "/v1/cache/lookup", json={"model": "fake-model", "messages": messages})
        assert looked_up.json()["receipt"] == entry["receipt"]
        assert account(await gateway.ask(QUESTION))["receipt"]["grade"] == "declared"

    run(tmp_path, scenario)


def test_a_request_with_anything_in_it_can_have_a_declared_receipt(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        tools = [{"type": "function", "function": {"name": "f", "description": "é" * 3000, "parameters": {"a": 0.5}}}]
        body = await gateway.ask(QUESTION, tools=tools, temperature=0.3, stop=["e\u0301nd"], user="u\u0301")
        assert account(body)["receipt"] is not None
        (stored,) = receipts(gateway)
        assert stored.body is not None
        parameters = parse_receipt(stored.body)[1].parameters
        assert parameters["temperature"] == "0.3"
        assert str(parameters["tools"]).startswith("sha256:") and str(parameters["stop"]).startswith("sha256:")

    run(tmp_path, scenario)


# What is believed

LIES: dict[str, Callable[[ReceiptStatement], ReceiptStatement]] = {
    "another output": lambda s: replace(s, output_commitment=bytes(32)),
    "another prompt": lambda s: replace(s, prompt_commitment=bytes(32)),
    "other output tokens": lambda s: replace(s, output_tokens_commitment=bytes(32)),
    "other prompt tokens": lambda s: replace(s, prompt_tokens_commitment=bytes(32)),
    "another model version": lambda s: replace(s, model_version="sha256:" + "0" * 64),
    "another policy": lambda s: replace(s, policy="sha256:" + "0" * 64),
    "no policy": lambda s: replace(s, policy=None),
    "another tenant": lambda s: replace(s, tenant="0" * 32),
    "other parameters": lambda s: replace(s, parameters={"temperature": "1"}),
    "another runtime": lambda s: replace(s, runtime="sha256:" + "0" * 64),
    "a model signature that is not there": lambda s: replace(s, openssf_digest="sha256:" + "0" * 64),
    "evidence that nobody asked for": lambda s: replace(
        s, evidence=(EvidenceReference("pool-release", "sha256:" + "0" * 64),)
    ),
    "a derivation": lambda s: replace(s, derivation="adapted"),
    "a time long ago": lambda s: replace(s, issued_at_ms=s.issued_at_ms - 301_000),
    "a time to come": lambda s: replace(s, issued_at_ms=s.issued_at_ms + 301_000),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_runners_answer_whose_statement_says_something_else_is_given_and_not_stored(tmp_path: Path, lie: str) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        runner.change = LIES[lie]
        body = await gateway.ask(QUESTION)
        assert body["choices"][0]["message"]["content"].endswith(QUESTION)
        assert account(body)["reason"].endswith("; not stored: receipt_invalid")
        assert account(body)["receipt"] is None and receipts(gateway) == []
        runner.change = lambda statement: statement
        assert account(await gateway.ask(QUESTION))["entry"] is not None

    run_signed(tmp_path, scenario)


def flipped(envelope: JsonObject) -> JsonObject:
    signature = envelope["signatures"][0]
    first = "B" if signature["sig"][0] == "A" else "A"
    return envelope | {"signatures": [signature | {"sig": first + signature["sig"][1:]}]}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda runner: setattr(runner, "change_envelope", flipped),
        lambda runner: setattr(runner, "change_envelope", lambda _: None),
        lambda runner: setattr(runner, "key", OTHER_KEY),
        lambda runner: setattr(runner, "change_openings", lambda o: o | {"output": "00" * 32}),
        lambda runner: setattr(runner, "change_openings", lambda o: o | {"prompt": "00" * 31}),
        lambda runner: setattr(runner, "change_openings", lambda o: o | {"output_tokens": None}),
    ],
    ids=["flipped signature", "no statement", "another key", "another salt", "short salt", "no salt"],
)
def test_a_statement_that_is_not_signed_and_opened_as_announced_is_not_believed(
    tmp_path: Path, spoil: Callable[[SigningRunner], None]
) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        spoil(runner)
        assert account(await gateway.ask(QUESTION))["reason"].endswith("; not stored: receipt_invalid")
        assert receipts(gateway) == []

    run_signed(tmp_path, scenario)


def test_a_runner_attests_only_what_it_listed_a_manifest_of(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        runner.manifest = None
        await gateway.gateway.models.ask_upstreams()
        assert account(await gateway.ask(QUESTION))["receipt"]["grade"] == "declared"
        statement = parse_receipt(receipts(gateway)[0].body or b"")[1]
        runtime = "sha256:" + "1" * 64
        runner.change = lambda made: replace(made, grade="attested", runtime=runtime)
        assert statement.grade == "declared"
        assert account(await gateway.ask(ALIKE, seed=1))["reason"].endswith("not stored: receipt_invalid")

    run_signed(tmp_path, scenario)


def test_a_runner_that_announces_no_key_has_its_answers_declared(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        runner.announced = None
        runner.change_envelope = lambda _: None
        await gateway.gateway.models.ask_upstreams()
        assert account(await gateway.ask(QUESTION))["receipt"]["grade"] == "declared"
        assert receipts(gateway)[0].key_id == GATEWAY_KEY.key_id

    run_signed(tmp_path, scenario)


def test_a_runner_that_announces_the_gateways_key_is_not_believed(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        runner.announced, runner.key = GATEWAY_KEY.public_key.hex(), GATEWAY_KEY
        await gateway.gateway.models.ask_upstreams()
        assert account(await gateway.ask(QUESTION))["reason"].endswith("not stored: receipt_invalid")

    run_signed(tmp_path, scenario)


# No receipt, no hit


def test_an_entry_older_than_receipts_is_a_miss_that_says_so(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        execute(gateway, "UPDATE entries SET receipt_id = NULL")
        for question in (QUESTION, ALIKE):
            found = await gateway.call(
                "POST", "/v1/cache/lookup",
                json={"model": "fake-model", "messages": [{"role": "user", "content": question}]},
            )  # fmt: skip
            assert (found.json()["outcome"], found.json()["reason"]) == ("miss", "no_receipt")
        states = gateway.gateway.database.read_now(
            lambda c: c.execute(text("SELECT state FROM entries")).scalars().all()
        )
        assert states == ["live"]
        assert account(await gateway.ask(QUESTION))["outcome"] == "miss"
        assert account(await gateway.ask(QUESTION))["outcome"] == "hit"

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM receipts",
        "UPDATE log_leaves SET body = NULL WHERE kind = 1",
        "UPDATE log_leaves SET leaf = zeroblob(74) WHERE kind = 1",
        'UPDATE log_leaves SET body = CAST(replace(body, \'"sig":"\', \'"sig":"A\') AS BLOB) WHERE kind = 1',
        "UPDATE receipts SET grade = 'attested'",
        "UPDATE receipts SET key_id = (SELECT key_id FROM signers WHERE key_id <> receipts.key_id)",
    ],
)
def test_an_entry_whose_receipt_is_not_whole_is_not_given(tmp_path: Path, damage: str) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        gateway.gateway.database.write_now(
            lambda c: SignerRepository(c).note(OTHER_KEY.public_key, "runner", "other", at_ms=0)
        )
        execute(gateway, damage)
        assert account(await gateway.ask(QUESTION))["outcome"] == "miss"
        assert account(await gateway.ask(QUESTION))["outcome"] == "hit"

    run(tmp_path, scenario)


def test_a_receipt_of_an_unknown_signer_is_none_and_nothing_more_is_stored_under_its_key(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        execute(gateway, "DELETE FROM signers")
        assert account(await gateway.ask(QUESTION))["reason"] == "no_receipt; not stored: signer_revoked"

    run(tmp_path, scenario)


def test_another_receipts_row_under_an_entry_is_noticed_and_quarantined(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        await gateway.ask("What else may be asked about lanterns here?", seed=1)
        execute(gateway, "UPDATE entries SET receipt_id = (SELECT receipt_id FROM entries ORDER BY id DESC LIMIT 1)")
        assert account(await gateway.ask(QUESTION, headers={"Cache-Control": "no-store"}))["reason"].startswith(
            "receipt_invalid"
        )
        states = gateway.gateway.database.read_now(
            lambda c: c.execute(text("SELECT state_reason FROM entries ORDER BY id")).scalars().all()
        )
        assert states[0] == "receipt_invalid"

    run(tmp_path, scenario)


def test_a_receipt_of_another_tenant_opens_nothing(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION, tenant=0)
        await gateway.ask(QUESTION, tenant=1)
        mine, others = receipts(gateway, 0)[0].id, receipts(gateway, 1)[0].id
        execute(gateway, "UPDATE entries SET receipt_id = :others WHERE receipt_id = :mine", others=others, mine=mine)
        assert account(await gateway.ask(QUESTION, tenant=0))["outcome"] == "miss"
        execute(gateway, "UPDATE receipts SET tenant_id = :tenant WHERE id = :others", tenant=gateway.tenants[0].id,
                others=others)  # fmt: skip
        assert account(await gateway.ask(QUESTION, tenant=0))["outcome"] in ("miss", "hit")
        assert all(row.id != others or row.id == mine for row in receipts(gateway, 1))

    run(tmp_path, scenario)


# Standing


def revoke(gateway: FakeGateway, key: str, since_index: int | None) -> None:
    gateway.gateway.database.write_now(
        lambda c: revoke_signer(
            c, key, since_index=since_index, actor="test", now_ms=gateway.clock.now_ms(), random=SeededRandom(5)
        )
    )


LOGGED = {"log_sequencer": True, "log_interval_s": 60}


def test_a_compromised_key_ends_its_hits_at_once_and_stores_nothing_more(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        await gateway.ask(QUESTION)
        revoke(gateway, RUNNER_KEY.key_id, 0)
        body = await gateway.ask(QUESTION)
        assert account(body)["reason"] == "signer_revoked; not stored: signer_revoked"
        assert account(await gateway.ask(ALIKE))["reason"] == "signer_revoked; not stored: signer_revoked"
        assert len(receipts(gateway)) == 1

    run_signed(tmp_path, scenario)


def test_a_retired_keys_receipts_count_below_the_leaf_that_retired_it(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        await gateway.ask(QUESTION)
        await gateway.gateway.proving.log.step()
        await gateway.ask("What hangs there since the leaf before the last?", seed=7)
        revoke(gateway, RUNNER_KEY.key_id, None)
        assert account(await gateway.ask(QUESTION))["outcome"] == "hit"
        pending = await gateway.ask("What hangs there since the leaf before the last?", seed=7)
        assert account(pending)["reason"].startswith("signer_revoked")
        await gateway.gateway.proving.log.step()
        # Its leaf was in the outbox before the key was retired, so it got an index that still counts.
        found = await gateway.ask("What hangs there since the leaf before the last?", seed=7)
        assert account(found)["outcome"] == "hit"
        row = gateway.gateway.database.read_now(lambda c: SignerRepository(c).get(RUNNER_KEY.key_id))
        events = [
            json.loads(leaf.body or b"{}") | {"index": leaf.leaf_index}
            for leaf in gateway.gateway.database.read_now(lambda c: LogRepository(c).load_sequenced(0, 100))
            if leaf.kind == LeafKind.KEY_EVENT
        ]
        assert (events[-1]["event"], events[-1]["since_index"], events[-1]["index"]) == (
            "retired", row.since_index, row.since_index,
        )  # fmt: skip

    run_signed(tmp_path, scenario, settings=LOGGED)


def test_a_superseded_or_revoked_version_is_in_the_log_and_in_the_list(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        await gateway.ask(QUESTION)
        for status in ("superseded", "revoked"):
            gateway.gateway.database.write_now(
                lambda c, status=status: end_model_version(  # type: ignore[misc]
                    c, runner.version, status, actor="test", now_ms=gateway.clock.now_ms(), random=SeededRandom(6)
                )
            )
            assert account(await gateway.ask(QUESTION))["outcome"] == "miss"
            body = leaves(gateway, LeafKind.MODEL_STATUS)[-1]
            assert (body["model_version"], body["status"]) == (runner.version, status)

    run_signed(tmp_path, scenario)


def test_a_version_that_takes_anothers_place_supersedes_it_in_the_log(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        await gateway.ask(QUESTION)
        before = runner.version
        runner.version, runner.manifest = "sha256:" + "5" * 64, None
        await gateway.gateway.models.ask_upstreams()
        body = leaves(gateway, LeafKind.MODEL_STATUS)[-1]
        assert (body["model_version"], body["status"]) == (before, "superseded")

    run_signed(tmp_path, scenario)


def test_keys_are_logged_once_with_their_role_before_they_sign(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        await gateway.gateway.models.ask_upstreams()
        events = [(body["key_id"], body["role"], body["event"]) for body in leaves(gateway, LeafKind.KEY_EVENT)]
        assert events == [(GATEWAY_KEY.key_id, "gateway", "added"), (RUNNER_KEY.key_id, "runner", "added")]

    run_signed(tmp_path, scenario)
    run_signed(tmp_path, scenario)


# Hits


def test_every_hit_leaves_a_record_that_opens_with_its_request(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        exact, near = account(await gateway.ask(QUESTION)), account(await gateway.ask(ALIKE))
        assert [exact["tier"], near["tier"]] == ["exact", "private"]
        found = {hit.id: parse_hit_record(hit.record) for hit in await hits(gateway)}
        assert set(found) == {exact["hit"], near["hit"]}
        context = await gateway.gateway.tenants.get(gateway.tenants[0].id)
        (receipt,) = receipts(gateway)
        for name, question in ((exact["hit"], QUESTION), (near["hit"], ALIKE)):
            record = found[name]
            salt = hit_salt(context.hit_salt_key, name, "query")
            assert record.query == query_commitment(salt, [{"role": "user", "content": question}])
            assert record.receipt == "sha256:" + receipt.statement_digest.hex()
            assert record.receipt_leaf == leaf_hash(receipt.leaf)
            assert record.policy == context.policy_digest
        assert found[exact["hit"]].query_vector is None
        vector = gateway.embedder.embed([ALIKE])
        from server.reuse.quantise import quantise

        salt = hit_salt(context.hit_salt_key, near["hit"], "query_vector")
        assert found[near["hit"]].query_vector == query_vector_commitment(salt, quantise(vector)[0].tobytes())
        assert found[near["hit"]].tau is not None

    run(tmp_path, scenario)


def test_all_who_waited_for_a_flight_that_found_an_answer_have_a_record_each(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        gate = gateway.upstream.gate = asyncio.Event()
        first = asyncio.create_task(gateway.ask(QUESTION))
        while not gateway.upstream.requests:
            await asyncio.sleep(0)
        others = [asyncio.create_task(gateway.ask(QUESTION)) for _ in range(4)]
        await asyncio.sleep(0.01)
        gate.set()
        outcomes = [account(body) for body in await asyncio.gather(first, *others)]
        named = {found["hit"] for found in outcomes if found["outcome"] == "hit"}
        assert {hit.id for hit in await hits(gateway)} == named
        assert len({found["receipt"]["id"] for found in outcomes}) == 1

    run(tmp_path, scenario)


def test_a_full_journal_makes_misses_and_the_next_flush_makes_hits_again(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        assert [account(await gateway.ask(QUESTION))["outcome"] for _ in range(2)] == ["hit", "hit"]
        for stream in (False, True):
            response = await gateway.chat(QUESTION, stream=stream)
            last = response.json() if not stream else json.loads(response.text.split("\n\n")[-3][6:])
            assert (account(last)["outcome"], account(last)["reason"]) == ("miss", "log_behind")
        refused = await gateway.chat(QUESTION, headers={"Cache-Control": "only-if-cached"})
        assert refused.status_code == 504
        assert len(await hits(gateway)) == 2
        assert account(await gateway.ask(QUESTION))["outcome"] == "hit"

    run(tmp_path, scenario, settings={"hit_queue_max": 2, "record_flush_s": 10})


def test_hits_that_cannot_be_written_are_kept_and_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        journal, hit = gateway.gateway.proving.journal, account(await gateway.ask(QUESTION))["hit"]
        execute(gateway, "ALTER TABLE hits RENAME TO hits_away")
        await journal.flush()
        execute(gateway, "ALTER TABLE hits_away RENAME TO hits")
        second = account(await gateway.ask(QUESTION))["hit"]
        assert {found.id for found in await hits(gateway)} == {hit, second}

    run(tmp_path, scenario, settings={"record_flush_s": 10})


def test_hits_in_the_journal_are_written_when_the_gateway_ends(tmp_path: Path) -> None:
    named = []

    async def first(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        named.append(account(await gateway.ask(QUESTION))["hit"])

    async def second(gateway: FakeGateway) -> None:
        assert [hit.id for hit in await hits(gateway)] == named

    run(tmp_path, first, settings={"record_flush_s": 10})
    run(tmp_path, second, settings={"record_flush_s": 10})


def test_a_policy_is_in_the_log_before_the_first_receipt_or_hit_under_it(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        gateway.set_policy(threshold_ten_thousandths=8_500)
        await gateway.ask(QUESTION)
        await hits(gateway)
        gateway.clock.advance(31 * DAY_S)
        await gateway.ask("Is this a new epoch with a pseudonym of its own?")
        rows = gateway.gateway.database.read_now(lambda c: LogRepository(c).load_unsequenced(1000))
        kinds = [row.kind for row in rows if row.kind in (LeafKind.POLICY, LeafKind.RECEIPT)]
        assert kinds == [LeafKind.POLICY, LeafKind.RECEIPT, LeafKind.POLICY, LeafKind.POLICY, LeafKind.RECEIPT]
        bodies = [parse_body(LeafKind.POLICY, row.body or b"") for row in rows if row.kind == LeafKind.POLICY]
        assert [getattr(body, "version", None) for body in bodies] == [1, 2, 2]
        assert len({getattr(body, "tenant", None) for body in bodies}) == 2
        known = gateway.gateway.database.read_now(lambda c: AnnouncementRepository(c, gateway.tenants[0].id).list_all())
        assert [policy.digest for policy in known] == [getattr(body, "policy", None) for body in bodies]

    run(tmp_path, scenario)


def test_a_late_word_of_an_older_policy_does_not_put_it_in_force_again(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        tenant = gateway.tenants[0].id
        older = await gateway.gateway.tenants.get(tenant)
        gateway.set_policy(threshold_ten_thousandths=8_500)
        newer = await gateway.gateway.tenants.get(tenant)
        writer, now_ms = gateway.gateway.proving.writer, gateway.clock.now_ms()
        for context in (newer, older, older, newer):
            gateway.gateway.database.write_now(
                lambda c, context=context: writer.announce_policy(c, context, at_ms=now_ms)  # type: ignore[misc]
            )
        assert [body["version"] for body in leaves(gateway, LeafKind.POLICY)] == [2, 1, 2]

    run(tmp_path, scenario)


# The log


def test_a_receipt_is_included_once_its_leaf_is_under_a_checkpoint(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        assert account(await gateway.ask(QUESTION))["receipt"]["state"] == "pending"
        assert account(await gateway.ask(QUESTION))["receipt"]["state"] == "pending"
        await gateway.gateway.proving.log.step()
        assert account(await gateway.ask(QUESTION))["receipt"]["state"] == "included"

    run(tmp_path, scenario, settings=LOGGED)


# Embedding statements

STATED = {"embedding_statement_batch_max": 2, "embedding_statement_interval_s": 3600}


def test_a_runner_states_the_vectors_of_what_it_answered(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        questions = [f"Which of the lanterns number {number} is lit at night?" for number in ("one", "two", "three")]
        for question in questions:
            await gateway.ask(question)
        works = gateway.gateway.embedding_statements
        assert [await works.step() for _ in range(3)] == [2, 1, 0]
        assert sorted(runner.embeddings) == sorted(questions)
        rows = gateway.gateway.database.read_now(
            lambda c: c.execute(text("SELECT e.embedding_statement, v.kind, v.receipt_id = e.receipt_id FROM entries e"
                                     " JOIN evidence v ON v.id = e.embedding_statement")).all()
        )  # fmt: skip
        assert [(row[1], row[2]) for row in rows] == [("embedding", 1)] * 3

    run_signed(tmp_path, scenario, settings=STATED)


@pytest.mark.parametrize(
    "lie",
    [
        lambda s: replace(s, text_commitment=bytes(32)),
        lambda s: replace(s, vector_commitment=bytes(32)),
        lambda s: replace(s, statement="sha256:" + "0" * 64),
        lambda s: replace(s, embedder="sha256:" + "0" * 64),
        lambda s: replace(s, tenant="0" * 32),
        lambda s: replace(s, dimension=1),
        lambda s: replace(s, issued_at_ms=s.issued_at_ms + 400_000),
    ],
)
def test_an_embedding_statement_about_something_else_is_not_stored(tmp_path: Path, lie: Callable[[Any], Any]) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        await gateway.ask(QUESTION)
        runner.change_embedding = lie
        works = gateway.gateway.embedding_statements
        assert await works.step() == 0
        assert leaves(gateway, LeafKind.EVIDENCE) == []
        runner.change_embedding = lambda statement: statement
        assert await works.step() == 0, "what failed is left alone for a while"
        gateway.clock.advance(601)
        assert [await works.step(), await works.step()] == [0, 1]

    run_signed(tmp_path, scenario, settings=STATED)


def test_a_runner_that_is_away_holds_nobody_elses_statements_up(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        for number in ("one", "two", "three"):
            await gateway.ask(f"Which of the lanterns number {number} is lit at night?")
        runner.embedding_fault = unavailable()
        works = gateway.gateway.embedding_statements
        assert await works.step() == 0
        runner.embedding_fault = None
        assert await works.step() == 1

    run_signed(tmp_path, scenario, settings=STATED)


def test_the_salts_of_a_statement_go_with_their_entry(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        entry = account(await gateway.ask(QUESTION))["entry"]
        assert await gateway.gateway.embedding_statements.step() == 1

        def openings() -> list[Any]:
            query = text("SELECT opening FROM evidence")
            return list(gateway.gateway.database.read_now(lambda c: c.execute(query).scalars().all()))

        assert openings() != [None]
        assert (await gateway.call("DELETE", f"/v1/cache/entries/{entry}")).status_code == 200
        assert openings() == [None]

    run_signed(tmp_path, scenario, settings=STATED)


def test_the_key_id_of_a_signer_is_the_hash_of_its_key(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway, runner: SigningRunner) -> None:
        rows = gateway.gateway.database.read_now(lambda c: SignerRepository(c).list_all())
        assert {row.key_id for row in rows} == {key_id(row.public_key) for row in rows}
        assert next(row.models for row in rows if row.role == "runner") == (runner.version,)

    run_signed(tmp_path, scenario)


def test_a_receipts_id_names_its_statement(tmp_path: Path) -> None:
    async def scenario(gateway: FakeGateway) -> None:
        await gateway.ask(QUESTION)
        (stored,) = receipts(gateway)
        envelope, _ = parse_receipt(stored.body or b"")
        assert stored.id == "rcp_" + statement_digest(envelope.payload)[7:39]

    run(tmp_path, scenario)
