from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from crypto.bodies import Body, ModelStatus, kind_of_body, parse_body
from crypto.errors import EncodingError, VerificationError
from crypto.leaf import LeafKind
from tests.proof_examples import BODIES, STATEMENT

PAIRS = [(name, kind) for name in sorted(BODIES) for kind in sorted(LeafKind)]


def refusal(kind: LeafKind, value: Any) -> str:
    with pytest.raises(VerificationError) as caught:
        parse_body(kind, value)
    return caught.value.reason


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_body_is_read_only_as_the_kind_that_it_is(name: str, kind: LeafKind) -> None:
    body = BODIES[name]
    if kind is body.KIND:
        assert parse_body(kind, body.to_payload()) == parse_body(kind, json.loads(body.to_payload())) == body
    else:
        assert refusal(kind, body.to_payload()) == "leaf_kind"


def test_every_kind_but_a_receipt_has_a_body() -> None:
    assert {body.KIND for body in BODIES.values()} == set(LeafKind) - {LeafKind.RECEIPT}


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_the_kind_of_a_body_is_told_by_its_schema(body: Body) -> None:
    assert kind_of_body(json.loads(body.to_payload())) is body.KIND


@pytest.mark.parametrize("value", [{}, {"schema": "hitproof/hit-batch/v2"}, {"schema": []}, [], None, "x"])
def test_a_body_of_an_unknown_schema_is_refused(value: Any) -> None:
    assert refusal(LeafKind.HIT_BATCH, value) == "malformed"
    with pytest.raises(VerificationError):
        kind_of_body(value)


def test_a_receipt_s_statement_is_no_body() -> None:
    assert refusal(LeafKind.RECEIPT, STATEMENT.to_payload()) == "malformed"


def test_a_model_status_names_model_and_status_or_neither() -> None:
    status = BODIES["model_status"]
    assert isinstance(status, ModelStatus)
    for half in (replace(status, model_version=None), replace(status, status=None)):
        with pytest.raises(EncodingError, match="alone"):
            half.to_payload()
    value = json.loads(status.to_payload()) | {"status": None}
    assert refusal(LeafKind.MODEL_STATUS, value) == "malformed"


def test_a_nonce_of_another_length_is_not_written() -> None:
    with pytest.raises(EncodingError, match="nonce"):
        replace(BODIES["erasure"], nonce=bytes(16)).to_payload()


def test_a_long_body_is_refused_before_it_is_read() -> None:
    assert refusal(LeafKind.EVIDENCE, b'{"schema":"' + b"x" * 70_000 + b'"}') == "malformed"
