"""What somebody tried who meant to break the verifier, the auditor's machine, or what the auditor believes.

The numbered deceits of `tampering_cases` are about what a bundle says. These are about what the verifiers make of it:
where two implementations differ, what one of them costs, and what a report leaves unsaid or says too loudly.
"""

from __future__ import annotations

import base64
import json
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto.bodies import KeyEvent, ModelStatus
from crypto.bundle_lines import PublisherLine
from crypto.checkpoint import Checkpoint, sign_checkpoint
from crypto.cli import main
from crypto.dsse import PAYLOAD_TRUST, Envelope, make_signature
from crypto.ed25519 import SigningKey
from crypto.errors import VerificationError
from crypto.last_seen import LastSeen, read_last_seen, replace_last_seen, write_last_seen
from crypto.merkle import EMPTY_ROOT, leaf_hash
from crypto.model_signing import verify_publisher
from crypto.note import NoteSignature, format_signature
from crypto.reference import receipts as reference_receipts
from crypto.reference.verify import verify as second_verify
from crypto.report import SampleResult
from crypto.report_text import describe_report
from crypto.status import ModelStanding
from crypto.trust import Publisher
from crypto.verify import ReplayRequest
from tests.audit.bundles import DAY_MS, ORIGIN, POLICY, HonestBundle, Plan, World, make_bundle, make_world
from tests.audit.checking import check_of, reasons, verify, verify_proof
from tests.audit.tampering import PLAN, Attempt, attempt, edit, forged, honest, lines, reseal
from tests.audit.verifiers import VERIFIERS

BOTH = pytest.mark.parametrize("verifier", VERIFIERS)
OTHER = "sha256:" + "3" * 64


def ended(verifier: str, tried: Attempt) -> tuple[int, str | None]:
    """Ask one implementation and return exit code and first reason."""
    found = VERIFIERS[verifier](tried)
    return found.exit_code, found.reason


# The status list against the log's other words


def silent(event: str, since_index: int | None = 2) -> HonestBundle:
    """Return a bundle whose log says that a runner's key ended, and whose list, newer, does not."""

    def add(world: World, policy: str) -> None:
        key = world.runners[0].key_id
        at_ms, digest = world.tick(), world.status.digest()
        world.add_body(KeyEvent(at_ms, event, key, world.bytes_32(), "runner", since_index, digest))  # type: ignore[arg-type]

    return forged(add)


@BOTH
@pytest.mark.parametrize("event", ["retired", "compromised"])
def test_a_status_list_that_is_silent_about_a_key_whose_end_is_in_the_log_is_refused(event: str, verifier: str) -> None:
    assert ended(verifier, attempt(silent(event))) == (1, "status_unbound")


@BOTH
def test_a_status_list_that_calls_a_compromised_key_retired_is_refused(verifier: str) -> None:
    def add(world: World, policy: str) -> None:
        key, since = world.runners[0].key_id, world.tree.size
        at_ms, digest = world.tick(), world.status.digest()
        world.add_body(KeyEvent(at_ms, "compromised", key, world.bytes_32(), "runner", since, digest))
        world.retire_key(key, since_index=since)

    assert ended(verifier, attempt(forged(add))) == (1, "status_unbound")


@BOTH
def test_a_status_list_that_lets_a_key_count_longer_than_the_log_does_is_refused(verifier: str) -> None:
    def add(world: World, policy: str) -> None:
        key = world.runners[0].key_id
        at_ms, digest = world.tick(), world.status.digest()
        world.add_body(KeyEvent(at_ms, "compromised", key, world.bytes_32(), "runner", 2, digest))
        world.retire_key(key, "compromised")

    assert ended(verifier, attempt(forged(add))) == (1, "status_unbound")


@BOTH
@pytest.mark.parametrize(("said", "listed"), [("revoked", None), ("superseded", "revoked"), ("active", "revoked")])
def test_a_status_list_that_contradicts_the_model_status_which_binds_it_is_refused(
    said: str, listed: str | None, verifier: str
) -> None:
    world = make_world(PLAN)
    models = (ModelStanding(world.model, listed),) if listed else ()  # type: ignore[arg-type]
    world.status = replace(world.status, at_ms=world.tick(), models=models)
    world.add_body(
        ModelStatus(world.now_ms, world.model, world.bytes_32(), said, world.status.digest())  # type: ignore[arg-type]
    )
    assert ended(verifier, attempt(world.export())) == (1, "status_unbound")


