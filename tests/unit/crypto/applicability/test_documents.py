"""Both documents that carry proofs: their form, their digests, and what is not one."""

from __future__ import annotations

import json

import pytest

from crypto.applicability.documents import (
    KIND_APPLICABILITY,
    KIND_WELL_FORMEDNESS,
    Applicability,
    ProofDocument,
    WellFormedness,
    read_document,
)
from crypto.applicability.encoding import APPLICABILITY_BYTES, WELL_FORMEDNESS_BYTES
from crypto.applicability.suites import SUITES
from crypto.canonical import canonical_json, parse_canonical_json
from crypto.errors import EncodingError
from tests.proof_examples import changed_values

EMBEDDING = "sha256:" + "71" * 32
WELL_FORMEDNESS = WellFormedness(EMBEDDING, b"\x01" * WELL_FORMEDNESS_BYTES, SUITES[1].name)
APPLICABILITY = Applicability(EMBEDDING, "hit_" + "3a" * 16, b"\x02" * APPLICABILITY_BYTES, SUITES[1].name)
DOCUMENTS = (WELL_FORMEDNESS, APPLICABILITY)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_is_read_as_it_was_written(document: ProofDocument) -> None:
    payload = document.to_payload()
    assert canonical_json(json.loads(payload)) == payload
    assert read_document(parse_canonical_json(payload)) == document


def test_each_document_has_its_kind_and_digest() -> None:
    assert [document.kind for document in DOCUMENTS] == [KIND_WELL_FORMEDNESS, KIND_APPLICABILITY]
    digests = {document.digest() for document in DOCUMENTS}
    assert len(digests) == 2
    assert all(len(digest) == 71 and digest.startswith("sha256:") for digest in digests)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_change_of_a_document_leaves_it_the_same(document: ProofDocument) -> None:
    for words, changed in changed_values(document.to_json()):
        try:
            read = read_document(changed)
        except EncodingError:
            continue
        assert read.digest() != document.digest(), words


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.parametrize(
    "proof", ["", "0", "00" * 415, "00" * 417, "00" * 575, "00" * 577, "0G" * 416, "AB" * 416, "AB" * 576, None, 7]
)
def test_a_proof_in_another_form_is_refused(document: ProofDocument, proof: object) -> None:
    with pytest.raises(EncodingError, match="lower-case hexadecimal"):
        read_document({**document.to_json(), "proof": proof})  # type: ignore[dict-item]


@pytest.mark.parametrize("value", [None, [], "", {}, {"schema": "hitproof/applicability/v2"}])
def test_what_is_neither_document_is_refused(value: object) -> None:
    with pytest.raises(EncodingError):
        read_document(value)  # type: ignore[arg-type]


def test_a_document_that_nobody_could_read_is_not_written() -> None:
    with pytest.raises(EncodingError):
        Applicability("sha256:71", APPLICABILITY.hit, APPLICABILITY.proof, APPLICABILITY.suite).to_payload()
    with pytest.raises(EncodingError):
        WellFormedness(EMBEDDING, APPLICABILITY.proof, SUITES[1].name).to_payload()
