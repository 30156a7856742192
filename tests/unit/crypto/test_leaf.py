from __future__ import annotations

from dataclasses import replace

import pytest

from crypto.dsse import PAYLOAD_IN_TOTO, PAYLOAD_RECEIPT_BATCH, Envelope, make_signature, sign_envelope
from crypto.ed25519 import key_id
from crypto.errors import EncodingError, VerificationError
from crypto.leaf import BODY_KINDS, Leaf, LeafKind, body_leaf, envelope_leaf, parse_leaf
from crypto.statement import sign_receipt
from tests.proof_examples import AT_MS, BODIES, GATEWAY, LOG, RUNNER, STATEMENT

RECEIPT = sign_receipt(STATEMENT, RUNNER)
LEAF = envelope_leaf(LeafKind.RECEIPT, RECEIPT, AT_MS)
BATCH = BODIES["hit_batch"].to_payload()


def refuse(data: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_leaf(data)
    assert caught.value.reason == "malformed"


def test_a_leaf_has_74_bytes_and_is_read_back() -> None:
    data = LEAF.encode()
    assert len(data) == 74
    assert parse_leaf(data) == LEAF


def test_a_leaf_names_version_kind_time_and_the_signer() -> None:
    data = LEAF.encode()
    assert data[:2] == b"\x01\x01"
    assert int.from_bytes(data[2:10], "big") == AT_MS
    assert data[10:42].hex() == RUNNER.key_id


def test_what_the_log_asserts_stands_under_the_log_s_key() -> None:
    leaf = body_leaf(LeafKind.HIT_BATCH, BATCH, AT_MS, LOG.public_key)
    assert leaf.key_id.hex() == key_id(LOG.public_key)
    assert leaf.body_digest != body_leaf(LeafKind.HIT_BATCH, BATCH + b" ", AT_MS, LOG.public_key).body_digest


def test_payload_type_and_signature_are_part_of_what_a_leaf_stands_for() -> None:
    other = replace(RECEIPT, signatures=(replace(RECEIPT.signature, signature=bytes(64)),))
    body = body_leaf(LeafKind.EVIDENCE, RECEIPT.payload, AT_MS, RUNNER.public_key)
    evidence = envelope_leaf(LeafKind.EVIDENCE, RECEIPT, AT_MS)
    digests = {LEAF.body_digest, envelope_leaf(LeafKind.RECEIPT, other, AT_MS).body_digest, body.body_digest}
    assert len(digests) == 3
    assert evidence.encode() != LEAF.encode()


def test_the_same_bytes_under_another_payload_type_are_another_body() -> None:
    batch = replace(RECEIPT, payload_type=PAYLOAD_RECEIPT_BATCH)
    assert envelope_leaf(LeafKind.RECEIPT_BATCH, batch, AT_MS).body_digest != LEAF.body_digest


@pytest.mark.parametrize("kind", sorted(LeafKind))
def test_the_leaf_of_a_hit_batch_is_never_that_of_a_receipt(kind: LeafKind) -> None:
    if kind in BODY_KINDS:
        assert body_leaf(kind, BATCH, AT_MS, LOG.public_key).kind is kind
    else:
        with pytest.raises(VerificationError) as caught:
            body_leaf(kind, BATCH, AT_MS, LOG.public_key)
        assert caught.value.reason == "leaf_kind"


@pytest.mark.parametrize("kind", sorted(LeafKind))
def test_an_envelope_makes_only_leaves_of_its_payload_type(kind: LeafKind) -> None:
    allowed = {
        PAYLOAD_IN_TOTO: {LeafKind.RECEIPT, LeafKind.EVIDENCE},
        PAYLOAD_RECEIPT_BATCH: {LeafKind.RECEIPT_BATCH},
    }
    for payload_type, kinds in allowed.items():
        envelope = sign_envelope(payload_type, b"{}", RUNNER)
        if kind in kinds:
            assert envelope_leaf(kind, envelope, AT_MS).kind is kind
        else:
            with pytest.raises(VerificationError) as caught:
                envelope_leaf(kind, envelope, AT_MS)
            assert caught.value.reason == "leaf_kind"


def test_an_envelope_with_two_signatures_has_no_leaf() -> None:
    both = (RECEIPT.signature, make_signature(PAYLOAD_IN_TOTO, RECEIPT.payload, GATEWAY))
    with pytest.raises(VerificationError) as caught:
        envelope_leaf(LeafKind.RECEIPT, Envelope(PAYLOAD_IN_TOTO, RECEIPT.payload, both), AT_MS)
    assert caught.value.reason == "signature_invalid"


@pytest.mark.parametrize("kind", [0, 11, 255])
def test_an_unknown_kind_is_refused(kind: int) -> None:
    refuse(LEAF.encode()[:1] + bytes([kind]) + LEAF.encode()[2:])


def test_another_version_or_length_is_refused() -> None:
    data = LEAF.encode()
    for wrong in (b"\x02" + data[1:], b"\x00" + data[1:], data[:-1], data + b"\0", b""):
        refuse(wrong)


def test_a_time_beyond_2_to_the_53_is_neither_written_nor_read() -> None:
    for time_ms in (2**53, -1):
        with pytest.raises(EncodingError):
            replace(LEAF, time_ms=time_ms).encode()
    refuse(LEAF.encode()[:2] + (2**53).to_bytes(8, "big") + LEAF.encode()[10:])


def test_a_leaf_with_a_short_digest_is_not_written() -> None:
    with pytest.raises(EncodingError):
        Leaf(LeafKind.RECEIPT, AT_MS, bytes(31), bytes(33)).encode()