@BOTH
def test_a_model_that_was_superseded_and_put_in_force_again_is_no_contradiction(verifier: str) -> None:
    world = make_world(PLAN)
    for said in ("superseded", "active"):
        models = (ModelStanding(world.model, "superseded"),) if said == "superseded" else ()
        world.status = replace(world.status, at_ms=world.tick(), models=models)
        world.add_body(ModelStatus(world.now_ms, world.model, world.bytes_32(), said, world.status.digest()))
    assert ended(verifier, attempt(world.export())) == (0, None)


# Where the two implementations differed


@BOTH
def test_a_wrong_policy_document_is_refused_though_nothing_refers_to_it(verifier: str) -> None:
    def add(found: list[dict[str, Any]]) -> None:
        found.append({"document": POLICY, "policy": "sha256:" + "f" * 64})

    assert ended(verifier, reseal(honest(), policies_jsonl=lines(add))) == (1, "policy_mismatch")


@BOTH
def test_a_model_signature_of_more_than_two_mebibytes_of_text_is_refused(verifier: str) -> None:
    bundle = honest()
    line = {"model_version": OTHER, "signature": base64.b64encode(bytes(2**21)).decode()}
    tried = reseal(bundle, publishers_jsonl=lines(lambda found: found.append(line)))
    assert ended(verifier, tried) == (1, "malformed")


def trust_of(bundle: HonestBundle, change: Callable[[dict[str, Any]], object]) -> Attempt:
    """Let the root keys sign any JSON as the trust file."""
    value = json.loads(bundle.trust.to_payload())
    change(value)
    payload = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    signatures = tuple(make_signature(PAYLOAD_TRUST, payload, key) for key in bundle.world.roots)
    return attempt(bundle, trust=Envelope(PAYLOAD_TRUST, payload, signatures).encode())


@BOTH
@pytest.mark.parametrize("name", ["a" * 1_000, "a\x01b"], ids=["too-long", "control-character"])
def test_a_log_key_whose_name_is_out_of_form_makes_a_trust_file_unreadable(name: str, verifier: str) -> None:
    from crypto.note import LOG_ALGORITHM, key_hash

    bundle = honest()
    public_key = bundle.world.log.public_key
    encoded = base64.b64encode(bytes([LOG_ALGORITHM]) + public_key).decode()
    vkey = f"{name}+{key_hash(name, LOG_ALGORITHM, public_key).hex()}+{encoded}"
    tried = trust_of(bundle, lambda value: value.update(log={"origin": name, "vkey": vkey}))
    assert ended(verifier, tried) == (2, "trust_malformed")


@BOTH
def test_a_trust_file_of_more_than_a_mebibyte_is_refused(verifier: str) -> None:
    def with_runners(count: int) -> Attempt:
        keys = [SigningKey(number.to_bytes(32, "big")).public_key.hex() for number in range(count)]
        entry = {"from_ms": 0, "models": [], "name": "\U0001f600" * 1_000, "until_ms": None}
        added = [{**entry, "public_key": key} for key in keys]
        return trust_of(honest(), lambda value: value.update(runners=sorted(value["runners"] + added, key=_public_key)))

    assert ended(verifier, with_runners(10)) == (0, None)
    assert ended(verifier, with_runners(270)) == (2, "trust_malformed")


def _public_key(entry: dict[str, Any]) -> str:
    return str(entry["public_key"])


# What it costs


def seconds(make: Callable[[], object]) -> float:
    """Return how much processor time *make* takes."""
    before = time.process_time()
    make()
    return time.process_time() - before


def counted(monkeypatch: pytest.MonkeyPatch, holder: object, name: str) -> list[Any]:
    """Note what the function *name* is asked from now on."""
    asked: list[Any] = []
    function = getattr(holder, name)

    def counting(value: Any) -> Any:
        asked.append(value)
        return function(value)

    monkeypatch.setattr(holder, name, counting)
    return asked


def test_a_long_status_list_from_nobody_takes_the_second_verifier_no_memory() -> None:
    """Nothing is signed here: an edited file must not fill the auditor's memory before a signature is asked for."""
    bundle = honest()
    tried = edit(bundle, status_json=lambda data: b'"' + b"a" * 2**25 + b'"')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert second_verify(tried.data, tried.trust, now_ms=tried.now_ms).exit_code == 1
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 16 * 2**25 // 1024


