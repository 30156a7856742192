from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from crypto.dsse import PAYLOAD_TRUST, Envelope, EnvelopeSignature, make_signature
from crypto.ed25519 import SigningKey
from crypto.errors import EncodingError, VerificationError
from crypto.note import LOG_ALGORITHM, WITNESS_ALGORITHM, make_vkey, parse_vkey
from crypto.trust import Trust, TrustedKey, add_trust_signature, parse_trust, sign_trust, verify_trust
from tests.proof_examples import AT_MS, GATEWAY, LOG, ROOTS, RUNNER, TRUST, WITNESSES, digest

PAYLOAD = TRUST.to_payload()
VALUE = json.loads(PAYLOAD)
STRANGER = SigningKey(bytes([99] * 32))
SMALL_ORDER = "01" + "00" * 31


def sealed(value: Any) -> bytes:
    """A trust file of that payload whose signatures nobody looked at yet."""
    payload = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    return Envelope(PAYLOAD_TRUST, payload, ()).encode()


def changed(path: str, value: Any) -> bytes:
    found = json.loads(PAYLOAD)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place = found
    for step in steps:
        place = place[step]
    place[last] = value
    return sealed(found)


def refuse(data: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_trust(data)
    assert caught.value.reason == "trust_malformed"


def refusal(envelope: Envelope, now_ms: int = AT_MS, trust: Trust = TRUST) -> str:
    with pytest.raises(VerificationError) as caught:
        verify_trust(envelope, trust, now_ms)
    return caught.value.reason


def test_a_signed_trust_file_is_read_back_and_verifies() -> None:
    signed = sign_trust(PAYLOAD, ROOTS)
    envelope, trust = parse_trust(signed.encode())
    assert (envelope, trust) == (signed, TRUST)
    verify_trust(envelope, trust, AT_MS)


def test_enough_signatures_suffice() -> None:
    for left_out in ROOTS:
        verify_trust(sign_trust(PAYLOAD, [key for key in ROOTS if key is not left_out]), TRUST, AT_MS)


def test_one_signature_too_few_is_refused() -> None:
    for root in ROOTS:
        assert refusal(sign_trust(PAYLOAD, [root])) == "trust_threshold"
    assert refusal(sign_trust(PAYLOAD, [])) == "trust_threshold"


def test_an_invalid_signature_counts_for_nothing() -> None:
    signed = sign_trust(PAYLOAD, ROOTS[:2])
    first = replace(signed.signatures[0], signature=signed.signatures[1].signature)
    assert refusal(replace(signed, signatures=(first, signed.signatures[1]))) == "trust_threshold"


def test_a_threshold_is_not_reached_twice_by_one_key() -> None:
    signature = make_signature(PAYLOAD_TRUST, PAYLOAD, ROOTS[0])
    twice = Envelope(PAYLOAD_TRUST, PAYLOAD, (signature, signature))
    assert refusal(twice) == "trust_threshold"
    refuse(twice.encode())
    renamed = EnvelopeSignature("00" * 32, signature.signature)
    envelope, trust = parse_trust(Envelope(PAYLOAD_TRUST, PAYLOAD, (renamed, signature)).encode())
    assert refusal(envelope, trust=trust) == "trust_threshold"


def test_a_signature_under_a_key_that_is_no_root_is_refused_beside_enough_others() -> None:
    signed = sign_trust(PAYLOAD, ROOTS)
    stranger = make_signature(PAYLOAD_TRUST, PAYLOAD, STRANGER)
    more = tuple(sorted((*signed.signatures, stranger), key=lambda signature: signature.key_id))
    assert refusal(replace(signed, signatures=more)) == "trust_threshold"


def test_a_signature_that_stands_twice_is_refused_beside_enough_others() -> None:
    signed = sign_trust(PAYLOAD, ROOTS)
    assert refusal(replace(signed, signatures=(signed.signatures[0], *signed.signatures))) == "trust_threshold"


def test_a_changed_payload_does_not_verify() -> None:
    other = replace(TRUST, version=4)
    signed = replace(sign_trust(PAYLOAD, ROOTS), payload=other.to_payload())
    assert refusal(signed, trust=other) == "trust_threshold"


def test_a_trust_file_ends_at_its_very_millisecond() -> None:
    signed = sign_trust(PAYLOAD, ROOTS)
    verify_trust(signed, TRUST, TRUST.expires_at_ms - 1)
    assert refusal(signed, TRUST.expires_at_ms) == "trust_expired"


def test_signatures_are_added_one_after_another_in_one_order() -> None:
    for order in (ROOTS, ROOTS[::-1], (*ROOTS, ROOTS[0])):
        envelope = sign_trust(PAYLOAD, [])
        for root in order:
            envelope = add_trust_signature(envelope, root)
        assert envelope == sign_trust(PAYLOAD, ROOTS)
        assert parse_trust(envelope.encode())[0] == envelope


def test_only_a_root_key_may_sign() -> None:
    with pytest.raises(VerificationError, match="root"):
        add_trust_signature(sign_trust(PAYLOAD, ROOTS), STRANGER)
    with pytest.raises(VerificationError):
        sign_trust(b"{}", ROOTS)


def test_signatures_out_of_order_are_refused() -> None:
    signed = sign_trust(PAYLOAD, ROOTS)
    refuse(replace(signed, signatures=signed.signatures[::-1]).encode())


@pytest.mark.parametrize("threshold", [0, 4, -1, True, "2"])
def test_a_root_threshold_is_from_1_to_the_number_of_keys(threshold: Any) -> None:
    refuse(changed("root.threshold", threshold))


def test_there_are_at_most_32_root_keys() -> None:
    keys = sorted(SigningKey(bytes([seed] * 32)).public_key for seed in range(100, 133))
    full = replace(TRUST, root_keys=tuple(keys[:32]))
    assert parse_trust(Envelope(PAYLOAD_TRUST, full.to_payload(), ()).encode())[1] == full
    refuse(changed("root.keys", [key.hex() for key in keys]))


@pytest.mark.parametrize("threshold", [3, -1])
def test_a_witness_threshold_is_from_0_to_their_number(threshold: int) -> None:
    refuse(changed("witnesses.threshold", threshold))


def test_a_log_without_witnesses_can_be_trusted() -> None:
    alone = replace(TRUST, witnesses=(), witness_threshold=0)
    assert parse_trust(Envelope(PAYLOAD_TRUST, alone.to_payload(), ()).encode())[1] == alone


ROLES = {
    "root": lambda key: replace(TRUST, root_keys=(key,), root_threshold=1),
    "log": lambda key: replace(TRUST, log=parse_vkey(make_vkey("log", LOG_ALGORITHM, key))),
    "witness": lambda key: replace(TRUST, witnesses=(parse_vkey(make_vkey("w", WITNESS_ALGORITHM, key)),)),
    "runner": lambda key: replace(TRUST, runners=(TrustedKey(0, (), "r", key, None),)),
    "gateway": lambda key: replace(TRUST, gateways=(TrustedKey(0, (), "g", key, None),)),
}
HOLDERS = {"root": ROOTS[0], "log": LOG, "witness": WITNESSES[0], "runner": RUNNER, "gateway": GATEWAY}


@pytest.mark.parametrize("holder", sorted(HOLDERS))
@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_key_has_one_role(role: str, holder: str) -> None:
    trust = ROLES[role](HOLDERS[holder].public_key)
    if role == holder:
        trust.to_payload()
    else:
        with pytest.raises(EncodingError, match="one role"):
            trust.to_payload()


def test_one_witness_does_not_stand_under_two_names() -> None:
    names = (make_vkey(name, WITNESS_ALGORITHM, WITNESSES[0].public_key) for name in ("a", "b"))
    refuse(changed("witnesses.vkeys", list(names)))


def test_the_origin_is_the_name_of_the_log_s_key() -> None:
    refuse(changed("log.origin", "log.example/two"))
    refuse(changed("log.vkey", make_vkey("log.example/two", LOG_ALGORITHM, LOG.public_key)))


def test_a_log_s_key_is_no_witness_s_and_the_reverse() -> None:
    refuse(changed("log.vkey", make_vkey("log.example/one", WITNESS_ALGORITHM, LOG.public_key)))
    refuse(changed("witnesses.vkeys", [make_vkey("w", LOG_ALGORITHM, WITNESSES[0].public_key)]))


def test_a_verifier_key_with_another_hash_is_refused() -> None:
    name, _, key = VALUE["log"]["vkey"].partition("+")[0], 0, VALUE["log"]["vkey"].split("+", 2)[2]
    refuse(changed("log.vkey", f"{name}+00000000+{key}"))


@pytest.mark.parametrize("key", [SMALL_ORDER, "02" + "00" * 31, "ff" * 32, "00" * 31, "AB" * 32])
def test_a_key_that_is_no_point_or_of_small_order_is_refused(key: str) -> None:
    refuse(changed("root.keys", [key]))
    refuse(changed("runners.0.public_key", key))
    refuse(changed("gateways.0.public_key", key))


def test_a_gateway_attests_nothing() -> None:
    refuse(changed("gateways.0.models", [digest(1)]))


def test_models_keys_and_publishers_are_sorted_and_stand_once() -> None:
    models = VALUE["runners"][0]["models"]
    refuse(changed("runners.0.models", models[::-1]))
    refuse(changed("publishers.0.models", [models[0], models[0]]))
    refuse(changed("root.keys", VALUE["root"]["keys"][::-1]))
    refuse(changed("witnesses.vkeys", VALUE["witnesses"]["vkeys"][::-1]))
    publisher = VALUE["publishers"][0]
    refuse(changed("publishers", [publisher, publisher]))
    second = VALUE["runners"][0] | {"public_key": STRANGER.public_key.hex()}
    runners = sorted((VALUE["runners"][0], second), key=lambda key: str(key["public_key"]))
    assert len(parse_trust(changed("runners", runners))[1].runners) == 2
    refuse(changed("runners", runners[::-1]))


def pem_of(der: bytes) -> str:
    return f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(der).decode()}\n-----END PUBLIC KEY-----\n"


