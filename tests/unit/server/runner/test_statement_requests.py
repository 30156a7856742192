from __future__ import annotations

from typing import Any

import pytest

from crypto.statement import EvidenceReference, Parent
from server.ports import JsonObject
from server.runner.errors import RequestInvalid
from server.runner.statement_requests import (
    EmbeddingRequest,
    StatementRequest,
    read_embedding_request,
    take_statement_request,
)

DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "ac" * 32
ASKED: JsonObject = {"derivation": "none", "parents": [], "policy": None, "tenant": "cd" * 16}
BODY: JsonObject = {"model": "echo", "messages": []}
VECTOR: JsonObject = {"embedder": DIGEST, "statement": OTHER, "tenant": "cd" * 16, "text": "hi", "vector": [1, -127]}


def parent(relation: str = "adapted-from", statement: str = DIGEST) -> JsonObject:
    return {"relation": relation, "statement": statement}


def test_a_body_that_asks_for_no_statement_stays_as_it_is() -> None:
    assert take_statement_request(BODY) == (None, BODY)


def test_what_is_asked_for_is_taken_out_of_the_body() -> None:
    body = BODY | {"hitproof_statement": ASKED}
    asked, rest = take_statement_request(body)
    assert asked == StatementRequest("none", (), None, "cd" * 16)
    assert rest == BODY
    assert "hitproof_statement" in body


def test_parents_and_policy_are_read() -> None:
    value = ASKED | {"derivation": "adapted", "parents": [parent(), parent("composed-of")], "policy": OTHER}
    asked, _ = take_statement_request(BODY | {"hitproof_statement": value})
    assert asked is not None
    assert asked.parents == (Parent("adapted-from", DIGEST), Parent("composed-of", DIGEST))
    assert asked.policy == OTHER


def test_evidence_is_read_where_it_is_asked_for() -> None:
    evidence = [{"type": "pool-release", "digest": DIGEST}]
    asked, _ = take_statement_request(BODY | {"hitproof_statement": ASKED | {"evidence": evidence}})
    assert asked is not None
    assert asked.evidence == (EvidenceReference("pool-release", DIGEST),)


def evidence(digest: str = DIGEST) -> JsonObject:
    return {"type": "pool-release", "digest": digest}


UNTRUE: dict[str, Any] = {
    "null": None,
    "a list": [],
    "empty": {},
    "an unknown key": ASKED | {"grade": "attested"},
    "no tenant": {key: value for key, value in ASKED.items() if key != "tenant"},
    "no policy": {key: value for key, value in ASKED.items() if key != "policy"},
    "tenant in upper case": ASKED | {"tenant": "CD" * 16},
    "short tenant": ASKED | {"tenant": "cd" * 15},
    "long tenant": ASKED | {"tenant": "cd" * 32},
    "tenant null": ASKED | {"tenant": None},
    "policy without prefix": ASKED | {"policy": "ab" * 32},
    "policy in upper case": ASKED | {"policy": DIGEST.upper()},
    "policy as number": ASKED | {"policy": 1},
    "another derivation": ASKED | {"derivation": "stolen"},
    "derivation null": ASKED | {"derivation": None},
    "parents null": ASKED | {"parents": None},
    "a parent as text": ASKED | {"parents": [DIGEST]},
    "a parent of another relation": ASKED | {"parents": [parent("copied-from")]},
    "a parent that is no digest": ASKED | {"parents": [parent(statement="rcp_1")]},
    "a parent with more": ASKED | {"parents": [parent() | {"kind": 1}]},
    "evidence null": ASKED | {"evidence": None},
    "evidence that is no digest": ASKED | {"evidence": [evidence("rcp_1")]},
    "evidence with more": ASKED | {"evidence": [evidence() | {"kind": 1}]},
    "evidence out of order": ASKED | {"evidence": [evidence(OTHER), evidence()]},
    "evidence twice": ASKED | {"evidence": [evidence(), evidence()]},
    "too much evidence": ASKED | {"evidence": [evidence(f"sha256:{place:064x}") for place in range(17)]},
    "parents out of order": ASKED | {"parents": [parent(statement=OTHER), parent()]},
    "a parent twice": ASKED | {"parents": [parent(), parent()]},
    "too many parents": ASKED | {"parents": [parent(statement=f"sha256:{place:064x}") for place in range(65)]},
}


@pytest.mark.parametrize("value", UNTRUE.values(), ids=UNTRUE.keys())
def test_anything_but_the_one_form_is_refused(value: Any) -> None:
    with pytest.raises(RequestInvalid) as caught:
        take_statement_request(BODY | {"hitproof_statement": value})
    assert caught.value.param == "hitproof_statement"


def test_a_vector_to_sign_is_read() -> None:
    assert read_embedding_request(VECTOR) == EmbeddingRequest(DIGEST, OTHER, "cd" * 16, "hi", (1, -127))


UNTRUE_VECTORS: dict[str, Any] = {
    "empty": {},
    "an unknown key": VECTOR | {"commitment": None},
    "no digest": VECTOR | {"embedder": "minilm"},
    "statement null": VECTOR | {"statement": None},
    "a tenant id": VECTOR | {"tenant": "ten_1"},
    "text as list": VECTOR | {"text": ["hi"]},
    "a long text": VECTOR | {"text": "x" * 131_073},
    "an empty vector": VECTOR | {"vector": []},
    "a component beyond a byte": VECTOR | {"vector": [-128]},
    "a float": VECTOR | {"vector": [1.0]},
    "a truth value": VECTOR | {"vector": [True]},
    "too many components": VECTOR | {"vector": [0] * 4_097},
}


@pytest.mark.parametrize("value", UNTRUE_VECTORS.values(), ids=UNTRUE_VECTORS.keys())
def test_another_form_of_a_vector_to_sign_is_refused(value: Any) -> None:
    with pytest.raises(RequestInvalid):
        read_embedding_request(value)