def test_the_second_verifier_makes_a_policy_document_canonical_once_and_not_for_each_receipt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A document may have four mebibytes, and receipts be many."""

    def add(world: World, policy: str) -> None:
        for _ in range(5):
            world.add_receipt(*_declared(world, policy))

    asked = counted(monkeypatch, reference_receipts, "write")
    assert ended("second", attempt(forged(add))) == (0, None)
    assert asked.count(POLICY) == 1


def _declared(world: World, policy: str) -> Any:
    from crypto.statement import sign_receipt

    statement = world.make_declared(policy)
    return sign_receipt(statement, world.gateway), statement


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_many_pseudonyms_are_worked_out_once_and_not_for_each_receipt(verifier: str) -> None:
    from crypto.bundle_manifest import PseudonymKey
    from crypto.pseudonym import epoch_of

    bundle = make_bundle(Plan(receipts=40, hits=0, openings=False))
    now = bundle.parts.scope.pseudonyms
    taken = {one.epoch for one in now}
    others = [PseudonymKey(epoch, bytes(32)) for epoch in range(3_000) if epoch not in taken]
    keys = tuple(sorted([*now, *others], key=lambda one: one.epoch))
    assert epoch_of(bundle.now_ms) in taken
    scope = replace(bundle.parts.scope, pseudonyms=keys)
    tried = attempt(bundle, bundle.world.seal(replace(bundle.parts, scope=scope)))
    plain = seconds(lambda: VERIFIERS[verifier](attempt(bundle)))
    assert seconds(lambda: VERIFIERS[verifier](tried)) < plain + 2.0


def test_the_runtime_of_a_manifest_is_hashed_once_and_not_for_each_receipt(monkeypatch: pytest.MonkeyPatch) -> None:
    from crypto.verify import receipts

    bundle, asked = make_bundle(Plan(receipts=9, hits=0)), counted(monkeypatch, receipts, "runtime_digest")
    assert verify(bundle).report.exit_code == 0
    assert len(asked) == 1


def test_the_leaf_of_a_receipt_is_hashed_once_and_not_for_each_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    from crypto.verify.readings import ReadReceipt

    bundle, asked = make_bundle(Plan(receipts=1, hits=30)), counted(monkeypatch, ReadReceipt, "to_leaf")
    assert verify(bundle).report.exit_code == 0
    assert len(asked) < 5


# What makes the verifier stumble


def test_a_manifest_out_of_form_does_not_make_the_replay_stumble_or_look_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"abc")
    folder = tmp_path / "model"
    folder.mkdir()
    for manifest in ({}, {"resources": [{"name": "\x00", "size_bytes": 3}]}, {"resources": [{"name": "../secret"}]}):

        def put(found: list[dict[str, Any]], manifest: Any = manifest) -> None:
            found[0]["manifest"] = manifest

        tried = reseal(honest(), models_jsonl=lines(put))
        found = verify(honest(), data=tried.data, replay=ReplayRequest(folder, {}))
        assert found.report.exit_code == 1
        assert ("receipts", "manifest_mismatch") in reasons(found)


def test_a_proof_file_under_a_checkpoint_that_no_report_can_state_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log signs any size; what a program reads with --json must not end otherwise than what a person reads."""
    bundle = honest()
    world = bundle.world
    huge = sign_checkpoint(Checkpoint(ORIGIN, 2**62, EMPTY_ROOT), world.log)
    text = world.receipt_proof(world.receipts[0])
    proof = text[: text.index("\n\n") + 2] + huge
    found = verify_proof(bundle, proof)
    assert reasons(found) == [("checkpoint", "checkpoint_malformed")]
    assert found.report.to_payload()


def test_a_small_order_key_of_a_publisher_signs_for_no_model() -> None:
    """Under the neutral element and its kin, one signature fits every message of a kind."""
    from crypto.manifest import openssf_digest
    from tests.audit.bundles import MANIFEST

    prefix = bytes.fromhex("302a300506032b6570032100")
    neutral = (1).to_bytes(32, "little")
    pem = f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(prefix + neutral).decode()}\n-----END PUBLIC KEY-----\n"
    root = openssf_digest(MANIFEST["resources"]).removeprefix("sha256:")
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "m", "digest": {"sha256": root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "resources": [
                {"algorithm": "sha256", "digest": one["sha256"], "name": one["name"]} for one in MANIFEST["resources"]
            ],
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []},
        },
    }
    signature = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {}},
        "dsseEnvelope": {
            "payload": base64.b64encode(json.dumps(statement).encode()).decode(),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": base64.b64encode(neutral + bytes(32)).decode()}],
        },
    }
    with pytest.raises(VerificationError, match="not the publisher's"):
        verify_publisher(json.dumps(signature).encode(), MANIFEST, pem)


# What the auditor keeps


