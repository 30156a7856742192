from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from crypto.canonical import canonical_json
from crypto.commitment import output_commitment
from crypto.dsse import PAYLOAD_IN_TOTO, PAYLOAD_TRUST, sign_envelope, verify_envelope
from crypto.embedding_statement import PREDICATE_TYPE as EMBEDDING_TYPE
from crypto.errors import EncodingError, VerificationError
from crypto.statement import (
    EvidenceReference,
    Parent,
    parse_receipt,
    parse_receipt_statement,
    receipt_id,
    runtime_digest,
    sign_receipt,
    statement_digest,
)
from tests.proof_examples import EMBEDDING, GATEWAY, RUNNER, STATEMENT, digest

PAYLOAD = STATEMENT.to_payload()
SALT = bytes(32)


def changed(path: str, value: Any) -> bytes:
    """The payload with *value* at the dotted *path*."""
    found = json.loads(PAYLOAD)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place = found
    for step in steps:
        place = place[step]
    place[last] = value
    return json.dumps(found, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def refuse(data: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_receipt_statement(data)
    assert caught.value.reason == "statement_malformed"


def refuse_envelope(data: bytes, reason: str = "statement_malformed") -> None:
    with pytest.raises(VerificationError) as caught:
        parse_receipt(data)
    assert caught.value.reason == reason


def test_a_signed_statement_is_read_back_and_verifies() -> None:
    signed = sign_receipt(STATEMENT, RUNNER)
    envelope, statement = parse_receipt(signed.encode())
    assert (envelope, statement) == (signed, STATEMENT)
    verify_envelope(envelope, RUNNER.public_key)


def test_the_statement_is_an_in_toto_statement_about_one_output() -> None:
    found = json.loads(PAYLOAD)
    assert sorted(found) == ["_type", "predicate", "predicateType", "subject"]
    assert found["subject"] == [{"name": "output", "digest": {"sha256": "13" * 32}}]


def test_the_digest_names_the_exact_bytes_and_the_id_is_made_of_it() -> None:
    expected = hashlib.sha256(PAYLOAD).hexdigest()
    assert statement_digest(PAYLOAD) == f"sha256:{expected}"
    assert receipt_id(statement_digest(PAYLOAD)) == f"rcp_{expected[:32]}"


@pytest.mark.parametrize("content", ["yes!", "yes", "yes.\n"])
def test_another_output_does_not_fit_the_subject(content: str) -> None:
    statement = replace(STATEMENT, output_commitment=output_commitment(SALT, [{"message": {"content": "yes."}}]))
    read = parse_receipt_statement(statement.to_payload())
    assert read.output_commitment != output_commitment(SALT, [{"message": {"content": content}}])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("predicate.parameters.seed", "9007199254740994"),
        ("predicate.parameters.temperature", "0.8"),
        ("predicate.model.version", digest(0x99)),
        ("predicate.issued_at_ms", 1),
        ("predicate.tenant", "ee" * 16),
        ("predicate.policy", None),
    ],
)
def test_a_changed_statement_does_not_verify_under_the_old_signature(path: str, value: Any) -> None:
    forged = replace(sign_receipt(STATEMENT, RUNNER), payload=changed(path, value))
    envelope, _ = parse_receipt(forged.encode())
    with pytest.raises(VerificationError) as caught:
        verify_envelope(envelope, RUNNER.public_key)
    assert caught.value.reason == "signature_invalid"


def test_a_statement_that_names_another_signer_is_refused() -> None:
    refuse_envelope(sign_envelope(PAYLOAD_IN_TOTO, PAYLOAD, GATEWAY).encode())
    with pytest.raises(EncodingError, match="signer"):
        sign_receipt(STATEMENT, GATEWAY)


def test_a_gateway_s_key_does_not_verify_what_a_runner_signed() -> None:
    with pytest.raises(VerificationError) as caught:
        verify_envelope(sign_receipt(STATEMENT, RUNNER), GATEWAY.public_key)
    assert caught.value.reason == "signature_invalid"


