from __future__ import annotations

from typing import Any

import pytest

from crypto.applicability.documents import Applicability, WellFormedness
from crypto.applicability_lines import MatchLine, ProofLine, QueryLine
from crypto.errors import EncodingError

HIT = "hit_" + "1" * 32
DIGEST = "sha256:" + "2" * 64
SUITE = "hitproof/kzg-bls12381-256/v1"
DOCUMENTS = [WellFormedness(DIGEST, b"\1" * 576, SUITE), Applicability(DIGEST, HIT, b"\2" * 416, SUITE)]
QUERY = QueryLine(HIT, b"\3" * 32, (1, -2, 127))
MATCH = MatchLine(HIT, {"alias": "question"})


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_line_with_a_document_reads_as_it_was_written(document: Any) -> None:
    line = ProofLine(7, document)
    assert ProofLine.read(line.to_json()) == line


def test_a_query_and_a_match_read_as_they_were_written() -> None:
    assert QueryLine.read(QUERY.to_json()) == QUERY
    assert MatchLine.read(MATCH.to_json()) == MATCH


@pytest.mark.parametrize(
    "change",
    [
        {"hit": "hit_1"},
        {"salt": "00"},
        {"vector": None},
        {"vector": [1, True]},
        {"vector": [1, "2"]},
        {"vector": [0] * 65_537},
        {"more": 1},
    ],
)
def test_a_query_in_another_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EncodingError):
        QueryLine.read({**QUERY.to_json(), **change})


def test_whether_an_integer_is_a_component_is_asked_later() -> None:
    assert QueryLine.read({**QUERY.to_json(), "vector": [1000, -1000]}).vector == (1000, -1000)


@pytest.mark.parametrize("change", [{"index": -1}, {"document": {}}, {"document": None}, {"more": 1}])
def test_a_proof_in_another_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EncodingError):
        ProofLine.read({**ProofLine(1, DOCUMENTS[0]).to_json(), **change})


@pytest.mark.parametrize("change", [{"match": []}, {"match": None}, {"hit": None}])
def test_a_match_that_is_no_object_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EncodingError):
        MatchLine.read({**MATCH.to_json(), **change})