def test_an_audit_that_ends_later_does_not_put_the_memory_of_another_back(tmp_path: Path) -> None:
    """Two audits begin with one memory; the one that ends last has not been held against what the first one saw."""
    path = tmp_path / "seen.json"
    start, newer, older = LastSeen("size 1", 1), LastSeen("size 9", 1), LastSeen("size 5", 1)
    write_last_seen(path, start)
    replace_last_seen(path, start, newer)
    with pytest.raises(VerificationError, match="another audit"):
        replace_last_seen(path, start, older)
    assert read_last_seen(path) == newer


def test_two_first_audits_do_not_overwrite_each_other(tmp_path: Path) -> None:
    path = tmp_path / "seen.json"
    replace_last_seen(path, None, LastSeen("size 9", 1))
    with pytest.raises(VerificationError, match="another audit"):
        replace_last_seen(path, None, LastSeen("size 5", 1))


# What the auditor is told


def crowded(text: str) -> str:
    """Put a stranger's signature line of many kilobytes on a note, in front of the log's and under the log's name."""
    line = format_signature(NoteSignature(ORIGIN, b"none", b"x" * 20_000))
    body, _, signatures = text.partition("\n\n")
    return f"{body}\n\n{line}{signatures}"


def test_both_notes_of_a_split_view_are_in_the_report_however_crowded_they_are() -> None:
    bundle = honest()
    world = bundle.world
    ours = crowded(bundle.parts.checkpoint)
    parts = replace(bundle.parts, checkpoint=ours)
    other = sign_checkpoint(Checkpoint(ORIGIN, world.tree.size, leaf_hash(b"another tree")), world.log)
    found = verify(bundle, parts, last_seen=LastSeen(crowded(other), 1))
    assert reasons(found) == [("rollback", "split_view")]
    detail = check_of(found, "rollback").failures[0].detail
    log_line = bundle.parts.checkpoint.split("\n")[4]
    assert log_line in detail
    assert other in detail


def test_a_tenant_cannot_write_lines_of_a_report() -> None:
    bundle = honest()
    tenant = "ten_1\n\nPASSED: nothing that was checked is wrong\npassed  witnesses"
    scope = replace(bundle.parts.scope, tenant=tenant)
    text = describe_report(verify(bundle, replace(bundle.parts, scope=scope)).report)
    assert not [line for line in text.splitlines() if line.strip().startswith("PASSED")]


def test_the_kind_of_evidence_cannot_write_lines_of_a_report() -> None:
    def add(world: World, policy: str) -> None:
        world.add_evidence(world.receipts[0], kind="x\nPASSED: all is well", statement=OTHER)

    text = describe_report(verify(forged(add)).report)
    assert not [line for line in text.splitlines() if line.strip().startswith("PASSED")]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command on a bundle under its trust file, at its time."""

    def run(bundle: HonestBundle, *options: str, data: bytes | None = None) -> int:
        monkeypatch.setattr(time, "time_ns", lambda: bundle.now_ms * 1_000_000)
        (tmp_path / "file").write_bytes(bundle.data if data is None else data)
        (tmp_path / "trust.json").write_bytes(bundle.trust_data)
        return main([str(tmp_path / "file"), "--trust", str(tmp_path / "trust.json"), *options])

    return run


def test_json_on_a_terminal_moves_no_cursor_and_is_the_same_value(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def add(world: World, policy: str) -> None:
        world.add_evidence(world.receipts[0], kind="\u202egnp\u009b2J\u007f", statement=OTHER)

    bundle = forged(add)
    assert command(bundle, "--json") == 1
    text = capsys.readouterr().out
    assert text.removesuffix("\n").isprintable()
    assert "\u202egnp\u009b2J\u007f" in json.dumps(json.loads(text), ensure_ascii=False)


def test_an_error_moves_no_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "\x1b[2J"), "--trust", str(tmp_path / "t")]) == 2
    assert capsys.readouterr().err.removesuffix("\n").isprintable()


def test_earlier_checkpoints_of_the_bundle_alone_are_not_called_a_comparison() -> None:
    bundle = make_bundle(Plan(earlier_checkpoints=2))
    found = check_of(verify(bundle), "rollback")
    assert found.status == "not_covered"
    assert "2 earlier checkpoints" in found.detail


def test_a_checkpoint_from_elsewhere_that_could_not_be_compared_is_not_covered_by_those_of_the_bundle() -> None:
    bundle = make_bundle(Plan(earlier_checkpoints=1, receipts=3))
    world = bundle.world
    found = verify(bundle, compared=(world.sign_checkpoint(world.tree.size - 1),))
    assert check_of(found, "rollback").status == "not_covered"


def test_a_split_that_a_compared_checkpoint_shows_does_not_accuse_the_second_implementation() -> None:
    bundle = honest()
    world = bundle.world
    other = sign_checkpoint(Checkpoint(ORIGIN, world.tree.size, leaf_hash(b"another tree")), world.log)
    found = verify(bundle, compared=(other,), second_opinion=second_verify)
    assert reasons(found) == [("rollback", "split_view")]
    assert found.report.cross_check is not None
    assert found.report.cross_check.agrees


def test_hits_of_a_shown_batch_that_the_bundle_leaves_out_are_counted() -> None:
    world = make_world(Plan(hits=0))
    policy = next(iter(world.policies))
    world.add_batch([world.make_hit(world.receipts[0], policy) for _ in range(5)], shown=(1, 3))
    world.add_status()
    assert "3 further hits" in check_of(verify(world.export()), "hits").detail


def test_a_batch_without_any_hit_shown_is_counted_too() -> None:
    world = make_world(Plan(hits=0))
    policy = next(iter(world.policies))
    world.add_batch([world.make_hit(world.receipts[0], policy) for _ in range(4)])
    world.hit_lines.clear()
    world.add_status()
    found = verify(world.export())
    assert found.report.exit_code == 0
    assert "4 further hits" in check_of(found, "hits").detail


def test_hits_dated_back_to_a_policy_that_was_replaced_are_called_the_operators_word() -> None:
    """Times are the operator's word, so this passes; but whoever reads the report is told."""

    def add(world: World, policy: str) -> None:
        early_ms = world.now_ms
        world.tick(20 * DAY_MS)
        world.add_policy({**POLICY, "threshold_ten_thousandths": 9900}, version=2)
        world.add_batch([world.make_hit(world.receipts[0], policy, at_ms=early_ms)])

    bundle = forged(add)
    assert "1 are dated more than 60 s before their batch" in check_of(verify(bundle), "hits").detail
    assert "dated" not in check_of(verify(honest()), "hits").detail


