from __future__ import annotations

import json

import pytest

from crypto.applicability.match import PoolMatch, read_match, verify_match, verify_query
from crypto.canonical import canonical_json, parse_canonical_json
from crypto.errors import VerificationError
from crypto.release import PoolItem, item_paths
from tests.pool_matches import (
    ALIAS,
    ITEMS,
    MALFORMED,
    MATCH,
    OTHER_ALIAS,
    OTHER_QUERIES,
    OTHER_RELEASES,
    PATH,
    POSITION,
    QUERY,
    RELEASE,
    SCORE,
    UNTRUE,
    VECTOR,
    changed,
    release_of,
)


def test_a_match_reads_back_as_it_was_written_with_its_alias_as_the_author_spelt_it() -> None:
    written = canonical_json(MATCH.to_json())
    assert read_match(parse_canonical_json(written)) == MATCH
    assert json.loads(written)["alias"] == ALIAS


def test_what_was_released_and_came_close_is_accepted() -> None:
    verify_match(MATCH, RELEASE)
    verify_query(MATCH, QUERY, SCORE)
    verify_query(MATCH, QUERY, 0)


def test_every_alias_of_the_item_may_have_decided() -> None:
    verify_match(PoolMatch(OTHER_ALIAS, ITEMS[0], PATH, POSITION, VECTOR), RELEASE)


@pytest.mark.parametrize("name", MALFORMED)
def test_a_match_in_another_form_is_refused(name: str) -> None:
    with pytest.raises(VerificationError) as refused:
        read_match(changed(MALFORMED[name]))
    assert refused.value.reason == "match_invalid"


@pytest.mark.parametrize("name", UNTRUE)
def test_a_match_of_nothing_that_was_released_is_refused(name: str) -> None:
    match = read_match(changed(UNTRUE[name]))
    with pytest.raises(VerificationError) as refused:
        verify_match(match, RELEASE)
    assert refused.value.reason == "match_invalid"


@pytest.mark.parametrize("name", OTHER_RELEASES)
def test_a_match_in_another_release_is_refused(name: str) -> None:
    with pytest.raises(VerificationError) as refused:
        verify_match(MATCH, OTHER_RELEASES[name])
    assert refused.value.reason == "match_invalid"


@pytest.mark.parametrize("name", OTHER_QUERIES)
def test_another_query_or_a_higher_threshold_is_refused(name: str) -> None:
    query, tau = OTHER_QUERIES[name]
    with pytest.raises(VerificationError) as refused:
        verify_query(MATCH, query, tau)
    assert refused.value.reason == "match_invalid"


def test_nothing_is_written_that_no_reader_takes() -> None:
    with pytest.raises(VerificationError):
        PoolMatch(ALIAS, ITEMS[0], PATH, -1, VECTOR).to_json()
    with pytest.raises(VerificationError):
        PoolMatch(ALIAS, ITEMS[0], PATH, POSITION, (128,)).to_json()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 33])
def test_every_item_of_a_release_is_proved_by_its_path(count: int) -> None:
    items = [PoolItem.of([f"question {number}"], "plain", bytes([number])) for number in range(count)]
    release = release_of(items)
    for number, (position, path) in enumerate(item_paths(items)):
        verify_match(PoolMatch(f"question {number}", items[number], path, position, VECTOR), release)


def test_items_that_are_alike_have_a_place_each() -> None:
    items = [ITEMS[0], ITEMS[0], ITEMS[1]]
    places = item_paths(items)
    assert sorted(position for position, _ in places) == [0, 1, 2]
    for item, (position, path) in zip(items, places, strict=True):
        alias = ALIAS if item is ITEMS[0] else "question 0"
        verify_match(PoolMatch(alias, item, path, position, VECTOR), release_of(items))
