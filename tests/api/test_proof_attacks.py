"""Attacks on what leaves the house: exports that race, crash, outlive their tenant, or ask for more than there is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert

from crypto.bundle import parse_bundle
from crypto.errors import EncodingError
from crypto.manifest import model_version
from crypto.verify import AuditOptions, verify_bundle, verify_proof_file
from server.audit.export import Exporter
from server.audit.jobs import KEPT_MS, ExportJobs
from server.audit.keys import ExportKeys
from server.audit.request import ExportError, ExportRequest
from server.audit.settling import settle
from server.datafolder import DataFolder
from server.log.batching import log_batches, make_batches
from server.log.fsck import check_log
from server.log.status import restate_status
from server.log.storage import CHECKPOINT
from server.log.transactions import DirectTransactions
from server.standing import end_model_version, revoke_signer
from server.store.log import LogRepository
from server.store.log_records import CheckpointRow
from server.store.receipts import HitRepository
from server.store.tables import log_checkpoints
from tests.api.in_process import GENEROUS, InProcess, assert_error, in_process, until_logged
from tests.api.test_proofs import asked, audited, job, trust_of
from tests.fakes import FakeClock, Options
from tests.signing_runner import MANIFEST, RUNNER_KEY, SigningRunner

SETTINGS = {"log_sequencer": True, "log_interval_s": 0.05}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[InProcess]:
    with in_process(tmp_path, Options(quota=GENEROUS, settings=SETTINGS)) as running:
        yield running


def folder_of(house: InProcess) -> Path:
    return DataFolder(house.gateway.settings.data).exports


def keys_of(house: InProcess, tenant: int = 0) -> ExportKeys:
    gateway = house.gateway.gateway
    context = house.run(gateway.tenants.get(house.gateway.tenants[tenant].id))
    return ExportKeys(context.pseudonym_key, context.open_with, gateway.state.gateway_signer)


def test_an_export_stands_by_the_status_list_of_its_checkpoint_when_another_is_logged_meanwhile(
    house: InProcess,
) -> None:
    asked(house)
    asked(house)
    gateway, tenant = house.gateway.gateway, house.gateway.tenants[0].id
    clock, random = house.gateway.clock, gateway.state.random
    database = gateway.database
    house.run(gateway.state.hit_journal.flush())
    checkpoint = house.run(asyncio.to_thread(settle, database, tenant, clock=clock, random=random))
    clock.advance(1)
    database.write_now(lambda c: restate_status(c, now_ms=clock.now_ms(), random=random))
    exporter = Exporter(database, gateway.proving.log.storage, tenant, keys_of(house), clock)
    data = exporter.export(ExportRequest(), checkpoint, lambda _done, _total: None).data
    assert audited(house, data).report.exit_code == 0


def test_a_gateway_starts_after_an_export_was_cut_short_whose_job_is_forgotten(tmp_path: Path) -> None:
    with in_process(tmp_path, Options(quota=GENEROUS, settings=SETTINGS)) as first:
        folder = folder_of(first)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "aud_00.running").write_text(first.gateway.tenants[0].id)
        (folder / "aud_00.zip").write_bytes(b"half a bundle")
        (folder / "aud_01.running").write_text("")
    with in_process(tmp_path, Options(quota=GENEROUS, settings=SETTINGS)) as second:
        assert second.call("GET", "/healthz", key="").status_code == 200
        assert list(folder.iterdir()) == []


def test_a_bundle_is_gone_after_a_day_though_its_tenant_never_exports_again(house: InProcess) -> None:
    asked(house)
    done = job(house, {"open": ["prompt"]})
    path = f"/v1/audit/export/{done['id']}/bundle"
    assert house.call("GET", path).status_code == 200
    house.gateway.clock.advance(KEPT_MS / 1000 + 1)
    assert assert_error(house.call("GET", path), 409)["code"] == "export_not_ready"
    house.run(house.gateway.gateway.state.export_jobs.tidy())
    assert list(folder_of(house).iterdir()) == []


def test_a_bundle_that_is_finished_after_its_tenant_was_erased_is_removed(house: InProcess) -> None:
    asked(house)
    jobs, tenant = house.gateway.gateway.state.export_jobs, house.gateway.tenants[0].id
    keys, made = keys_of(house), []

    class Slow(ExportJobs):
        def _export(self, *given: object) -> object:  # type: ignore[override]
            exported = super()._export(*given)  # type: ignore[arg-type]
            house.gateway.erase()
            made.append(exported)
            return exported

    jobs.__class__ = Slow
    house.run(jobs.start(tenant, keys, ExportRequest(kinds=("prompt",))))
    house.run(jobs.stop())
    assert made
    assert list(folder_of(house).iterdir()) == []


def test_files_of_exports_that_no_row_knows_are_removed_on_every_machine(house: InProcess) -> None:
    asked(house)
    done = job(house, {"open": ["prompt"]})
    assert [path.name for path in folder_of(house).iterdir()] == [f"{done['id']}.zip"]
    house.gateway.erase()  # as another process does, on another machine: it does not see this folder
    house.run(house.gateway.gateway.state.export_jobs.tidy())
    assert list(folder_of(house).iterdir()) == []


def test_one_tenants_exports_leave_a_place_for_another(house: InProcess) -> None:
    jobs = house.gateway.gateway.state.export_jobs
    first, other = (house.gateway.tenants[number].id for number in (0, 1))
    keys = keys_of(house), keys_of(house, 1)

    async def play() -> list[str]:
        outcomes = []
        for tenant, used in ((first, keys[0]), (first, keys[0]), (other, keys[1])):
            try:
                await jobs.start(tenant, used, ExportRequest())
            except Exception as error:
                outcomes.append(type(error).__name__)
            else:
                outcomes.append("started")
        await jobs.stop()
        return outcomes

    assert house.run(play()) == ["started", "ExportRunning", "started"]


@pytest.mark.parametrize("name", ["since_ms", "until_ms", "from_size"])
@pytest.mark.parametrize("value", [2**53, 2**63, 10**30])
def test_a_number_that_no_bundle_can_state_is_told_so(house: InProcess, name: str, value: int) -> None:
    asked(house)
    answer = house.call("GET", f"/v1/audit/export?{name}={value}")
    assert assert_error(answer, 400)["code"] == "export_refused"


@pytest.mark.parametrize(
    "path", ["/v1/audit/export", "/v1/receipts/rcp_0", "/v1/hits/hit_0/proof", "/v1/audit/export/aud_0"]
)
def test_the_platform_reads_no_tenants_proofs(house: InProcess, path: str) -> None:
    assert house.call("GET", path, key=house.gateway.platform_key).status_code == 403


def test_an_answer_that_is_too_long_for_an_opening_stays_closed_and_stops_no_export(house: InProcess) -> None:
    house.gateway.upstream.answer = lambda _request: "x" * (1 << 22)
    asked(house)
    house.gateway.upstream.answer = lambda _request: "short"
    asked(house, "How high is the hill?")
    done = job(house, {"open": ["output", "prompt"]})
    assert done["state"] == "done", done
    bundle = house.call("GET", f"/v1/audit/export/{done['id']}/bundle").content
    assert audited(house, bundle).report.exit_code == 0
    assert sorted(line.kind for line in parse_bundle(bundle).parts.openings) == ["output", "prompt", "prompt"]


def test_a_bundle_that_no_verifier_takes_is_refused_before_it_is_made(
    house: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        asked(house, f"How deep is lake number {number}?")
    monkeypatch.setattr("server.audit.weight.BYTES_MAX", 4_000)
    answer = house.call("GET", "/v1/audit/export")
    assert assert_error(answer, 400)["code"] == "export_refused"
    assert "shorter time" in answer.json()["error"]["message"]


def test_two_exports_at_once_are_both_right(house: InProcess) -> None:
    for tenant in (0, 1):
        key = house.gateway.tenants[tenant].key
        asked(house, key=key)
        asked(house, key=key)

    async def both() -> list[bytes]:
        found = await asyncio.gather(*(house.gateway.call("GET", "/v1/audit/export", tenant=n) for n in (0, 1)))
        assert [answer.status_code for answer in found] == [200, 200], [answer.text for answer in found]
        return [answer.content for answer in found]

    options = AuditOptions(now_ms=house.gateway.clock.now_ms())
    for data in house.run(both()):
        assert verify_bundle(data, trust_of(house), options).report.exit_code == 0


def runner_house(folder: Path, **settings: object) -> contextlib.AbstractContextManager[InProcess]:
    clock = FakeClock()
    options = Options(
        quota=GENEROUS,
        clock=clock,
        upstream=SigningRunner(clock),
        upstream_kind="runner",
        settings=SETTINGS | {"embedding_statement_batch_max": 8, "embedding_statement_interval_s": 3600} | settings,
    )
    return in_process(folder, options)


def test_a_version_that_an_answer_named_before_its_manifest_was_listed_is_exported_with_it(tmp_path: Path) -> None:
    with runner_house(tmp_path) as house:
        runner, gateway = house.gateway.upstream, house.gateway.gateway
        assert isinstance(runner, SigningRunner)
        assert asked(house)["receipt"]["grade"] == "attested"
        runner.manifest = MANIFEST | {"resources": [{"name": "weights", "size_bytes": 0, "sha256": "33" * 32}]}
        runner.version = model_version(runner.manifest)
        asked(house, "How high is the hill?")  # of a version whose manifest is not known yet: not stored
        house.run(gateway.models.ask_upstreams())
        assert asked(house, "How high is the hill?")["receipt"]["grade"] == "attested"
        assert asked(house, "How high is the hill?")["outcome"] == "hit"
        verification = audited(house, house.call("GET", "/v1/audit/export").content)
        assert verification.report.exit_code == 0, verification.report
        assert len(verification.statements) == 2


def test_a_compromised_gateway_key_signs_no_bundle(house: InProcess) -> None:
    asked(house)
    gateway = house.gateway.gateway
    key = gateway.state.gateway_signer.key_id
    now_ms, random = house.gateway.clock.now_ms(), gateway.state.random
    gateway.database.write_now(
        lambda c: revoke_signer(c, key, since_index=1, actor="test", now_ms=now_ms, random=random)
    )
    answer = house.call("GET", "/v1/audit/export")
    assert assert_error(answer, 503)["code"] == "export_unavailable"
    assert "compromised" in answer.json()["error"]["message"]


def test_a_retired_gateway_key_still_signs_what_verifies(house: InProcess) -> None:
    asked(house)
    asked(house)
    gateway = house.gateway.gateway
    key = gateway.state.gateway_signer.key_id
    now_ms, random = house.gateway.clock.now_ms(), gateway.state.random
    gateway.database.write_now(
        lambda c: revoke_signer(c, key, since_index=None, actor="test", now_ms=now_ms, random=random)
    )
    until_logged(house)  # a receipt that had no place in the log when its key ended has one now
    assert asked(house)["outcome"] == "hit"
    assert asked(house, "How high is the hill?")["receipt"] is None
    verification = audited(house, house.call("GET", "/v1/audit/export").content)
    assert verification.report.exit_code == 0, verification.report
    assert len(verification.hits) == 2


def test_a_proof_waits_for_this_machines_tiles_and_builds_no_tree_of_its_own(
    house: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = asked(house)["receipt"]["id"]
    until_logged(house)
    assert house.call("GET", f"/v1/receipts/{receipt}").status_code == 200
    published = house.gateway.gateway.proving.log.storage.read(CHECKPOINT)

    def build(*_given: object) -> None:
        raise AssertionError("a whole tree was built to answer one request")

    monkeypatch.setattr("server.audit.tree._build", build)
    hold_the_log(house, monkeypatch)
    database, storage = house.gateway.gateway.database, house.gateway.gateway.proving.log.storage
    newest = database.read_now(lambda c: LogRepository(c).latest_checkpoint())
    assert newest is not None and published is not None
    ahead = replace(newest, size=newest.size + 1000, root=bytes(32))
    database.write_now(
        lambda c: c.execute(insert(log_checkpoints), {name: getattr(ahead, name) for name in CheckpointRow.__slots__})
    )
    assert storage.read(CHECKPOINT) == published
    answer = house.call("GET", f"/v1/receipts/{receipt}")
    assert answer.status_code == 200
    options = AuditOptions(now_ms=house.gateway.clock.now_ms())
    assert verify_proof_file(answer.content, trust_of(house), options).report.exit_code == 0
    later = asked(house, "How high is the hill?")["receipt"]["id"]
    assert house.call("GET", f"/v1/receipts/{later}").status_code == 202


def hold_the_log(house: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the step that the log is in come to its end, and no other begin."""
    stands_still = asyncio.Event()

    async def step(_service: object) -> bool:
        stands_still.set()
        return False

    monkeypatch.setattr(type(house.gateway.gateway.proving.log), "step", step)
    house.run(asyncio.wait_for(stands_still.wait(), 60))


