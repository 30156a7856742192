"""The second reader of matches: it accepts what the first accepts, and refuses what the first refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.applicability import match as first
from crypto.errors import VerificationError
from crypto.reference import matches as second
from crypto.reference.errors import NotInForm
from crypto.reference.ledger_documents import read_release
from crypto.release import Release
from tests.pool_matches import (
    MALFORMED,
    MATCH,
    OTHER_QUERIES,
    OTHER_RELEASES,
    QUERY,
    RELEASE,
    SCORE,
    UNTRUE,
    VECTOR,
    changed,
)


def first_accepts(value: Any, release: Release, query: Sequence[int] | None, tau: int) -> bool:
    try:
        found = first.read_match(value)
        first.verify_match(found, release)
        if query is not None:
            first.verify_query(found, query, tau)
    except VerificationError:
        return False
    return True


def second_accepts(value: Any, release: Release, query: Sequence[int] | None, tau: int) -> bool:
    try:
        second.check_match(second.read_match(value), read_release(release.to_json()), query, tau)
    except NotInForm:
        return False
    return True


def test_the_second_reader_accepts_what_was_released_and_came_close() -> None:
    assert second_accepts(MATCH.to_json(), RELEASE, QUERY, SCORE)
    assert second_accepts(MATCH.to_json(), RELEASE, None, 0)


@pytest.mark.parametrize("name", [*MALFORMED, *UNTRUE])
def test_the_second_reader_refuses_every_change_of_a_match(name: str) -> None:
    change: Callable[[Any], None] = (dict(MALFORMED) | dict(UNTRUE))[name]
    assert not second_accepts(changed(change), RELEASE, None, 0)


@pytest.mark.parametrize("name", MALFORMED)
def test_the_second_reader_refuses_another_form_before_it_looks_at_any_release(name: str) -> None:
    with pytest.raises(NotInForm):
        second.read_match(changed(MALFORMED[name]))


@pytest.mark.parametrize("name", OTHER_RELEASES)
def test_the_second_reader_refuses_a_match_in_another_release(name: str) -> None:
    assert not second_accepts(MATCH.to_json(), OTHER_RELEASES[name], None, 0)


@pytest.mark.parametrize("name", OTHER_QUERIES)
def test_the_second_reader_refuses_another_query_or_a_higher_threshold(name: str) -> None:
    query, tau = OTHER_QUERIES[name]
    assert not second_accepts(MATCH.to_json(), RELEASE, query, tau)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-200, 200) | st.text(max_size=4) | st.just("sha256:" + "0" * 64),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@given(key=st.sampled_from(sorted(MATCH.to_json())), value=VALUES)
def test_both_readers_agree_on_whatever_stands_in_a_field(key: str, value: Any) -> None:
    found = {**MATCH.to_json(), key: value}
    assert first_accepts(found, RELEASE, QUERY, 1) == second_accepts(found, RELEASE, QUERY, 1)


@given(st.lists(st.integers(-130, 130), min_size=len(VECTOR) - 1, max_size=len(VECTOR) + 1), st.integers(-1, 260_101))
def test_both_readers_agree_on_every_query_and_threshold(query: list[int], tau: int) -> None:
    value = MATCH.to_json()
    assert first_accepts(value, RELEASE, query, tau) == second_accepts(value, RELEASE, query, tau)


@given(st.lists(st.integers(-127, 127), max_size=len(VECTOR)), st.integers(0, 260_100))
def test_both_readers_agree_on_every_vector(vector: list[int], tau: int) -> None:
    value = {**MATCH.to_json(), "vector": vector}
    query = [*vector[:-1], 1] if vector else None
    assert first_accepts(value, RELEASE, query, tau) == second_accepts(value, RELEASE, query, tau)