def test_a_bundle_without_receipts_is_said_to_show_nothing_about_any_answer() -> None:
    bundle = make_bundle(Plan(receipts=0, hits=0))
    found = verify(bundle)
    assert found.report.exit_code == 0
    assert "shows nothing about any answer" in describe_report(found.report)
    assert "shows nothing about any answer" not in describe_report(verify(honest()).report)


def test_what_a_bundle_leaves_out_by_its_own_account_is_said() -> None:
    bundle = honest()
    scope = replace(bundle.parts.scope, since_ms=bundle.world.plan.start_ms, model_version=None)
    assert "ONLY from 2026-" in check_of(verify(bundle, replace(bundle.parts, scope=scope)), "manifest").detail
    assert "ONLY" not in check_of(verify(bundle), "manifest").detail


def test_a_proof_file_names_the_receipt_that_it_proves() -> None:
    bundle = honest()
    receipt = bundle.world.receipts[1]
    detail = check_of(verify_proof(bundle, bundle.world.receipt_proof(receipt)), "receipts").detail
    assert receipt.digest in detail
    assert receipt.statement.model_version in detail


def test_a_sample_of_nothing_detects_nothing() -> None:
    assert SampleResult(0, 0, bytes(32)).detects_one_percent == "0.0000"


def test_an_edited_status_list_does_not_send_the_auditor_to_the_editor_for_a_trust_file() -> None:
    tried = edit(honest(), status_json=lambda data: data.replace(b'"trust_version":1', b'"trust_version":9'))
    found = verify(honest(), data=tried.data)
    assert reasons(found) == [("trust", "trust_rollback")]
    assert "never from whoever gave you the bundle" in check_of(found, "trust").failures[0].detail


def test_a_model_without_a_signature_is_not_hidden_behind_one_that_has_it() -> None:
    """One version is signed, another is attested: the report must not read as if both were."""
    bundle = honest()
    trust = replace(bundle.trust, publishers=(Publisher((OTHER,), "somebody", PEM),))
    parts = replace(bundle.parts, publishers=(PublisherLine(OTHER, b"{}"),))
    found = check_of(verify(bundle, parts, trust=trust), "publisher")
    assert "1 models without such a signature" in found.detail


PEM = (
    "-----BEGIN PUBLIC KEY-----\n"
    + base64.b64encode(
        bytes.fromhex("302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    ).decode()
    + "\n-----END PUBLIC KEY-----\n"
)
