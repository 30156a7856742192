"""Canonical JSON against a slow writer that builds every byte by hand."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crypto.canonical import INTEGER_MAX, canonical_json, parse_canonical_json
from crypto.errors import EncodingError
from tests import vector_reader as reader

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
#: Keys on both sides of the surrogates, where code points and UTF-16 units sort differently.
KEYS = TEXTS | st.sampled_from(["\ufb33", "\U0001f600", "\u20ac", "a", "B", "", "\uffff", "\U00010000", "\ue000"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)


@given(VALUES)
def test_a_slow_writer_writes_the_same_bytes(value: Any) -> None:
    assert canonical_json(value) == reader.canonical(value)


@given(VALUES)
def test_canonical_bytes_read_back_as_the_value_they_were_written_from(value: Any) -> None:
    assert parse_canonical_json(canonical_json(value)) == value


@given(VALUES, st.data())
def test_bytes_with_one_byte_changed_are_refused_or_another_value(value: Any, data: st.DataObject) -> None:
    original = canonical_json(value)
    place = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        found = parse_canonical_json(bytes(changed))
    except EncodingError:
        return
    assert canonical_json(found) == bytes(changed) != original  # type: ignore[arg-type]
