"""Every proof format at once: one accepted form, and every change of any field refused or kept to the letter."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from crypto.canonical import canonical_json
from crypto.errors import VerificationError
from tests.proof_examples import FORMATS, changed_values

NAMES = sorted(FORMATS)


def write(value: Any) -> bytes:
    """Canonical JSON with floats let through, as a careless writer would leave them."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def refuse(name: str, data: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        FORMATS[name].read(data)
    assert caught.value.reason == FORMATS[name].reason


@pytest.mark.parametrize("name", NAMES)
def test_what_was_written_is_read_back_and_written_alike(name: str) -> None:
    found = FORMATS[name].read(FORMATS[name].payload)
    assert FORMATS[name].write(found) == FORMATS[name].payload


@pytest.mark.parametrize("name", NAMES)
def test_the_payload_is_canonical_json(name: str) -> None:
    assert canonical_json(json.loads(FORMATS[name].payload)) == FORMATS[name].payload


@pytest.mark.parametrize("name", NAMES)
def test_a_change_of_any_field_is_refused_or_kept_to_the_letter(name: str) -> None:
    form = FORMATS[name]
    original, reasons = form.read(form.payload), set()
    for words, changed in changed_values(json.loads(form.payload)):
        data = write(changed)
        assert data != form.payload, words
        try:
            found = form.read(data)
        except VerificationError as error:
            reasons.add(error.reason)
            continue
        assert found != original, words
        assert form.write(found) == data, words
    assert form.reason in reasons
    assert reasons <= {form.reason, "leaf_kind"}


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_or_missing_key_is_refused(name: str) -> None:
    value = json.loads(FORMATS[name].payload)
    refuse(name, write({**value, "zz": None}))
    for key in value:
        refuse(name, write({other: item for other, item in value.items() if other != key}))


@pytest.mark.parametrize("name", NAMES)
def test_a_key_that_stands_twice_is_refused(name: str) -> None:
    payload = FORMATS[name].payload
    first = json.dumps(next(iter(sorted(json.loads(payload))))).encode()
    refuse(name, b"{" + first + b":1," + payload[1:])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data + b"\n",
        lambda data: b" " + data,
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b":", b": ", 1),
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: b"[" + data + b"]",
        lambda data: b"null",
        lambda data: b"NaN",
        lambda data: b"\xff" + data,
        lambda data: b'"' * 3_000_000,
        lambda data: b"[" * 100_000,
    ],
    ids=["newline", "space", "mark", "inner_space", "cut", "empty", "list", "null", "nan", "utf8", "long", "deep"],
)
def test_any_other_bytes_are_refused(name: str, spoil: Any) -> None:
    refuse(name, spoil(FORMATS[name].payload))


@pytest.mark.parametrize("name", NAMES)
def test_keys_in_another_order_are_refused(name: str) -> None:
    value = json.loads(FORMATS[name].payload)
    backwards = dict(reversed(value.items()))
    refuse(name, json.dumps(backwards, ensure_ascii=False, separators=(",", ":")).encode())


@pytest.mark.parametrize("name", NAMES)
def test_what_was_read_cannot_be_changed(name: str) -> None:
    found = FORMATS[name].read(FORMATS[name].payload)
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        found.signatures = ()
