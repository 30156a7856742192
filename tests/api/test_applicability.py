"""Applicability over HTTP: proofs of hits by meaning, made when they are wanted, and what is said where there is none."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from crypto.bundle import parse_bundle
from crypto.canonical import parse_canonical_json
from crypto.ed25519 import SigningKey
from crypto.leaf import LeafKind
from crypto.reference.proof_file import verify_proof_file as second_opinion
from crypto.tlog_proof import parse_tlog_proof
from crypto.trust import sign_trust
from crypto.verify import AuditOptions, Verification, verify_bundle, verify_proof_file
from server.applicability.outcomes import ProvedHit
from server.ports import JsonObject
from server.prover.errors import NotProvable, ProverFailed
from server.store.applicability import ApplicabilityRepository
from server.store.log import LogRepository
from server.store.maintenance import list_audit
from server.trust_document import DAY_MS, TrustTerms, draft_trust
from tenants.identifiers import TenantId
from tests.api.in_process import GENEROUS, InProcess, assert_error, in_process
from tests.fakes import Options, WordEmbedder, fake_gateway

QUESTION = "Which lantern hangs over the northern gate of the harbour?"
ALIKE = "Which lantern hangs over the northern gate of our harbour?"
ALSO_ALIKE = "Which lantern hangs over the northern gate of your harbour?"
POLICY = {"threshold_ten_thousandths": 9_000}
SETTINGS: dict[str, Any] = {"log_sequencer": True, "log_interval_s": 0.05}
Words = Callable[[str], str]
ROOT = SigningKey(b"\x07" * 32)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """One house for tests that look at hits of their own alone: each asks in words of its own."""
    with in_process(tmp_path_factory.mktemp("shared"), Options(quota=GENEROUS, settings=SETTINGS)) as running:
        yield running


@pytest.fixture
def words(request: pytest.FixtureRequest) -> Words:
    """Make a question one that no other test asks."""
    drawn = hashlib.sha256(request.node.name.encode()).digest()
    tail = " ".join("".join(chr(ord("a") + byte % 26) for byte in drawn[at : at + 5]) for at in range(20))
    return lambda text: f"{text.strip('?')} {tail}?"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[InProcess]:
    with in_process(tmp_path, Options(quota=GENEROUS, settings=SETTINGS)) as running:
        yield running


def asked(house: InProcess, text: str = QUESTION, **fields: object) -> JsonObject:
    account: JsonObject = house.chat(text, **fields).json()["hitproof"]
    return account


def hit_by_meaning(house: InProcess, text: str = ALIKE, words: Words = str) -> str:
    asked(house, words(QUESTION))
    account = asked(house, words(text))
    assert (account["outcome"], account["tier"]) == ("hit", "private"), account
    found: str = account["hit"]
    return found


def refused(answer: httpx2.Response, status: int, code: str) -> None:
    """Hold an answer to OpenAI's error object with *code*."""
    assert assert_error(answer, status)["code"] == code, answer.text


def get(house: InProcess, hit: str, *, key: str | None = None, **options: Any) -> httpx2.Response:
    return house.call("GET", f"/v1/hits/{hit}/proof?applicability=1", key=key, **options)


def wait_for_file(house: InProcess, hit: str, *, key: str | None = None) -> str:
    for _ in range(200):
        answer = get(house, hit, key=key)
        if answer.status_code == 200:
            return answer.text
        assert answer.status_code == 202, answer.text
        house.run(asyncio.sleep(0.05))
    raise AssertionError(answer.text)


def shown_in(file: str) -> JsonObject:
    extra = parse_tlog_proof(file).extra
    assert extra is not None
    value = parse_canonical_json(extra)
    assert isinstance(value, dict) and value["schema"] == "hitproof/applicability-proof/v1"
    found = value["applicability"]
    assert isinstance(found, dict)
    return dict(found)


def trust_of(house: InProcess) -> bytes:
    terms, now_ms = TrustTerms((ROOT.public_key,), 1, DAY_MS), house.gateway.clock.now_ms()
    draft = house.gateway.gateway.database.read_now(lambda c: draft_trust(c, terms, version=1, now_ms=now_ms))
    return sign_trust(draft.to_payload(), [ROOT]).encode()


