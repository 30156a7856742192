"""Each receipt: form, signer, model, tenant, policy, scope."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto.bundle_lines import EnvelopeLine, ModelLine
from crypto.bundle_manifest import PseudonymKey
from crypto.dsse import PAYLOAD_IN_TOTO, EnvelopeSignature, sign_envelope
from crypto.leaf import Leaf, LeafKind, envelope_leaf
from crypto.manifest import model_version
from crypto.policy import policy_digest
from crypto.pseudonym import EPOCH_MS
from crypto.statement import sign_receipt
from crypto.verify import SampleRequest
from tests.audit.bundles import MANIFEST, POLICY, HonestBundle, Plan, World, make_bundle, make_world
from tests.audit.checking import check_of, reasons, verify

PLAIN = Plan(receipts=1, hits=0, embeddings=0, openings=False, earlier_checkpoints=0)


def with_receipt(**changes: object) -> list[tuple[str, str]]:
    """Return what is wrong once the runner has signed one more statement with *changes*."""
    world = make_world(PLAIN)
    policy = next(iter(world.policies))
    world.add_answer(world.runners[0], policy, **changes)
    return reasons(verify(world.export()))


def with_envelope(world: World, payload: bytes) -> list[tuple[str, str]]:
    """Return what is wrong once the runner has signed *payload*, whatever it is, and the log has taken it."""
    envelope = sign_envelope(PAYLOAD_IN_TOTO, payload, world.runners[0])
    index = world.append(envelope_leaf(LeafKind.RECEIPT, envelope, world.now_ms).encode())
    honest = world.export()
    lines = (*honest.parts.receipts, EnvelopeLine(index, envelope.to_json()))
    return reasons(verify(honest, replace(honest.parts, receipts=lines)))


def test_an_honest_receipt_more_changes_nothing() -> None:
    assert with_receipt() == []


def test_a_statement_out_of_form_is_refused_where_receipts_are_checked() -> None:
    world = make_world(PLAIN)
    payload = world.receipts[0].envelope.payload
    for broken in (payload[:-1], payload + b" ", b"{}", payload.replace(b"/inference/v1", b"/inference/v2")):
        assert with_envelope(make_world(PLAIN), broken) == [("receipts", "statement_malformed")]


def test_an_envelope_out_of_form_is_refused_where_receipts_are_checked() -> None:
    honest = make_bundle(PLAIN)
    line = honest.parts.receipts[0]
    for change in ({"signatures": []}, {"payload": "e"}, {"payloadType": "text/plain"}, {"more": 1}):
        broken = replace(line, envelope={**line.envelope, **change})
        found = verify(honest, replace(honest.parts, receipts=(broken,)))
        assert reasons(found)[0] == ("receipts", "statement_malformed")


def test_a_signature_that_does_not_fit_is_refused() -> None:
    world = make_world(PLAIN)
    statement = world.make_statement(world.runners[0], None)
    envelope = sign_receipt(statement, world.runners[0])
    forged = replace(envelope, signatures=(EnvelopeSignature(envelope.signature.key_id, bytes(64)),))
    world.add_receipt(forged, statement)
    assert reasons(verify(world.export())) == [("receipts", "signature_invalid")]


def test_a_signer_that_the_trust_file_does_not_know_is_refused() -> None:
    world = make_world(PLAIN)
    world.add_answer(world.new_key(), None)
    assert reasons(verify(world.export())) == [("receipts", "signer_unknown")]


def test_a_gateway_declares_and_does_not_attest() -> None:
    for grade, expected in (("declared", []), ("attested", [("receipts", "signer_role")])):
        world = make_world(PLAIN)
        made = world.make_declared(None) if grade == "declared" else world.make_statement(world.gateway, None)
        world.add_receipt(sign_receipt(made, world.gateway), made)
        assert reasons(verify(world.export())) == expected


def test_a_runner_may_declare_a_model_that_it_may_not_attest() -> None:
    world = make_world(PLAIN)
    statement = world.make_declared(None, signer=world.runners[0].key_id)
    world.add_receipt(sign_receipt(statement, world.runners[0]), statement)
    assert reasons(verify(world.export())) == []


def test_a_model_that_the_runner_may_not_attest_is_refused() -> None:
    world = make_world(PLAIN)
    other = {**MANIFEST, "name": "other model"}
    world.add_answer(world.runners[0], None, model_version=model_version(other))
    honest = world.export()
    lines = sorted([*honest.parts.models, ModelLine(model_version(other), other)], key=lambda one: one.model_version)
    found = verify(honest, replace(honest.parts, models=tuple(lines)))
    assert reasons(found) == [("receipts", "model_not_allowed")]


def test_an_attested_receipt_needs_its_models_manifest() -> None:
    honest = make_bundle(PLAIN)
    assert reasons(verify(honest, replace(honest.parts, models=()))) == [("receipts", "manifest_missing")]


def test_a_manifest_of_another_model_is_refused() -> None:
    honest = make_bundle(PLAIN)
    for manifest in ({**MANIFEST, "name": "other"}, {}, {**MANIFEST, "more": 1}):
        line = replace(honest.parts.models[0], manifest=manifest)
        found = verify(honest, replace(honest.parts, models=(line,)))
        assert reasons(found)[0] == ("receipts", "manifest_mismatch")


def test_a_manifest_that_no_attested_receipt_needs_is_refused() -> None:
    honest = make_bundle(PLAIN)
    other = {**MANIFEST, "name": "other"}
    lines = sorted([*honest.parts.models, ModelLine(model_version(other), other)], key=lambda one: one.model_version)
    found = verify(honest, replace(honest.parts, models=tuple(lines)))
    assert reasons(found) == [("receipts", "manifest_mismatch")]


@pytest.mark.parametrize("change", [{"runtime": "sha256:" + "1" * 64}, {"openssf_digest": "1" * 64}])
def test_a_statement_that_names_another_runtime_or_model_signature_is_refused(change: dict[str, object]) -> None:
    assert with_receipt(**change) == [("receipts", "manifest_mismatch")]


def test_a_receipt_of_another_tenant_is_refused() -> None:
    world = make_world(PLAIN)
    other = world.pseudonym_at(world.now_ms, "ten_aaaaaaaaaaaaaaaa")
    assert with_receipt(tenant=other) == [("receipts", "tenant_mismatch")]


def test_a_receipt_under_the_pseudonym_of_another_epoch_is_refused() -> None:
    world = make_world(PLAIN)
    policy = next(iter(world.policies))
    stale = world.pseudonym_at(world.now_ms)
    world.tick(EPOCH_MS)
    world.add_answer(world.runners[0], policy, tenant=stale)
    assert reasons(verify(world.export())) == [("receipts", "tenant_mismatch")]


def test_receipts_of_two_epochs_pass_where_both_are_opened() -> None:
    world = make_world(PLAIN)
    world.tick(EPOCH_MS)
    policy = world.add_policy(POLICY)
    world.add_answer(world.runners[0], policy)
    honest = world.export()
    assert reasons(verify(honest)) == []
    scope = replace(honest.parts.scope, pseudonyms=honest.parts.scope.pseudonyms[:1])
    assert reasons(verify(honest, replace(honest.parts, scope=scope))) == [("receipts", "tenant_mismatch")]


def test_a_key_that_does_not_open_the_pseudonym_is_refused() -> None:
    honest = make_bundle(PLAIN)
    scope = replace(honest.parts.scope, pseudonyms=(PseudonymKey(honest.parts.scope.pseudonyms[0].epoch, bytes(32)),))
    found = verify(honest, replace(honest.parts, scope=scope))
    assert reasons(found) == [("receipts", "tenant_mismatch")]


def test_a_policy_that_nobody_announced_is_refused() -> None:
    assert with_receipt(policy="sha256:" + "3" * 64) == [("receipts", "policy_unknown")]


def test_a_policy_announced_after_the_receipt_is_refused() -> None:
    world = make_world(PLAIN)
    later = {"mode": "off"}
    world.add_answer(world.runners[0], policy_digest(later))
    world.add_policy(later)
    assert reasons(verify(world.export())) == [("receipts", "policy_unknown")]


def test_a_policy_announced_for_another_tenant_is_refused() -> None:
    world = make_world(PLAIN)
    other = world.pseudonym_at(world.now_ms, "ten_aaaaaaaaaaaaaaaa")
    policy = world.add_policy({"mode": "off"}, tenant=other)
    world.add_answer(world.runners[0], policy)
    assert reasons(verify(world.export())) == [("receipts", "policy_unknown")]


def test_a_receipt_without_a_policy_is_not_asked_for_one() -> None:
    assert with_receipt(policy=None) == []


def test_a_policy_without_its_document_is_refused() -> None:
    honest = make_bundle(PLAIN)
    assert reasons(verify(honest, replace(honest.parts, policies=()))) == [("receipts", "policy_unknown")]


def test_a_document_of_another_policy_is_refused() -> None:
    honest = make_bundle(PLAIN)
    line = replace(honest.parts.policies[0], document={"mode": "off"})
    found = verify(honest, replace(honest.parts, policies=(line,)))
    assert reasons(found) == [("receipts", "policy_mismatch")]


def test_a_receipt_that_stands_in_the_log_twice_counts_once() -> None:
    world = make_world(PLAIN)
    made = world.receipts[0]
    world.add_receipt(made.envelope, made.statement)
    found = verify(world.export())
    assert reasons(found) == [("receipts", "receipt_replayed")]
    assert dict(found.report.grades) == {"attested": 1}


def scoped(honest: HonestBundle, **changes: object) -> list[tuple[str, str]]:
    scope = replace(honest.parts.scope, **changes)  # type: ignore[arg-type]
    return reasons(verify(honest, replace(honest.parts, scope=scope)))


def test_a_receipt_outside_the_time_is_refused_unless_a_hit_refers_to_it() -> None:
    bare, reused = make_bundle(PLAIN), make_bundle(replace(PLAIN, hits=1))
    issued_ms = bare.world.receipts[0].statement.issued_at_ms
    assert scoped(bare, since_ms=issued_ms) == []
    assert scoped(bare, since_ms=issued_ms + 1) == [("receipts", "out_of_scope")]
    assert scoped(bare, until_ms=issued_ms) == [("receipts", "out_of_scope")]
    assert scoped(reused, since_ms=issued_ms + 1) == []


def test_a_receipt_of_another_model_than_the_bundles_is_refused() -> None:
    honest = make_bundle(PLAIN)
    assert scoped(honest, model_version=honest.world.model) == []
    assert scoped(honest, model_version="sha256:" + "2" * 64) == [("receipts", "out_of_scope")]


def test_a_bad_signature_outside_the_sample_is_not_seen_and_said_not_to_be_covered() -> None:
    world = make_world(PLAIN)
    statement = world.make_statement(world.runners[0], None)
    envelope = sign_receipt(statement, world.runners[0])
    forged = replace(envelope, signatures=(EnvelopeSignature(envelope.signature.key_id, bytes(64)),))
    world.add_receipt(forged, statement)
    honest = world.export()
    outcomes = set()
    for number in range(32):
        found = verify(honest, sample=SampleRequest(1, lambda number=number: bytes([number]) * 32))  # type: ignore[misc]
        outcomes.add(tuple(reasons(found)))
        assert "1 of 2 signatures" in check_of(found, "receipts").detail
    assert outcomes == {(), (("receipts", "signature_invalid"),)}


def test_the_leaf_of_a_receipt_states_the_time_of_its_statement() -> None:
    world = make_world(PLAIN)
    made = world.receipts[0]
    leaf = envelope_leaf(LeafKind.RECEIPT, made.envelope, made.statement.issued_at_ms)
    later: Leaf = replace(leaf, time_ms=leaf.time_ms + 1)
    world.receipts.append(replace(made, index=world.append(later.encode())))
    assert ("inclusion", "leaf_mismatch") in reasons(verify(world.export()))