DAY_S = 86_400


def test_proofs_are_kept_as_long_as_the_settings_say_and_what_is_left_still_verifies(tmp_path: Path) -> None:
    with runner_house(tmp_path, audit_retention_s=30 * DAY_S) as house:
        gateway, clock = house.gateway.gateway, house.gateway.clock
        house.gateway.set_policy(threshold_ten_thousandths=9_000, ttl_s=60 * DAY_S, ttl_s_max=60 * DAY_S)
        kept = asked(house, "Which question lives on?")["receipt"]["id"]
        short = asked(house, "Which one is hit late?", hitproof={"ttl": 20 * DAY_S})["receipt"]["id"]
        gone = asked(house, "Which one goes?", hitproof={"ttl": DAY_S})["receipt"]["id"]
        old = [asked(house, "Which one goes?")["hit"], asked(house, "Which question lives on?")["hit"]]
        house.run(gateway.embedding_statements.step())
        house.run(gateway.state.hit_journal.flush())
        until_logged(house)
        clock.advance(19 * DAY_S)
        late = asked(house, "Which one is hit late?")["hit"]
        house.run(gateway.state.hit_journal.flush())
        until_logged(house)
        clock.advance(20 * DAY_S)
        house.run(gateway.sweeper.sweep())
        for name in (kept, short):
            assert house.call("GET", f"/v1/receipts/{name}").status_code == 200
        assert house.call("GET", f"/v1/receipts/{gone}").status_code == 404
        assert [house.call("GET", f"/v1/hits/{hit}/proof").status_code for hit in (*old, late)] == [404, 404, 200]
        assert asked(house, "Which question lives on?")["receipt"]["id"] == kept
        verification = audited(house, house.call("GET", "/v1/audit/export").content)
        assert verification.report.exit_code == 0, verification.report
        assert (len(verification.statements), len(verification.hits)) == (2, 2)
        assert house.run(asyncio.to_thread(faults_of, house)) == ()


