from __future__ import annotations

import json
from typing import Any

import pytest

from crypto.applicability_extra import QueryOpening, Shown, ShownMatch, ShownProof, read_shown
from crypto.canonical import canonical_json
from crypto.errors import EncodingError, VerificationError
from crypto.tlog_proof import HitProofExtra, parse_extra

QUERY = QueryOpening(b"\1" * 32, (1, -2, 3))
PROOF = ShownProof({"payload": ""}, 5, (b"\2" * 32,), b"\3" * 416, b"\4" * 576, QUERY)
MATCH = ShownMatch({"alias": "a"}, {"number": 1}, QUERY)


def extra(shown: Shown | None) -> HitProofExtra:
    return HitProofExtra({}, {}, (), 0, 1, (), {}, shown)


@pytest.mark.parametrize("shown", [PROOF, MATCH, ShownProof({}, 0, (), b"\0" * 416, b"\0" * 576), ShownMatch({}, {})])
def test_what_is_shown_reads_as_it_was_written(shown: Shown) -> None:
    assert read_shown(shown.to_json()) == shown
    assert parse_extra(extra(shown).to_payload()) == extra(shown)


def test_a_hits_extra_names_its_schema_by_what_it_shows() -> None:
    schemas = [json.loads(extra(shown).to_payload())["schema"] for shown in (None, PROOF)]
    assert schemas == ["hitproof/hit-proof/v1", "hitproof/applicability-proof/v1"]


@pytest.mark.parametrize(
    "change",
    [
        {"proof": "00"},
        {"proof": "AA" * 416},
        {"well_formedness": "00" * 416},
        {"embedding": "text"},
        {"embedding_index": -1},
        {"embedding_path": ["00"]},
        {"embedding_path": ["00" * 32] * 64},
        {"query": {}},
        {"query": {"salt": "00" * 32, "vector": [1.5]}},
        {"query": {"salt": "00" * 31, "vector": []}},
        {"more": None},
        {"match": {}},
    ],
)
def test_proofs_in_another_form_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EncodingError):
        read_shown({**PROOF.to_json(), **change})


@pytest.mark.parametrize("change", [{"match": None}, {"release": []}, {"query": []}, {"proof": "00"}])
def test_a_match_in_another_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EncodingError):
        read_shown({**MATCH.to_json(), **change})


@pytest.mark.parametrize("shown", [None, [], {}, {"match": {}}])
def test_an_extra_that_shows_nothing_readable_is_malformed(shown: Any) -> None:
    value = {**json.loads(extra(PROOF).to_payload()), "applicability": shown}
    with pytest.raises(VerificationError) as caught:
        parse_extra(canonical_json(value))
    assert caught.value.reason == "malformed"


def test_a_schema_and_what_it_has_belong_together() -> None:
    whole = json.loads(extra(PROOF).to_payload())
    without = {key: value for key, value in whole.items() if key != "applicability"}
    for value in (without, {**whole, "schema": "hitproof/hit-proof/v1"}):
        with pytest.raises(VerificationError):
            parse_extra(canonical_json(value))