def verdicts(house: InProcess, file: bytes) -> list[tuple[int, frozenset[str]]]:
    """Return what both verifiers say of a proof file: exit code, and the hits that are shown to be close."""
    trust, now_ms = trust_of(house), house.gateway.clock.now_ms()
    first, second = (
        verify_proof_file(file, trust, AuditOptions(now_ms=now_ms)),
        second_opinion(file, trust, now_ms=now_ms),
    )
    return [(first.report.exit_code, first.applicable), (second.exit_code, second.applicable)]


def audited(house: InProcess, data: bytes) -> Verification:
    options = AuditOptions(now_ms=house.gateway.clock.now_ms(), max_age_ms=60_000)
    return verify_bundle(data, trust_of(house), options)


def exported(house: InProcess, body: JsonObject, *, key: str | None = None) -> tuple[JsonObject, bytes]:
    """Have a job make a bundle; return its last word and the bundle."""
    started = house.call("POST", "/v1/audit/export", json=body, key=key)
    assert started.status_code == 202, started.text
    found: JsonObject = started.json()
    for _ in range(400):
        if found["state"] != "running":
            break
        house.run(asyncio.sleep(0.05))
        found = house.call("GET", f"/v1/audit/export/{found['id']}", key=key).json()
    assert found["state"] == "done", found
    return found, house.call("GET", f"/v1/audit/export/{found['id']}/bundle", key=key).content


def owner(house: InProcess, tenant: int = 0) -> TenantId:
    return house.gateway.tenants[tenant].id


def count_made(house: InProcess, result: str = "made") -> float:
    found: float = house.gateway.gateway.state.telemetry.applicability_proofs.labels(result)._value.get()
    return found


def forget_entries(house: InProcess) -> None:
    house.run(house.gateway.settle())
    answer = house.call(
        "POST", "/v1/cache/invalidate", json={"all": True, "dry_run": False, "confirm": "remove everything"}
    )
    assert answer.status_code == 200 and answer.json()["entries"] == 1, answer.text


# The proof file


def test_a_hit_by_meaning_is_proved_to_both_implementations(shared: InProcess, words: Words) -> None:
    hit = hit_by_meaning(shared, words=words)
    file = wait_for_file(shared, hit).encode()
    for verdict in verdicts(shared, file):
        assert verdict == (0, frozenset({hit}))


def test_nothing_is_proved_before_somebody_asks(house: InProcess) -> None:
    hit = hit_by_meaning(house)
    plain = house.call("GET", f"/v1/hits/{hit}/proof?applicability=false")
    assert plain.status_code in (200, 202)
    assert house.gateway.gateway.prover.process_id is None


def test_who_asks_again_gets_the_proof_that_was_made(house: InProcess) -> None:
    hit = hit_by_meaning(house)
    first, second = (shown_in(wait_for_file(house, hit)) for _ in range(2))
    assert first["proof"] == second["proof"] and first["well_formedness"] == second["well_formedness"]
    assert count_made(house) == 1


def test_two_hits_of_one_entry_rest_on_one_well_formedness(shared: InProcess, words: Words) -> None:
    first, second = (
        shown_in(wait_for_file(shared, hit_by_meaning(shared, text, words))) for text in (ALIKE, ALSO_ALIKE)
    )
    assert first["well_formedness"] == second["well_formedness"]
    assert first["proof"] != second["proof"]


def test_as_json_it_says_how_far_the_proof_is(shared: InProcess, words: Words) -> None:
    hit = hit_by_meaning(shared, words=words)
    accept = {"accept": "application/json"}
    pending = get(shared, hit, headers=accept)
    if pending.status_code == 202:
        assert pending.json()["applicability"] == {"state": "pending", "reason": "not_logged"}
        assert pending.headers["retry-after"] == "1"
    text = wait_for_file(shared, hit)
    answer = get(shared, hit, headers=accept).json()
    assert answer["applicability"] == {"state": "proved", "reason": None}
    # Between the two the log may have grown, and paths lead to its newest checkpoint.
    same = ("embedding", "proof", "query", "well_formedness")
    assert [shown_in(answer["proof"])[name] for name in same] == [shown_in(text)[name] for name in same]
    assert "applicability" not in shared.call("GET", f"/v1/hits/{hit}/proof", headers=accept).json()