def test_a_payload_of_another_type_is_no_receipt() -> None:
    refuse_envelope(sign_envelope(PAYLOAD_TRUST, PAYLOAD, RUNNER).encode())


def test_a_predicate_of_another_protocol_is_no_receipt() -> None:
    refuse(changed("predicateType", "https://slsa.dev/provenance/v1"))
    refuse(changed("predicateType", "https://hitproof.dev/inference/v2"))
    refuse(changed("predicateType", EMBEDDING_TYPE))
    refuse(changed("_type", "https://in-toto.io/Statement/v0.1"))
    refuse(EMBEDDING.to_payload())


def test_a_statement_has_exactly_one_subject() -> None:
    subject = json.loads(PAYLOAD)["subject"][0]
    refuse(changed("subject", []))
    refuse(changed("subject", [subject, subject]))
    refuse(changed("subject", subject))


def test_the_subject_is_the_output_and_nothing_else_is_said_of_it() -> None:
    refuse(changed("subject.0.name", "vector"))
    refuse(changed("subject.0.digest", {"sha256": "13" * 32, "sha512": "13" * 64}))
    refuse(changed("subject.0.digest", {"sha512": "13" * 32}))
    refuse(changed("subject.0.digest.sha256", "sha256:" + "13" * 32))
    refuse(changed("subject.0.uri", "https://example.com"))


@pytest.mark.parametrize("text", ["e\u0301", "A\u030a", "\u2126", "\uac00\u11a8"])
def test_a_text_that_is_not_in_unicode_nfc_is_refused_wherever_it_stands(text: str) -> None:
    refuse(changed("predicate.model.name", text))
    refuse(changed("predicate.model.openssf_digest", text))
    refuse(changed("predicate.parameters.stop", [text]))
    refuse(changed("predicate.parameters", {text: 1}))
    refuse(changed("predicate.evidence", [{"type": text, "digest": digest(1)}]))


def test_a_text_of_combining_characters_alone_is_in_nfc() -> None:
    """A line feed is written as backslash and n, with which the mark behind it must not be taken together."""
    statement = replace(STATEMENT, parameters={"stop": ["\n\u0303", "\u0301"]})
    assert parse_receipt_statement(statement.to_payload()) == statement


@pytest.mark.parametrize("number", [0.7, 1.0, -0.0, 1e300])
def test_a_float_is_refused_wherever_it_stands(number: float) -> None:
    refuse(changed("predicate.parameters.temperature", number))
    refuse(changed("predicate.parameters", {"nested": [{"deep": number}]}))
    refuse(changed("predicate.issued_at_ms", number))


@pytest.mark.parametrize("number", [-1, 2**53, True, "1", None])
def test_a_time_is_an_integer_from_0_to_2_to_the_53_less_1(number: Any) -> None:
    refuse(changed("predicate.issued_at_ms", number))


def test_texts_have_1024_characters_at_most() -> None:
    longest = "é" * 1_024
    statement = replace(STATEMENT, model_name=longest, parameters={"stop": [longest]})
    assert parse_receipt_statement(statement.to_payload()) == statement
    refuse(changed("predicate.model.name", longest + "x"))
    refuse(changed("predicate.parameters.stop", longest + "x"))
    refuse(changed("predicate.parameters", {longest + "x": 1}))


def test_a_payload_has_256_kib_at_most() -> None:
    item = "x" * 1_000
    with pytest.raises(EncodingError, match="longer"):
        replace(STATEMENT, parameters={"stop": [item] * 300}).to_payload()
    refuse(changed("predicate.parameters", {"stop": [item] * 300}))
    largest = replace(STATEMENT, parameters={"stop": [item] * 255})
    assert parse_receipt_statement(largest.to_payload()) == largest


def test_parameters_nest_only_so_deep() -> None:
    nested: Any = 1
    for _ in range(40):
        nested = [nested]
    refuse(changed("predicate.parameters", {"deep": nested}))
    with pytest.raises(EncodingError, match="nests"):
        replace(STATEMENT, parameters={"deep": nested}).to_payload()


