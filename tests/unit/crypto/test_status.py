from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from crypto.errors import EncodingError, VerificationError
from crypto.status import StatusList, parse_status_list
from tests import vector_reader as reader
from tests.proof_examples import STATUS_LIST

VALUE = json.loads(STATUS_LIST.to_payload())


def refuse(value: Any) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_status_list(value)
    assert caught.value.reason == "malformed"


def test_a_list_is_read_back() -> None:
    assert parse_status_list(STATUS_LIST.to_payload()) == STATUS_LIST


def test_a_list_may_be_empty() -> None:
    empty = StatusList(0, (), (), 1)
    assert parse_status_list(empty.to_payload()) == empty


def test_the_digest_is_taken_under_the_list_s_own_domain() -> None:
    fields = reader.fields("hitproof/status-list/v1", STATUS_LIST.to_payload())
    assert STATUS_LIST.digest() == "sha256:" + hashlib.sha256(fields).hexdigest()


def test_a_list_that_leaves_a_key_out_has_another_digest() -> None:
    assert replace(STATUS_LIST, keys=STATUS_LIST.keys[:1]).digest() != STATUS_LIST.digest()


def test_keys_and_models_are_sorted_and_stand_once() -> None:
    for name in ("keys", "models"):
        items = VALUE[name]
        refuse(VALUE | {name: items[::-1]})
        refuse(VALUE | {name: [items[0], items[0]]})
    with pytest.raises(EncodingError, match="sorted"):
        replace(STATUS_LIST, keys=STATUS_LIST.keys[::-1]).to_payload()


def test_one_key_has_one_status() -> None:
    first = VALUE["keys"][0]
    refuse(VALUE | {"keys": [first, first | {"status": "retired"}]})


def test_what_is_in_force_is_not_listed() -> None:
    refuse(VALUE | {"keys": [VALUE["keys"][0] | {"status": "active"}]})
    refuse(VALUE | {"models": [VALUE["models"][0] | {"status": "active"}]})
    refuse(VALUE | {"keys": [VALUE["keys"][0] | {"since_index": None}]})
