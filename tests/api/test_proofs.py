"""What leaves the house for an auditor, over HTTP: proof files of receipts and hits, bundles at once and as jobs."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto.bundle import parse_bundle
from crypto.ed25519 import SigningKey
from crypto.trust import sign_trust
from crypto.verify import AuditOptions, Verification, verify_bundle, verify_proof_file
from server.audit.export import Exporter
from server.audit.keys import ExportKeys
from server.audit.request import ExportRequest
from server.audit.settling import settle
from server.clock import SystemRandom
from server.ports import JsonObject
from server.store.log import LogRepository
from server.store.log_records import CheckpointRow
from server.trust_document import DAY_MS, TrustTerms, draft_trust
from tenants.scopes import Scope
from tests.api.in_process import GENEROUS, InProcess, assert_error, in_process
from tests.fakes import Options

ROOT = SigningKey(b"\x07" * 32)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[InProcess]:
    settings = {"log_sequencer": True, "log_interval_s": 0.05}
    with in_process(tmp_path, Options(quota=GENEROUS, settings=settings)) as running:
        yield running


def trust_of(house: InProcess) -> bytes:
    terms = TrustTerms((ROOT.public_key,), 1, DAY_MS)
    now_ms = house.gateway.clock.now_ms()
    draft = house.gateway.gateway.database.read_now(
        lambda connection: draft_trust(connection, terms, version=1, now_ms=now_ms)
    )
    return sign_trust(draft.to_payload(), [ROOT]).encode()


def asked(house: InProcess, text: str = "How deep is the lake?", **fields: object) -> JsonObject:
    account: JsonObject = house.chat(text, **fields).json()["hitproof"]
    return account


def audited(house: InProcess, data: bytes) -> Verification:
    options = AuditOptions(now_ms=house.gateway.clock.now_ms(), max_age_ms=60_000)
    return verify_bundle(data, trust_of(house), options)


def job(house: InProcess, body: JsonObject, *, key: str | None = None) -> JsonObject:
    """Start an export and wait for its end."""
    started = house.call("POST", "/v1/audit/export", json=body, key=key)
    assert started.status_code == 202, started.text
    found: JsonObject = started.json()
    for _ in range(200):
        if found["state"] != "running":
            return found
        house.run(asyncio.sleep(0.05))
        found = house.call("GET", f"/v1/audit/export/{found['id']}", key=key).json()
    raise AssertionError(found)


def wait_for_proof(house: InProcess, path: str, **options: object) -> str:
    for _ in range(200):
        answer = house.call("GET", path)
        if answer.status_code == 200:
            return answer.text
        assert answer.status_code == 202 and answer.json()["state"] == "pending"
        house.run(asyncio.sleep(0.05))
    raise AssertionError(answer.text)


def test_a_receipt_and_a_hit_are_proved_each_by_a_file_of_its_own(house: InProcess) -> None:
    miss, hit = asked(house), asked(house)
    options = AuditOptions(now_ms=house.gateway.clock.now_ms())
    for path in (f"/v1/receipts/{miss['receipt']['id']}", f"/v1/hits/{hit['hit']}/proof"):
        file = wait_for_proof(house, path).encode()
        assert verify_proof_file(file, trust_of(house), options).report.exit_code == 0, path
        changed = file.replace(b"index ", b"index 1", 1)
        assert verify_proof_file(changed, trust_of(house), options).report.exit_code != 0, path


def test_a_receipt_says_how_far_it_is(house: InProcess) -> None:
    receipt = asked(house)["receipt"]
    assert receipt["state"] == "pending"
    wait_for_proof(house, f"/v1/receipts/{receipt['id']}")
    path = f"/v1/receipts/{receipt['id']}"
    answer = house.call("GET", path, headers={"accept": "application/json"}).json()
    assert (answer["state"], answer["grade"], answer["id"]) == ("included", "declared", receipt["id"])
    assert asked(house)["receipt"] == receipt | {"state": "included"}


def test_a_bundle_at_once_holds_every_receipt_and_hit_until_now(house: InProcess) -> None:
    for text in ("How deep is the lake?", "How high is the hill?"):
        asked(house, text)
        asked(house, text)
    answer = house.call("GET", "/v1/audit/export")
    verification = audited(house, answer.content)
    assert verification.report.exit_code == 0, verification.report
    assert (len(verification.statements), len(verification.hits)) == (2, 2)
    assert (answer.headers["x-hitproof-receipts"], answer.headers["x-hitproof-hits"]) == ("2", "2")


def test_a_bundle_of_one_tenant_says_nothing_of_another(house: InProcess) -> None:
    asked(house)
    asked(house)
    other = house.gateway.tenants[1].key
    theirs = asked(house, key=other), asked(house, key=other)
    bundle = house.call("GET", "/v1/audit/export").content
    parts = parse_bundle(bundle).parts
    assert len(parts.receipts) == 1
    assert [line.positions for line in parts.hits] == [(0,)]
    assert theirs[1]["hit"].encode() not in bundle
    assert house.gateway.tenants[1].id.encode() not in bundle


def test_a_scope_of_time_keeps_receipts_that_its_hits_refer_to(house: InProcess) -> None:
    asked(house)
    asked(house, "Never asked again?")
    house.gateway.clock.advance(10)
    since_ms = house.gateway.clock.now_ms()
    asked(house)
    bundle = house.call("GET", f"/v1/audit/export?since_ms={since_ms}").content
    verification = audited(house, bundle)
    assert verification.report.exit_code == 0, verification.report
    assert (len(verification.statements), len(verification.hits)) == (1, 1)


def test_a_job_opens_what_it_was_told_to_and_nothing_else(house: InProcess) -> None:
    first, second = asked(house), asked(house, "How high is the hill?")
    chosen = first["receipt"]["id"]
    done = job(house, {"open": ["prompt", "output"], "receipts": [chosen]})
    assert done["state"] == "done", done
    assert done["done"] == done["total"] == 2
    bundle = house.call("GET", f"/v1/audit/export/{done['id']}/bundle").content
    verification = audited(house, bundle)
    assert verification.report.exit_code == 0, verification.report
    openings = parse_bundle(bundle).parts.openings
    assert [line.kind for line in openings] == ["output", "prompt"]
    assert b"How deep is the lake?" in bundle
    assert b"How high is the hill?" not in bundle
    assert second["receipt"] is not None


def test_an_opening_that_was_changed_is_refused(house: InProcess) -> None:
    asked(house)
    done = job(house, {"open": ["prompt"]})
    bundle = house.call("GET", f"/v1/audit/export/{done['id']}/bundle").content
    changed = bundle.replace(b"How deep is the lake?", b"How deep is the lava?")
    assert changed != bundle
    assert audited(house, changed).report.exit_code in (1, 2)


def test_an_auditor_may_export_and_may_not_read(house: InProcess) -> None:
    asked(house)
    auditor = house.key("auditor")
    assert house.call("GET", "/v1/audit/export", key=auditor).status_code == 200
    refused = house.call("POST", "/v1/audit/export", key=auditor, json={"open": ["prompt"]})
    assert assert_error(refused, 403)["code"] == "missing_scope"
    opened = job(house, {"open": ["prompt"]})
    path = f"/v1/audit/export/{opened['id']}/bundle"
    assert assert_error(house.call("GET", path, key=auditor), 403)["code"] == "missing_scope"


def test_another_tenants_receipts_hits_and_exports_are_not_there(house: InProcess) -> None:
    miss, hit, done = asked(house), asked(house), job(house, {})
    wait_for_proof(house, f"/v1/hits/{hit['hit']}/proof")
    other = house.gateway.tenants[1].key
    for path in (
        f"/v1/receipts/{miss['receipt']['id']}",
        f"/v1/hits/{hit['hit']}/proof",
        f"/v1/audit/export/{done['id']}",
        f"/v1/audit/export/{done['id']}/bundle",
    ):
        assert assert_error(house.call("GET", path, key=other), 404)["code"] == "not_found", path


def test_an_application_proves_its_hit_and_exports_nothing(house: InProcess) -> None:
    application = house.key("application")
    asked(house, key=application)
    hit = asked(house, key=application)["hit"]
    wait_for_proof(house, f"/v1/hits/{hit}/proof")
    assert house.call("GET", f"/v1/hits/{hit}/proof", key=application).status_code == 200
    assert house.call("GET", "/v1/audit/export", key=application).status_code == 403
    assert Scope.AUDIT == "audit"


def test_a_scope_that_cannot_be_is_told_so(house: InProcess) -> None:
    for query in ("since_ms=5&until_ms=5", "model_version=gpt", "from_size=4000"):
        answer = house.call("GET", f"/v1/audit/export?{query}")
        assert assert_error(answer, 400)["code"] == "export_refused", query


def test_an_export_is_in_the_audit_log_before_anything_leaves(house: InProcess) -> None:
    house.call("GET", "/v1/audit/export?from_size=4000")
    rows = house.call("GET", "/admin/v1/audit-log").json()["data"]
    assert [row["action"] for row in rows].count("audit.export") == 1


def test_a_checkpoint_that_was_seen_before_is_proved_continued(house: InProcess) -> None:
    asked(house)
    first = house.call("GET", "/v1/audit/export")
    seen = int(first.headers["x-hitproof-log-size"])
    asked(house, "How high is the hill?")
    later = house.call("GET", f"/v1/audit/export?from_size={seen}").content
    options = AuditOptions(
        now_ms=house.gateway.clock.now_ms(),
        last_seen=verify_bundle(first.content, trust_of(house), AuditOptions(house.gateway.clock.now_ms())).last_seen,
    )
    assert verify_bundle(later, trust_of(house), options).report.exit_code == 0


def test_an_export_waits_for_the_witnesses_that_are_asked_for(house: InProcess) -> None:
    asked(house)
    database = house.gateway.gateway.database
    clock, random = house.gateway.clock, SystemRandom()
    tenant = house.gateway.tenants[0].id
    seen: list[int] = []
    witnessed: list[int] = []

    def cosign() -> None:
        """Be a witness who takes a moment: a checkpoint is cosigned when it is seen for the third time."""
        row = database.read_now(lambda connection: LogRepository(connection).latest_checkpoint())
        if row is None or row.size in witnessed:
            return
        seen.append(row.size)
        if seen.count(row.size) < 3:
            return
        witnessed.append(row.size)
        lease = database.read_now(lambda connection: LogRepository(connection).get_lease())
        assert lease is not None
        database.write_now(
            lambda connection: LogRepository(connection).set_cosigned(lease.token, row.size, note=row.note, witnesses=1)
        )

    async def export() -> CheckpointRow:
        return await asyncio.to_thread(settle, database, tenant, clock=clock, random=random, quorum=1, advance=cosign)

    found = house.run(export())
    assert found.witnesses == 1
    assert found.size in witnessed


def test_a_receipt_is_never_opened_with_another_ones_text(house: InProcess) -> None:
    asked(house)
    asked(house, "How high is the hill?")
    with contextlib.closing(sqlite3.connect(house.gateway.gateway.database.engine.url.database or "")) as raw, raw:
        raw.execute("UPDATE receipts SET entry_id = (SELECT sum(entry_id) FROM receipts) - entry_id")
    done = job(house, {"open": ["prompt", "output"]})
    bundle = house.call("GET", f"/v1/audit/export/{done['id']}/bundle").content
    assert parse_bundle(bundle).parts.openings == ()
    assert audited(house, bundle).report.exit_code == 0


def test_what_came_behind_the_checkpoint_is_not_in_its_bundle(house: InProcess) -> None:
    gateway, tenant = house.gateway, house.gateway.tenants[0].id
    database, clock = gateway.gateway.database, gateway.clock

    def settled() -> CheckpointRow:
        return house.run(asyncio.to_thread(settle, database, tenant, clock=clock, random=SystemRandom()))

    asked(house)
    earlier = settled()
    asked(house, "How high is the hill?")
    assert settled().size > earlier.size
    context = house.run(gateway.gateway.tenants.get(tenant))
    keys = ExportKeys(context.pseudonym_key, context.open_with, gateway.gateway.state.gateway_signer)
    exporter = Exporter(database, gateway.gateway.state.log_storage, tenant, keys, clock)
    exported = exporter.export(ExportRequest(), earlier, lambda _done, _total: None)
    assert exported.counts.receipts == 1
    assert audited(house, exported.data).report.exit_code == 0
