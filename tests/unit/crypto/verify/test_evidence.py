"""Evidence that came after the signing."""

from __future__ import annotations

from dataclasses import replace

from crypto.bodies import ReceiptBatch
from crypto.bundle_lines import EnvelopeLine
from crypto.dsse import PAYLOAD_RECEIPT_BATCH, sign_envelope
from crypto.leaf import LeafKind, envelope_leaf
from crypto.statement import EvidenceReference
from tests.audit.bundles import Plan, World, make_bundle, make_world
from tests.audit.checking import check_of, reasons, verify

PLAIN = Plan(receipts=1, hits=0, embeddings=0, openings=False)


def with_embedding(**changes: object) -> list[tuple[str, str]]:
    world = make_world(PLAIN)
    world.add_embedding(world.receipts[0], world.runners[0], **changes)
    return reasons(verify(world.export()))


def test_a_runners_embedding_statement_about_a_receipt_passes() -> None:
    assert with_embedding() == []


def test_an_embedding_statement_by_a_gateway_is_refused() -> None:
    world = make_world(PLAIN)
    world.add_embedding(world.receipts[0], world.gateway)
    assert reasons(verify(world.export())) == [("evidence", "signer_role")]


def test_an_embedding_statement_by_an_unknown_key_is_refused() -> None:
    world = make_world(PLAIN)
    world.add_embedding(world.receipts[0], world.new_key())
    assert reasons(verify(world.export())) == [("evidence", "signer_unknown")]


def test_an_embedding_statement_of_a_key_that_no_longer_counts_is_refused() -> None:
    world = make_world(PLAIN)
    world.retire_key(world.runners[0].key_id)
    world.add_embedding(world.receipts[0], world.runners[0])
    assert reasons(verify(world.export())) == [("evidence", "signer_retired")]


def test_evidence_about_a_receipt_that_is_not_there_is_refused() -> None:
    assert with_embedding(statement="sha256:" + "1" * 64) == [("evidence", "evidence_mismatch")]
    world = make_world(PLAIN)
    world.add_evidence(world.receipts[0], statement="sha256:" + "1" * 64)
    assert reasons(verify(world.export())) == [("evidence", "evidence_mismatch")]


def test_an_embedding_statement_of_another_tenant_is_refused() -> None:
    assert with_embedding(tenant="0" * 32) == [("evidence", "tenant_mismatch")]


def test_an_embedding_statement_out_of_form_is_refused() -> None:
    honest = make_bundle(replace(PLAIN, embeddings=1))
    line = honest.parts.evidence[0]
    broken = replace(line, envelope={**line.envelope, "payload": "e30="})
    found = verify(honest, replace(honest.parts, evidence=(broken,)))
    assert reasons(found) == [("evidence", "statement_malformed")]


def test_evidence_of_an_unknown_kind_is_not_covered_and_never_counts_as_checked() -> None:
    world = make_world(PLAIN)
    world.add_evidence(world.receipts[0], "oracle/v1")
    found = verify(world.export())
    check = check_of(found, "evidence")
    assert (reasons(found), check.status) == ([], "not_covered")
    assert "oracle/v1" in check.detail


def test_evidence_that_a_receipt_only_names_is_not_covered() -> None:
    world = make_world(PLAIN)
    reference = EvidenceReference("quote/v1", "sha256:" + "0" * 64)
    world.add_answer(world.runners[0], None, evidence=(reference,))
    check = check_of(verify(world.export()), "evidence")
    assert check.status == "not_covered"
    assert "quote/v1" in check.detail


def test_no_evidence_is_not_covered() -> None:
    assert check_of(verify(make_bundle(PLAIN)), "evidence").status == "not_covered"


def add_receipt_batch(world: World, **changes: object) -> None:
    signer = world.runners[0]
    body = ReceiptBatch(world.tick(), 1, world.bytes_32(), world.bytes_32(), signer.key_id)
    payload = replace(body, **changes).to_payload()  # type: ignore[arg-type]
    envelope = sign_envelope(PAYLOAD_RECEIPT_BATCH, payload, signer)
    index = world.append(envelope_leaf(LeafKind.RECEIPT_BATCH, envelope, body.at_ms).encode())
    world.evidence.append(EnvelopeLine(index, envelope.to_json()))


def test_a_receipt_batch_is_a_runners_word_that_is_not_covered_yet() -> None:
    world = make_world(PLAIN)
    add_receipt_batch(world)
    found = verify(world.export())
    assert (reasons(found), check_of(found, "evidence").status) == ([], "not_covered")


def test_a_receipt_batch_that_names_another_signer_is_refused() -> None:
    world = make_world(PLAIN)
    add_receipt_batch(world, signer="0" * 64)
    assert reasons(verify(world.export())) == [("evidence", "statement_malformed")]


def test_a_receipt_batch_with_a_body_of_another_kind_is_refused() -> None:
    world = make_world(PLAIN)
    signer, other = world.runners[0], world.bodies[0].body
    envelope = sign_envelope(PAYLOAD_RECEIPT_BATCH, other.to_payload(), signer)
    index = world.append(envelope_leaf(LeafKind.RECEIPT_BATCH, envelope, other.at_ms).encode())
    world.evidence.append(EnvelopeLine(index, envelope.to_json()))
    assert reasons(verify(world.export())) == [("evidence", "statement_malformed")]