def test_who_may_not_read_gets_no_proof_for_it_would_tell_what_was_asked(house: InProcess) -> None:
    hit, auditor = hit_by_meaning(house), house.key("auditor")
    refused(get(house, hit, key=auditor), 403, "missing_scope")
    assert house.gateway.gateway.prover.process_id is None
    assert shown_in(wait_for_file(house, hit))["query"] is not None
    refused(get(house, hit, key=auditor), 403, "missing_scope")
    plain = house.call("GET", f"/v1/hits/{hit}/proof", key=auditor)
    assert plain.status_code == 200 and "applicability" not in str(parse_tlog_proof(plain.text).extra)


@pytest.mark.parametrize("value", ["yes", "2", "True", ""])
def test_a_wish_is_yes_or_no(shared: InProcess, value: str) -> None:
    path = f"/v1/hits/hit_{'0' * 32}/proof?applicability={value}"
    refused(shared.call("GET", path), 400, "invalid_value")


# What has no proof


def test_an_exact_hit_has_no_closeness_to_prove(house: InProcess) -> None:
    asked(house)
    refused(get(house, asked(house)["hit"]), 409, "not_by_meaning")


def test_anothers_hit_is_not_there_whatever_is_asked_of_it(house: InProcess) -> None:
    hit, other = hit_by_meaning(house), house.gateway.tenants[1].key
    plain, wanted = house.call("GET", f"/v1/hits/{hit}/proof", key=other), get(house, hit, key=other)
    assert (wanted.status_code, wanted.content) == (plain.status_code, plain.content) == (404, plain.content)
    assert house.gateway.gateway.prover.process_id is None


def test_a_hit_whose_entry_is_gone_cannot_be_proved_any_more(house: InProcess) -> None:
    hit = hit_by_meaning(house)
    forget_entries(house)
    refused(get(house, hit), 409, "entry_gone")


def test_what_was_proved_outlives_its_entry(house: InProcess) -> None:
    hit = hit_by_meaning(house)
    before = shown_in(wait_for_file(house, hit))
    forget_entries(house)
    assert shown_in(wait_for_file(house, hit)) == before


def test_a_query_that_is_not_kept_cannot_be_proved_of(house: InProcess) -> None:
    house.gateway.set_policy(**POLICY, lookup_retention_s=0)
    refused(get(house, hit_by_meaning(house)), 409, "query_not_kept")


def test_with_the_query_that_it_is_about_a_proof_is_forgotten(house: InProcess) -> None:
    hit = hit_by_meaning(house)
    wait_for_file(house, hit)
    house.gateway.set_policy(**POLICY, lookup_retention_s=0)
    house.gateway.clock.advance(1)
    house.run(house.gateway.gateway.sweeper.sweep())
    refused(get(house, hit), 409, "query_not_kept")
    data = house.call("GET", "/v1/audit/export?applicability=1").content
    assert parse_bundle(data).parts.proofs == ()
    assert audited(house, data).report.exit_code == 0


def test_vectors_beyond_every_suite_are_said_to_be(tmp_path: Path) -> None:
    embedder = WordEmbedder(name="long words")
    embedder.dimension = 2_049
    options = Options(quota=GENEROUS, settings=SETTINGS, embedder=embedder)
    with capture_logs() as lines, in_process(tmp_path, options) as house:
        refused(get(house, hit_by_meaning(house)), 409, "unsupported_dimension")
    assert [line["dimension"] for line in lines if line["event"] == "hits_not_provable"] == [2_049]


