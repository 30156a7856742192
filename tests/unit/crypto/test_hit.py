from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from crypto.errors import EncodingError, VerificationError
from crypto.hit import parse_hit_record
from crypto.similarity import NORM_BOUND_SQUARED
from tests.proof_examples import BODIES, HIT

VALUE = json.loads(HIT.to_payload())


def refuse(value: Any) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_hit_record(value)
    assert caught.value.reason == "malformed"


def test_a_record_is_read_back_from_bytes_and_from_an_object() -> None:
    assert parse_hit_record(HIT.to_payload()) == parse_hit_record(HIT.to_json()) == HIT


@pytest.mark.parametrize(
    "hit", ["hit_", "hit_" + "3a" * 15, "lk_" + "3a" * 16, "hit_" + "3A" * 16, "hit_" + "3a" * 16 + "\n"]
)
def test_an_id_in_another_form_is_refused(hit: str) -> None:
    refuse(VALUE | {"hit": hit})


def test_an_exact_hit_has_neither_vector_nor_threshold() -> None:
    without = replace(HIT, tier="exact", query_vector=None, tau=None)
    assert parse_hit_record(without.to_payload()) == without
    refuse(VALUE | {"tier": "exact"})


@pytest.mark.parametrize("tier", ["private", "pool"])
def test_a_hit_by_meaning_has_vector_and_threshold_in_either_tier(tier: Any) -> None:
    by_meaning = replace(HIT, tier=tier)
    assert parse_hit_record(by_meaning.to_payload()) == by_meaning
    refuse(VALUE | {"tier": tier, "query_vector": None, "tau": None})


def test_vector_and_threshold_stand_together() -> None:
    refuse(VALUE | {"tau": None})
    refuse(VALUE | {"query_vector": None})
    with pytest.raises(EncodingError, match="tau"):
        replace(HIT, tau=None).to_payload()


@pytest.mark.parametrize("tau", [-1, 1.0, "1", True, NORM_BOUND_SQUARED + 1, 2**53])
def test_a_threshold_is_an_integer_that_an_inner_product_can_reach(tau: Any) -> None:
    refuse(VALUE | {"tau": tau})


def test_a_batch_is_no_record() -> None:
    refuse(BODIES["hit_batch"].to_payload())
