from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.canonical import JsonValue
from crypto.commitment import (
    hit_salt,
    output_commitment,
    output_tokens_commitment,
    prompt_commitment,
    prompt_tokens_commitment,
    query_commitment,
    query_vector_commitment,
    stated_json,
    text_commitment,
    vector_commitment,
)
from crypto.errors import EncodingError
from tests import vector_reader as reader

SALT = bytes(range(32))
CHOICES: JsonValue = [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}]
MESSAGES: JsonValue = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
COMMITMENTS: dict[str, tuple[Callable[[bytes, Any], bytes], Any]] = {
    "output": (output_commitment, CHOICES),
    "prompt": (prompt_commitment, MESSAGES),
    "prompt_tokens": (prompt_tokens_commitment, [1, 2, 3]),
    "output_tokens": (output_tokens_commitment, [1, 2, 3]),
    "query": (query_commitment, MESSAGES),
    "query_vector": (query_vector_commitment, b"\x01\xff"),
    "vector": (vector_commitment, b"\x01\xff"),
    "text": (text_commitment, "Hello"),
}


def answer(content: str) -> JsonValue:
    return [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]


@pytest.mark.parametrize("name", sorted(COMMITMENTS))
def test_a_wrong_salt_does_not_open_a_commitment(name: str) -> None:
    commit, value = COMMITMENTS[name]
    assert len(commit(SALT, value)) == 32
    for bit in range(256):
        salt = (int.from_bytes(SALT, "big") ^ 1 << bit).to_bytes(32, "big")
        assert commit(salt, value) != commit(SALT, value)


@pytest.mark.parametrize("name", sorted(COMMITMENTS))
@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_salt_of_another_length_is_refused(name: str, size: int) -> None:
    commit, value = COMMITMENTS[name]
    with pytest.raises(EncodingError, match="salt"):
        commit(bytes(size), value)


def test_hmac_alone_would_let_two_salts_open_one_commitment() -> None:
    """Why the length of a salt is checked: HMAC pads keys with zeros."""
    assert hmac.digest(SALT, b"message", "sha256") == hmac.digest(SALT + b"\0", b"message", "sha256")


def test_no_two_kinds_of_commitment_to_the_same_bytes_agree() -> None:
    value = b"\0\0\0\1"
    found = {
        query_vector_commitment(SALT, value),
        vector_commitment(SALT, value),
        text_commitment(SALT, value.decode()),
        prompt_tokens_commitment(SALT, [1]),
        output_tokens_commitment(SALT, [1]),
        output_commitment(SALT, MESSAGES),
        prompt_commitment(SALT, MESSAGES),
        query_commitment(SALT, MESSAGES),
    }
    assert len(found) == 8


@pytest.mark.parametrize("content", ["Yes!", "Yes", "Yes.\n", " Yes.", "yes.", "Yes.\0", ""])
def test_a_changed_output_does_not_open_its_commitment(content: str) -> None:
    assert output_commitment(SALT, answer(content)) != output_commitment(SALT, answer("Yes."))


def test_text_moved_between_the_roles_of_a_prompt_does_not_open_its_commitment() -> None:
    moved: JsonValue = [{"role": "system", "content": "Be brief.Hello"}, {"role": "user", "content": ""}]
    swapped: JsonValue = [{"role": "user", "content": "Be brief."}, {"role": "system", "content": "Hello"}]
    split: JsonValue = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": ".Hello"}]
    found = {prompt_commitment(SALT, messages) for messages in (MESSAGES, moved, swapped, split)}
    assert len(found) == 4


def test_a_stream_and_a_whole_answer_are_stated_alike() -> None:
    whole: JsonValue = [{"index": 0, "message": {"content": "Hi", "refusal": None}, "logprobs": None}]
    streamed: JsonValue = [{"message": {"content": "Hi"}, "index": 0}]
    assert stated_json(whole) == stated_json(streamed) == b'[{"index":0,"message":{"content":"Hi"}}]'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (-2.0, "-2.0"),
        (1e-7, "0.0000001"),
        (1.5e-7, "0.00000015"),
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1e15, "1000000000000000.0"),
        (1e22, "10000000000000000000000.0"),
        (123456.789, "123456.789"),
        (5e-324, "0." + "0" * 323 + "5"),
        (1.7976931348623157e308, "17976931348623157" + "0" * 292 + ".0"),
    ],
)
def test_a_float_is_stated_as_the_shortest_decimal_without_exponent(value: float, text: str) -> None:
    assert json.loads(stated_json([value])) == [text]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_stated_float_reads_back_as_itself(value: float) -> None:
    text = json.loads(stated_json([value]))[0]
    assert float(text).hex() == value.hex()
    assert "e" not in text
    assert "." in text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, "\ud800", [[[]]] * 1])
def test_what_has_no_canonical_form_cannot_be_stated(value: Any) -> None:
    nested = value
    for _ in range(33 if isinstance(value, list) else 0):
        nested = [nested]
    with pytest.raises(EncodingError):
        stated_json([nested])


def test_nulls_are_left_out_of_objects_at_every_depth_and_kept_in_lists() -> None:
    assert stated_json({"a": None, "b": [None, {"c": None, "d": {"e": None}}]}) == b'{"b":[null,{"d":{}}]}'


@given(st.lists(st.integers(0, 2**31 - 1), max_size=20))
def test_token_ids_take_four_bytes_each(ids: list[int]) -> None:
    value = b"".join(number.to_bytes(4, "big") for number in ids)
    expected = hmac.digest(SALT, reader.fields("hitproof/prompt-tokens/v1", value), "sha256")
    assert prompt_tokens_commitment(SALT, ids) == expected


@pytest.mark.parametrize("number", [-1, 2**31, True, 1.0])
def test_what_is_no_token_id_is_refused(number: Any) -> None:
    with pytest.raises(EncodingError, match="token"):
        output_tokens_commitment(SALT, [number])


def test_outputs_and_vectors_are_hashed_with_their_salt_inside() -> None:
    vector = b"\x7f\x80"
    expected = hashlib.sha256(reader.fields("hitproof/vector/v1", SALT, vector)).digest()
    assert vector_commitment(SALT, vector) == expected


def test_the_salts_of_a_hit_differ_by_hit_kind_and_key() -> None:
    found = {
        hit_salt(key, hit, kind) for key in (b"k", b"l") for hit in ("a", "b") for kind in ("query", "query_vector")
    }
    assert len(found) == 8
    assert {len(salt) for salt in found} == {32}


def test_a_hit_has_no_other_salts() -> None:
    with pytest.raises(EncodingError):
        hit_salt(b"k", "a", "output")  # type: ignore[arg-type]
