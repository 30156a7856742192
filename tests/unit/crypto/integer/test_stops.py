from __future__ import annotations

import pytest

from crypto.integer.errors import SettingRefused
from crypto.integer.stops import StopFilter


def shown(stops: list[str], texts: list[str]) -> list[str]:
    stop_filter = StopFilter(stops)
    found = []
    for text in texts:
        found.append(stop_filter.push(text))
        if stop_filter.stopped:
            return found
    return [*found, stop_filter.finish()]


def test_text_without_a_stop_string_passes_at_once() -> None:
    assert shown(["###"], ["one ", "two"]) == ["one ", "two", ""]


def test_a_stop_string_over_several_pieces_is_never_shown() -> None:
    assert shown(["###"], ["one#", "#", "# two"]) == ["one", "", ""]


def test_a_begun_stop_string_is_held_back_and_given_up_when_it_does_not_come() -> None:
    assert shown(["###"], ["a##", "b"]) == ["a", "##b", ""]
    assert shown(["###"], ["a##"]) == ["a", "##"]


def test_the_earliest_of_several_stop_strings_ends_the_answer() -> None:
    assert shown(["xyz", "b"], ["a", "xb", "xyz"]) == ["a", "x"]


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(SettingRefused, match="empty"):
        StopFilter(["a", ""])