def test_what_our_own_decision_contradicts_is_a_fault_of_ours(
    house: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> bytes:
        raise NotProvable("the inner product lies below the threshold")

    monkeypatch.setattr(house.gateway.gateway.prover, "prove_applicability", refuse)
    refused(get(house, hit_by_meaning(house)), 409, "not_provable")
    assert count_made(house, "not_provable") == 1


def test_a_prover_that_broke_is_asked_again_later(
    shared: InProcess, words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> bytes:
        raise ProverFailed("the prover's process ended before it answered")

    hit = hit_by_meaning(shared, words=words)
    with monkeypatch.context() as broken:
        broken.setattr(shared.gateway.gateway.prover, "prove_applicability", fail)
        refused(get(shared, hit), 503, "prover_unavailable")
    assert shown_in(wait_for_file(shared, hit))["proof"]


# Limits


def test_proofs_of_a_tenant_are_limited_by_the_minute_and_stored_ones_are_not(tmp_path: Path) -> None:
    with in_process(tmp_path, Options(quota=GENEROUS, settings=SETTINGS | {"applicability_per_minute": 1})) as house:
        first, second = hit_by_meaning(house), hit_by_meaning(house, ALSO_ALIKE)
        wait_for_file(house, first)
        answer = get(house, second)
        refused(answer, 429, "rate_limit_exceeded")
        assert 0 < int(answer.headers["retry-after"]) <= 61
        wait_for_file(house, first)
        house.gateway.clock.advance(61)
        wait_for_file(house, second)


def test_probing_one_entry_ends_after_so_many_proofs_an_hour(tmp_path: Path) -> None:
    settings = SETTINGS | {"applicability_per_entry_hour": 1}
    with in_process(tmp_path, Options(quota=GENEROUS, settings=settings)) as house:
        first, second = hit_by_meaning(house), hit_by_meaning(house, ALSO_ALIKE)
        wait_for_file(house, first)
        refused(get(house, second), 429, "rate_limit_exceeded")
        house.gateway.clock.advance(3_601)
        wait_for_file(house, second)


# Bundles


def test_an_export_makes_missing_proofs_and_an_auditor_checks_them(house: InProcess) -> None:
    hits = frozenset({hit_by_meaning(house), hit_by_meaning(house, ALSO_ALIKE)})
    job, data = exported(house, {"applicability": True, "open": ["query_vector", "text", "vector"]})
    verification = audited(house, data)
    assert (verification.report.exit_code, verification.applicable) == (0, hits), verification.report
    parts = parse_bundle(data).parts
    assert (len(parts.proofs), frozenset(line.hit for line in parts.queries)) == (3, hits)
    assert {line.kind for line in parts.openings} == {"text", "vector"}
    assert job["unproved"] == 0 and job["scope"]["applicability"] is True


def test_an_export_that_opens_queries_holds_what_was_proved_and_says_how_much_was_not(house: InProcess) -> None:
    proved = hit_by_meaning(house)
    wait_for_file(house, proved)
    hit_by_meaning(house, ALSO_ALIKE)
    job, data = exported(house, {"open": ["query_vector"]})
    parts = parse_bundle(data).parts
    assert (len(parts.proofs), len(parts.queries), job["unproved"]) == (2, 2, 1)
    verification = audited(house, data)
    assert (verification.report.exit_code, verification.applicable) == (0, frozenset({proved}))


def test_an_export_whose_queries_stay_closed_holds_no_proof_to_test_guesses_with(house: InProcess) -> None:
    wait_for_file(house, hit_by_meaning(house))
    answer = house.call("GET", "/v1/audit/export", key=house.key("auditor"))
    parts = parse_bundle(answer.content).parts
    assert (parts.proofs, parts.queries, answer.headers["x-hitproof-unproved"]) == ((), (), "1")
    assert LeafKind.EVIDENCE not in {body.kind for body in parts.bodies}
    assert audited(house, answer.content).report.exit_code == 0


def test_proofs_are_exported_to_those_alone_who_may_read_their_queries(house: InProcess) -> None:
    wait_for_file(house, hit_by_meaning(house))
    auditor = house.key("auditor")
    refused(house.call("GET", "/v1/audit/export?applicability=1", key=auditor), 403, "missing_scope")
    refused(house.call("POST", "/v1/audit/export", json={"applicability": True}, key=auditor), 403, "missing_scope")
    job, data = exported(house, {"applicability": True})
    assert job["scope"]["kinds"] == ["query_vector"]
    assert len(parse_bundle(data).parts.proofs) == 2
    refused(house.call("GET", f"/v1/audit/export/{job['id']}/bundle", key=auditor), 403, "missing_scope")


def test_an_export_with_proofs_is_written_down_as_one_that_opens(house: InProcess) -> None:
    hit_by_meaning(house)
    assert house.call("GET", "/v1/audit/export?applicability=1").status_code == 200
    read = house.gateway.gateway.database.read_now
    events = read(lambda connection: list_audit(connection, tenant=owner(house), after=0, limit=100))
    assert [json.loads(event.detail)["kinds"] for event in events if event.action == "audit.export"] == [
        ["query_vector"]
    ]


def test_of_named_receipts_alone_are_queries_opened_and_hits_proved(house: InProcess) -> None:
    hit_by_meaning(house)
    _, none = exported(house, {"applicability": True, "receipts": []})
    parts = parse_bundle(none).parts
    assert (parts.proofs, parts.queries, count_made(house)) == ((), (), 0)


def test_an_export_makes_no_more_proofs_than_it_may(tmp_path: Path) -> None:
    settings = SETTINGS | {"applicability_export_max": 1}
    with in_process(tmp_path, Options(quota=GENEROUS, settings=settings)) as house:
        hit_by_meaning(house), hit_by_meaning(house, ALSO_ALIKE)
        answer = house.call("GET", "/v1/audit/export?applicability=true")
        assert answer.headers["x-hitproof-unproved"] == "1"


def test_an_export_of_a_time_makes_proofs_of_that_time_alone(house: InProcess) -> None:
    hit_by_meaning(house)
    house.gateway.clock.advance(10)
    since_ms = house.gateway.clock.now_ms()
    late = hit_by_meaning(house, ALSO_ALIKE)
    data = house.call("GET", f"/v1/audit/export?applicability=1&since_ms={since_ms}").content
    assert [line.document.to_json().get("hit") for line in parse_bundle(data).parts.proofs] == [None, late]
    assert count_made(house) == 1


def test_queries_are_opened_to_those_alone_who_may_read(house: InProcess) -> None:
    hit_by_meaning(house)
    answer = house.call("POST", "/v1/audit/export", json={"open": ["query_vector"]}, key=house.key("auditor"))
    refused(answer, 403, "missing_scope")


def test_queries_of_chosen_receipts_are_opened_and_no_others(house: InProcess) -> None:
    hit_by_meaning(house)
    _, none = exported(house, {"open": ["query_vector"], "receipts": []})
    assert parse_bundle(none).parts.queries == ()


def test_a_bundle_of_one_tenant_holds_no_proof_of_another(house: InProcess) -> None:
    wait_for_file(house, hit_by_meaning(house))
    other = house.gateway.tenants[1].key
    data = house.call("GET", "/v1/audit/export?applicability=1", key=other).content
    assert parse_bundle(data).parts.proofs == ()


# Several gateways, and behind the answers


def test_two_gateways_that_prove_one_hit_at_once_keep_one_proof(tmp_path: Path) -> None:
    async def work() -> None:
        async with (
            fake_gateway(tmp_path, Options(seed=1)) as first,
            fake_gateway(tmp_path, Options(seed=2)) as second,
        ):
            await first.ask(QUESTION)
            hit = (await first.ask(ALIKE))["hitproof"]["hit"]
            await first.settle()
            states, tenant = [one.gateway.state for one in (first, second)], first.tenants[0].id
            contexts = [await state.tenants.get(tenant) for state in states]
            outcomes = await asyncio.gather(
                *(state.applicability.ensure(context, hit) for state, context in zip(states, contexts, strict=True))
            )
            assert isinstance(outcomes[0], ProvedHit) and outcomes[0] == outcomes[1]
            assert first.gateway.database.read_now(count_leaves_of_proofs) == 2

    asyncio.run(work())


def count_leaves_of_proofs(connection: Connection) -> int:
    """Count the leaves that stand for a document of either kind."""
    bodies = [row.body for row in LogRepository(connection).load_unsequenced(1_000) if row.kind == LeafKind.EVIDENCE]
    return sum(b"hitproof/evidence/v1" in (body or b"") for body in bodies)


def test_behind_the_answers_the_newest_hit_is_proved_first(house: InProcess) -> None:
    hit_by_meaning(house)
    house.gateway.clock.advance(1)
    newest = hit_by_meaning(house, ALSO_ALIKE)
    house.run(house.gateway.settle())
    background = house.gateway.gateway.applicability.background
    assert house.run(background.step()) is True
    proofs = house.gateway.gateway.database.read_now(lambda c: ApplicabilityRepository(c, owner(house)).get(newest))
    assert proofs is not None
    assert house.run(background.step()) is True
    assert house.run(background.step()) is False