def test_hits_go_with_the_whole_of_their_batch_or_not_at_all(tmp_path: Path) -> None:
    with runner_house(tmp_path, audit_retention_s=30 * DAY_S, log_sequencer=False) as house:
        gateway, clock = house.gateway.gateway, house.gateway.clock
        house.gateway.set_policy(threshold_ten_thousandths=9_000, ttl_s=60 * DAY_S, ttl_s_max=60 * DAY_S)
        asked(house)
        clock.advance(-(clock.now_ms() // 1000) % (30 * DAY_S))  # so that one pseudonym serves
        hits = [asked(house)["hit"]]
        clock.advance(10 * DAY_S)
        hits.append(asked(house)["hit"])
        house.run(gateway.state.hit_journal.flush())
        rows = gateway.database.read_now(lambda c: LogRepository(c).load_unbatched(10))
        made = make_batches(rows, at_ms=clock.now_ms(), random=gateway.state.random)
        assert [len(batch.hits) for batch in made] == [2]
        lease = gateway.database.write_now(
            lambda c: LogRepository(c).take_lease("test", now_ms=clock.now_ms(), lasts_ms=1)
        )
        assert lease is not None
        gateway.database.write_now(lambda c: log_batches(c, made, lease.token))

        def count(connection: Connection) -> int:
            return HitRepository(connection, house.gateway.tenants[0].id).count()

        for days, left in ((25, 2), (10, 0)):
            clock.advance(days * DAY_S)
            house.run(gateway.sweeper.sweep())
            assert gateway.database.read_now(count) == left


def faults_of(house: InProcess) -> tuple[str, ...]:
    """Return what a check of the whole log finds."""
    gateway = house.gateway.gateway
    found = check_log(DirectTransactions(gateway.database), gateway.proving.log.storage, gateway.proving.log.log_key)
    return tuple(found.problems)


@pytest.mark.parametrize("kind", ["query", "salt"])
def test_what_no_export_can_open_is_told_so(kind: str) -> None:
    with pytest.raises(ExportError, match="can be opened"):
        ExportRequest(kinds=(kind,))


def test_a_signing_key_that_ends_on_one_worker_ends_its_hits_on_another_at_once(tmp_path: Path) -> None:
    with runner_house(tmp_path) as first, runner_house(tmp_path, log_sequencer=False) as second:
        asked(first)
        for house in (first, second):
            assert asked(house)["outcome"] == "hit"
        key, gateway = RUNNER_KEY.key_id, first.gateway.gateway
        now_ms, random = first.gateway.clock.now_ms(), gateway.state.random
        gateway.database.write_now(
            lambda c: revoke_signer(c, key, since_index=0, actor="test", now_ms=now_ms, random=random)
        )
        for house in (second, first):
            found = asked(house)
            assert (found["outcome"], found["receipt"]) == ("miss", None)


def test_a_model_version_that_is_revoked_on_one_worker_ends_its_hits_on_another_at_once(tmp_path: Path) -> None:
    with runner_house(tmp_path) as first, runner_house(tmp_path, log_sequencer=False) as second:
        asked(first)
        assert asked(second)["outcome"] == "hit"
        runner, gateway = first.gateway.upstream, first.gateway.gateway
        assert isinstance(runner, SigningRunner)
        version, now_ms, random = runner.version, first.gateway.clock.now_ms(), gateway.state.random
        gateway.database.write_now(
            lambda c: end_model_version(c, version, "revoked", actor="test", now_ms=now_ms, random=random)
        )
        for house in (second, first):
            assert asked(house)["outcome"] == "miss"


def test_a_second_worker_exports_and_proves_what_the_first_one_logs(tmp_path: Path) -> None:
    with runner_house(tmp_path) as first, runner_house(tmp_path, log_sequencer=False) as second:
        asked(first)
        hit = asked(second)["hit"]
        second.run(second.gateway.gateway.state.hit_journal.flush())
        until_logged(first)
        answer = second.call("GET", f"/v1/hits/{hit}/proof")
        assert answer.status_code == 200
        options = AuditOptions(now_ms=second.gateway.clock.now_ms())
        assert verify_proof_file(answer.content, trust_of(second), options).report.exit_code == 0


def test_a_log_with_an_erased_tenant_in_it_is_whole_and_the_others_exports_verify(tmp_path: Path) -> None:
    with runner_house(tmp_path) as house:
        for tenant in house.gateway.tenants:
            asked(house, key=tenant.key)
            asked(house, key=tenant.key)
        house.run(house.gateway.gateway.embedding_statements.step())
        house.run(house.gateway.gateway.state.hit_journal.flush())
        until_logged(house)
        house.gateway.erase()
        house.run(house.gateway.settle())
        until_logged(house)
        other = house.gateway.tenants[1].key
        assert house.call("GET", "/v1/audit/export").status_code == 401
        verification = audited(house, house.call("GET", "/v1/audit/export", key=other).content)
        assert verification.report.exit_code == 0, verification.report
        assert (len(verification.statements), len(verification.hits)) == (1, 1)
        assert house.run(asyncio.to_thread(faults_of, house)) == ()


def test_a_refused_log_ends_an_export_with_a_reason_and_gives_its_place_back(
    house: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(house)
    monkeypatch.setattr("server.audit.settling.WAIT_S", 0.3)
    monkeypatch.setattr("server.audit.settling.settle.__kwdefaults__", {**settle.__kwdefaults__, "wait_s": 0.3})
    hold_the_log(house, monkeypatch)
    for _ in range(3):
        answer = house.call("GET", "/v1/audit/export")
        assert assert_error(answer, 503)["code"] == "export_unavailable"


def test_nothing_that_an_export_logs_or_writes_down_quotes_what_was_asked(
    house: InProcess, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "The password of the lighthouse is 4711."
    asked(house, secret)

    def fail(*_given: object) -> None:
        raise EncodingError(f"the value {secret!r} has no canonical form")

    monkeypatch.setattr("server.audit.export.build_bundle", fail)
    done = job(house, {"open": ["prompt"]})
    assert done["state"] == "failed"
    shown = capsys.readouterr()
    rows = house.call("GET", "/admin/v1/audit-log").text
    for text in (str(done), shown.out, shown.err, rows, house.call("GET", "/v1/audit/export").text):
        assert "4711" not in text
