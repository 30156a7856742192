from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.signer import CryptoSigner, SSlibKey

from crypto.canonical import canonical_json
from crypto.dsse import (
    PAYLOAD_BYTES_MAX,
    PAYLOAD_IN_TOTO,
    PAYLOAD_TRUST,
    Envelope,
    EnvelopeSignature,
    make_signature,
    pae,
    parse_envelope,
    sign_envelope,
    verify_envelope,
)
from crypto.ed25519 import SigningKey
from crypto.errors import EncodingError, VerificationError
from tests.proof_examples import GATEWAY, RUNNER

PAYLOAD = b'{"a":1}'
ENVELOPE = sign_envelope(PAYLOAD_IN_TOTO, PAYLOAD, RUNNER)


def changed(**values: Any) -> bytes:
    return canonical_json(ENVELOPE.to_json() | values)


def refuse_form(data: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_envelope(data, payload_type=PAYLOAD_IN_TOTO)
    assert caught.value.reason == "malformed"


def refuse_signature(envelope: Envelope, public_key: bytes = RUNNER.public_key) -> None:
    with pytest.raises(VerificationError) as caught:
        verify_envelope(envelope, public_key)
    assert caught.value.reason == "signature_invalid"


def test_the_signed_bytes_are_those_of_the_dsse_specification() -> None:
    """The example of the protocol's own page."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@pytest.mark.parametrize("payload", [b"", b"x", b"a b c", bytes(range(256)), "é".encode()])
def test_another_implementation_makes_the_same_bytes_and_signature(payload: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
    signer = CryptoSigner(key, SSlibKey(RUNNER.key_id, "ed25519", "ed25519", {"public": RUNNER.public_key.hex()}))
    other = OtherEnvelope(payload, PAYLOAD_IN_TOTO, {})
    other.sign(signer)
    ours = sign_envelope(PAYLOAD_IN_TOTO, payload, RUNNER)
    assert other.pae() == pae(PAYLOAD_IN_TOTO, payload)
    assert other.to_dict() == ours.to_json()


def test_another_implementation_verifies_our_envelope() -> None:
    key = SSlibKey(RUNNER.key_id, "ed25519", "ed25519", {"public": RUNNER.public_key.hex()})
    assert OtherEnvelope.from_dict(json.loads(ENVELOPE.encode())).verify([key], 1) == {RUNNER.key_id: key}


def test_an_envelope_is_read_from_bytes_and_from_an_object_alike() -> None:
    assert parse_envelope(ENVELOPE.encode(), payload_type=PAYLOAD_IN_TOTO) == ENVELOPE
    assert parse_envelope(ENVELOPE.to_json(), payload_type=PAYLOAD_IN_TOTO) == ENVELOPE


def test_a_signed_envelope_verifies_with_its_key() -> None:
    verify_envelope(ENVELOPE, RUNNER.public_key)


def test_another_payload_type_is_refused() -> None:
    refuse_form(changed(payloadType=PAYLOAD_TRUST))


def test_a_payload_signed_as_another_type_does_not_verify() -> None:
    refuse_signature(replace(ENVELOPE, payload_type=PAYLOAD_TRUST))


def test_any_flipped_bit_of_payload_or_signature_does_not_verify() -> None:
    signature = ENVELOPE.signature
    for bit in range(8 * len(PAYLOAD)):
        flipped = bytearray(PAYLOAD)
        flipped[bit // 8] ^= 1 << bit % 8
        refuse_signature(replace(ENVELOPE, payload=bytes(flipped)))
    for bit in range(8 * 64):
        flipped = bytearray(signature.signature)
        flipped[bit // 8] ^= 1 << bit % 8
        refuse_signature(replace(ENVELOPE, signatures=(replace(signature, signature=bytes(flipped)),)))


def test_another_key_s_signature_does_not_verify() -> None:
    refuse_signature(sign_envelope(PAYLOAD_IN_TOTO, PAYLOAD, GATEWAY))


def test_a_signature_under_another_key_s_id_does_not_verify() -> None:
    renamed = replace(ENVELOPE, signatures=(replace(ENVELOPE.signature, key_id=GATEWAY.key_id),))
    refuse_signature(renamed)
    refuse_signature(renamed, GATEWAY.public_key)


def test_two_signatures_of_which_one_is_valid_do_not_verify() -> None:
    other = make_signature(PAYLOAD_IN_TOTO, PAYLOAD, GATEWAY)
    both = tuple(sorted((ENVELOPE.signature, other), key=lambda signature: signature.key_id))
    refuse_signature(replace(ENVELOPE, signatures=both))
    refuse_form(replace(ENVELOPE, signatures=both).encode())


def test_no_signature_is_refused() -> None:
    refuse_form(changed(signatures=[]))
    refuse_signature(replace(ENVELOPE, signatures=()))


def test_several_signatures_are_read_only_ascending_and_once_per_key() -> None:
    first, second = sorted((RUNNER, GATEWAY), key=lambda key: key.key_id)
    signatures = tuple(make_signature(PAYLOAD_TRUST, PAYLOAD, key) for key in (first, second))
    envelope = Envelope(PAYLOAD_TRUST, PAYLOAD, signatures)
    assert parse_envelope(envelope.encode(), payload_type=PAYLOAD_TRUST, signatures_max=2) == envelope
    for wrong in (signatures[::-1], (signatures[0], signatures[0]), (*signatures, signatures[1])):
        with pytest.raises(VerificationError):
            parse_envelope(replace(envelope, signatures=wrong).encode(), payload_type=PAYLOAD_TRUST, signatures_max=3)


@pytest.mark.parametrize(
    "text",
    ["eyJhIjoxfR==", "eyJhIjoxfQ", "eyJhIjoxfQ=", "eyJh IjoxfQ==", "eyJhIjoxfQ==\n", "eyJhIjox-_==", "é", "=", None],
)
def test_a_payload_that_is_not_canonical_base64_is_refused(text: str | None) -> None:
    assert base64.b64decode("eyJhIjoxfR==") == PAYLOAD, "the first case has stray bits, and decodes all the same"
    refuse_form(changed(payload=text))


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_signature_of_another_length_is_refused(size: int) -> None:
    refuse_form(changed(signatures=[{"keyid": RUNNER.key_id, "sig": base64.b64encode(bytes(size)).decode()}]))


@pytest.mark.parametrize("keyid", ["", "ab" * 31, "AB" * 32, "gg" * 32, "ab" * 32 + "\n", 1, None])
def test_a_key_id_that_is_not_64_hexadecimal_digits_is_refused(keyid: object) -> None:
    signature = ENVELOPE.to_json()["signatures"][0]["sig"]  # type: ignore[index, call-overload]
    refuse_form(changed(signatures=[{"keyid": keyid, "sig": signature}]))


def test_an_envelope_beyond_the_limit_is_neither_made_nor_read() -> None:
    payload = bytes(PAYLOAD_BYTES_MAX + 1)
    with pytest.raises(EncodingError):
        sign_envelope(PAYLOAD_IN_TOTO, payload, RUNNER)
    signed = Envelope(PAYLOAD_IN_TOTO, payload, (EnvelopeSignature(RUNNER.key_id, bytes(64)),))
    refuse_form(signed.encode())


def test_the_largest_payload_is_made_and_read() -> None:
    payload = bytes(PAYLOAD_BYTES_MAX)
    signed = sign_envelope(PAYLOAD_IN_TOTO, payload, SigningKey(bytes(32)))
    assert parse_envelope(signed.encode(), payload_type=PAYLOAD_IN_TOTO).payload == payload


def test_the_reason_of_a_refusal_is_the_caller_s() -> None:
    with pytest.raises(VerificationError) as caught:
        parse_envelope(b"{}", payload_type=PAYLOAD_IN_TOTO, reason="manifest_malformed")
    assert caught.value.reason == "manifest_malformed"