@pytest.mark.parametrize(
    "digest_text", ["SHA256:" + "ab" * 32, "sha256:" + "AB" * 32, "sha256:ab", "ab" * 32, "", "sha512:" + "ab" * 32]
)
def test_a_digest_in_another_form_is_refused(digest_text: str) -> None:
    refuse(changed("predicate.model.version", digest_text))
    refuse(changed("predicate.policy", digest_text))
    refuse(changed("predicate.runtime", digest_text))
    refuse(changed("predicate.parents", [{"relation": "composed-of", "statement": digest_text}]))


@pytest.mark.parametrize("nonce", ["ab" * 31, "ab" * 33, "AB" * 32, "", None, "zz" * 32])
def test_a_nonce_of_another_length_or_form_is_refused(nonce: Any) -> None:
    refuse(changed("predicate.nonce", nonce))


def test_evidence_is_sorted_by_type_and_digest_and_stands_once() -> None:
    items = [{"type": "a", "digest": digest(2)}, {"type": "b", "digest": digest(1)}, {"type": "b", "digest": digest(3)}]
    parse_receipt_statement(changed("predicate.evidence", items))
    refuse(changed("predicate.evidence", items[::-1]))
    refuse(changed("predicate.evidence", [items[0], items[0]]))


def test_evidence_has_16_items_and_parents_64_at_most() -> None:
    evidence = tuple(EvidenceReference("a", digest(number)) for number in range(17))
    parents = tuple(Parent("composed-of", digest(number)) for number in range(65))
    full = replace(STATEMENT, evidence=evidence[:16], parents=parents[:64])
    assert parse_receipt_statement(full.to_payload()) == full
    for over in (replace(STATEMENT, evidence=evidence), replace(STATEMENT, parents=parents)):
        with pytest.raises(EncodingError, match="more than"):
            over.to_payload()


def test_parents_are_sorted_and_stand_once() -> None:
    parents = [{"relation": relation, "statement": digest(1)} for relation in ("composed-of", "adapted-from")]
    refuse(changed("predicate.parents", parents))
    refuse(changed("predicate.parents", [parents[0], parents[0]]))
    refuse(changed("predicate.parents", [{"relation": "copied-from", "statement": digest(1)}]))


def test_only_a_declared_statement_leaves_out_its_tokens_and_always_its_runtime() -> None:
    declared = replace(
        STATEMENT, grade="declared", runtime=None, output_tokens_commitment=None, prompt_tokens_commitment=None
    )
    assert parse_receipt_statement(declared.to_payload()) == declared
    with_tokens = replace(STATEMENT, grade="declared", runtime=None)
    assert parse_receipt_statement(with_tokens.to_payload()) == with_tokens
    refuse(changed("predicate.grade", "declared"))
    refuse(changed("predicate.runtime", None))
    refuse(changed("predicate.output_tokens_commitment", None))
    refuse(changed("predicate.prompt_tokens_commitment", None))
    refuse(changed("predicate.grade", "proved"))


def test_what_no_reader_would_accept_is_not_signed() -> None:
    for malformed in (
        replace(STATEMENT, nonce=bytes(31)),
        replace(STATEMENT, runtime=None),
        replace(STATEMENT, parameters={"temperature": 0.7}),
        replace(STATEMENT, tenant="ten_abc"),
        replace(STATEMENT, model_name="e\u0301"),
        replace(STATEMENT, model_name="\ud800"),
    ):
        with pytest.raises(EncodingError):
            sign_receipt(malformed, RUNNER)


def test_the_runtime_digest_depends_on_the_runtime_alone() -> None:
    manifest = {"runtime": {"engine": "x"}, "name": "a"}
    assert runtime_digest(manifest) == runtime_digest({**manifest, "name": "b"})
    assert runtime_digest(manifest) != runtime_digest({**manifest, "runtime": "x"})
    assert canonical_json(manifest["runtime"]) == b'{"engine":"x"}'
