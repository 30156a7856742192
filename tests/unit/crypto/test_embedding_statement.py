from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from crypto.dsse import PAYLOAD_IN_TOTO, sign_envelope, verify_envelope
from crypto.embedding_statement import parse_embedding, parse_embedding_statement, sign_embedding
from crypto.errors import EncodingError, VerificationError
from crypto.similarity import NORM_BOUND_SQUARED, SCALE
from tests.proof_examples import EMBEDDING, GATEWAY, RUNNER, STATEMENT

PAYLOAD = EMBEDDING.to_payload()
COMMITMENT = "a5" * 48


def refuse(data: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_embedding_statement(data)
    assert caught.value.reason == "statement_malformed"


def changed(**values: Any) -> bytes:
    found = json.loads(PAYLOAD)
    found["predicate"] |= values
    return json.dumps(found, sort_keys=True, separators=(",", ":")).encode()


def test_a_signed_statement_is_read_back_and_verifies() -> None:
    signed = sign_embedding(EMBEDDING, RUNNER)
    assert parse_embedding(signed.encode()) == (signed, EMBEDDING)
    verify_envelope(signed, RUNNER.public_key)


def test_a_receipt_is_no_embedding_statement() -> None:
    refuse(STATEMENT.to_payload())


@pytest.mark.parametrize("dimension", [0, 65_537, -1, True, "384", None])
def test_a_dimension_out_of_bounds_is_refused(dimension: Any) -> None:
    refuse(changed(dimension=dimension))


def test_the_smallest_and_the_largest_dimension_are_read() -> None:
    for dimension in (1, 65_536):
        assert parse_embedding_statement(changed(dimension=dimension)).dimension == dimension


def test_scale_and_norm_bound_are_those_of_the_inequality() -> None:
    assert (EMBEDDING.scale, EMBEDDING.norm_bound) == (SCALE, NORM_BOUND_SQUARED) == (508, 260_100)
    refuse(changed(scale=507))
    refuse(changed(norm_bound=260_101))


def test_a_commitment_and_its_suite_stand_together() -> None:
    both = replace(EMBEDDING, commitment=COMMITMENT, suite="another/suite/v1")
    assert parse_embedding_statement(both.to_payload()) == both
    refuse(changed(commitment=COMMITMENT))
    refuse(changed(suite="another/suite/v1"))


@pytest.mark.parametrize("commitment", ["", "ab", COMMITMENT[:-2], COMMITMENT + "ab", COMMITMENT.upper(), "g" * 96, 7])
def test_a_commitment_is_a_compressed_point_in_hexadecimal(commitment: Any) -> None:
    refuse(changed(commitment=commitment, suite="another/suite/v1"))


@pytest.mark.parametrize(("dimension", "size"), [(3, 256), (256, 256), (257, 512), (384, 512), (1536, 2048)])
def test_a_suite_that_is_known_fits_the_dimension(dimension: int, size: int) -> None:
    suite = f"hitproof/kzg-bls12381-{size}/v1"
    fitting = changed(dimension=dimension, commitment=COMMITMENT, suite=suite)
    assert parse_embedding_statement(fitting).suite == suite
    other = "hitproof/kzg-bls12381-1024/v1"
    refuse(changed(dimension=dimension, commitment=COMMITMENT, suite=other))


def test_no_suite_that_is_known_fits_more_than_its_largest_domain() -> None:
    refuse(changed(dimension=2049, commitment=COMMITMENT, suite="hitproof/kzg-bls12381-2048/v1"))


def test_a_statement_that_names_another_signer_is_refused() -> None:
    with pytest.raises(VerificationError) as caught:
        parse_embedding(sign_envelope(PAYLOAD_IN_TOTO, PAYLOAD, GATEWAY).encode())
    assert caught.value.reason == "statement_malformed"
    with pytest.raises(EncodingError, match="signer"):
        sign_embedding(EMBEDDING, GATEWAY)
