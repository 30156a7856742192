from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from crypto.closed import (
    Reader,
    one_of,
    or_null,
    parse_closed,
    read_choice,
    read_digest,
    read_free,
    read_hex,
    read_integer,
    read_list,
    read_object,
    read_record,
    read_text,
    refuse_unsorted,
    refused_as,
    write_record,
)
from crypto.errors import EncodingError, VerificationError

KEYS = frozenset({"a", "b"})


def refuse(reader: Reader, value: Any, match: str = "the thing") -> None:
    with pytest.raises(EncodingError, match=match):
        reader(value, "the thing")


def test_an_object_has_exactly_its_keys() -> None:
    assert read_object({"a": 1, "b": 2}, "the thing", KEYS) == {"a": 1, "b": 2}
    with pytest.raises(EncodingError, match="the thing lacks b"):
        read_object({"a": 1}, "the thing", KEYS)
    with pytest.raises(EncodingError, match="unknown keys: c"):
        read_object({"a": 1, "b": 2, "c": 3}, "the thing", KEYS)
    for value in (None, [], "a", 1):
        with pytest.raises(EncodingError, match="not an object"):
            read_object(value, "the thing", KEYS)  # type: ignore[arg-type]


def test_a_refusal_does_not_repeat_a_long_key() -> None:
    with pytest.raises(EncodingError) as caught:
        read_object({"a": 1, "b": 2, "c" * 5_000: 3}, "the thing", KEYS)
    assert len(str(caught.value)) < 200


def test_a_list_has_a_limit() -> None:
    assert read_list([1, 2], "the thing", 2) == [1, 2]
    with pytest.raises(EncodingError, match="more than 1"):
        read_list([1, 2], "the thing", 1)
    with pytest.raises(EncodingError, match="not a list"):
        read_list("ab", "the thing", 2)


def test_a_text_is_short_and_in_nfc() -> None:
    assert read_text("é", "the thing") == "é"
    assert read_text("", "the thing") == ""
    refuse(read_text, "e\u0301", "NFC")
    refuse(read_text, "x" * 1_025, "longer")
    refuse(read_text, 1, "not a text")


@pytest.mark.parametrize("value", [True, False, -1, 2**53, 1.0, "1", None])
def test_an_integer_is_neither_a_boolean_nor_out_of_bounds(value: Any) -> None:
    refuse(read_integer, value)


def test_an_integer_may_have_bounds_of_its_own() -> None:
    assert read_integer(5, "the thing", 5, 5) == 5
    with pytest.raises(EncodingError, match="from 5 to 5"):
        read_integer(6, "the thing", 5, 5)


@pytest.mark.parametrize("value", ["ab" * 31, "ab" * 32 + "a", "AB" * 32, "ab" * 32 + "\n", "\u0661" * 64, 1, None])
def test_hexadecimal_has_one_form(value: Any) -> None:
    refuse(lambda found, where: read_hex(found, where, 32), value)


def test_hexadecimal_is_read_as_bytes_and_a_digest_as_text() -> None:
    assert read_hex("00ff", "the thing", 2) == b"\0\xff"
    assert read_digest("sha256:" + "ab" * 32, "the thing") == "sha256:" + "ab" * 32
    refuse(read_digest, "sha256:" + "ab" * 32 + "\n")


def test_a_choice_is_one_of_those_offered() -> None:
    assert read_choice("x", "the thing", ("x", "y")) == "x"
    for value in ("z", None, 1, ["x"]):
        refuse(one_of("x", "y"), value, "none of x, y")


def test_null_is_read_only_where_it_may_stand() -> None:
    assert or_null(read_text)(None, "the thing") is None
    assert or_null(read_text)("x", "the thing") == "x"
    refuse(or_null(read_text), 1)


@pytest.mark.parametrize("value", [1.5, [1.5], {"a": {"b": 1.5}}, {"e\u0301": 1}, ["x" * 1_025], ("e\u0301",)])
def test_a_free_value_holds_no_float_and_no_unfit_text(value: Any) -> None:
    refuse(read_free, value)


def test_a_free_value_holds_anything_else() -> None:
    read_free({"a": [None, True, -1, "é", {"b": []}]}, "the thing")


def test_a_free_value_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    refuse(read_free, endless, "nests")


@pytest.mark.parametrize("keys", [["b", "a"], ["a", "a"], ["a", "c", "b"]])
def test_keys_ascend_and_stand_once(keys: list[str]) -> None:
    refuse_unsorted(sorted(set(keys)), "keys")
    with pytest.raises(EncodingError, match="sorted"):
        refuse_unsorted(keys, "keys")


def test_bytes_beyond_the_limit_are_refused_unread() -> None:
    with pytest.raises(EncodingError, match="longer than 3 bytes"):
        parse_closed(b"nonsense", 3, "the thing")
    assert parse_closed(b"[1]", 3, "the thing") == [1]
    with pytest.raises(EncodingError, match="canonical"):
        parse_closed(b"[ 1]", 9, "the thing")


def test_a_value_that_was_read_before_is_taken_as_it_is() -> None:
    value = {"a": 1}
    assert parse_closed(value, 0, "the thing") is value  # type: ignore[arg-type]


def test_an_encoding_error_becomes_a_refusal_with_its_reason() -> None:
    @refused_as("malformed")
    def read() -> None:
        raise EncodingError("what is wrong")

    with pytest.raises(VerificationError, match="what is wrong") as caught:
        read()
    assert caught.value.reason == "malformed"


def test_a_record_is_written_as_its_readers_read_it() -> None:
    @dataclass(frozen=True)
    class Inner:
        name: str

    @dataclass(frozen=True)
    class Outer:
        data: bytes
        items: tuple[Inner, ...]
        nothing: str | None

    readers: Mapping[str, Reader] = {
        "data": lambda value, where: read_hex(value, where, 1),
        "items": lambda value, where: value,
        "nothing": or_null(read_text),
    }
    written = write_record(Outer(b"\xff", (Inner("x"),), None))
    assert written == {"data": "ff", "items": [{"name": "x"}], "nothing": None}
    assert read_record(written, "the thing", readers) == {"data": b"\xff", "items": [{"name": "x"}], "nothing": None}


def test_a_refusal_names_the_field() -> None:
    with pytest.raises(EncodingError, match="the name of the thing is not a text"):
        read_record({"name": 1}, "the thing", {"name": read_text})