@pytest.mark.parametrize("holder", sorted(HOLDERS))
def test_a_publisher_s_ed25519_key_has_no_other_role(holder: str) -> None:
    der = bytes.fromhex("302a300506032b6570032100") + HOLDERS[holder].public_key
    refuse(changed("publishers.0.public_key", pem_of(der)))


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        pem_of(b"x").replace("PUBLIC", "PRIVATE"),
        pem_of(b"x").replace("eA==", "eB=="),
        pem_of(b"x").replace("eA==", "e"),
        pem_of(b"x") + "\n",
        " " + pem_of(b"x"),
        pem_of(bytes(4_096)),
    ],
)
def test_a_publisher_s_key_is_in_pem(pem: str) -> None:
    refuse(changed("publishers.0.public_key", pem))


def test_a_publisher_s_key_may_be_broken_into_lines() -> None:
    key = ec.derive_private_key(7, ec.SECP256R1()).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert pem.count("\n") == 4
    assert parse_trust(changed("publishers.0.public_key", pem))[1].publishers[0].public_key == pem


def test_the_first_version_is_1() -> None:
    refuse(changed("version", 0))
    assert parse_trust(changed("version", 1))[1].version == 1


def test_a_trusted_key_knows_its_id() -> None:
    assert TRUST.runners[0].key_id == RUNNER.key_id
