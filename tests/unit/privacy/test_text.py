from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.text import STACKED_MARKS, TEXT_CHARACTERS_MAX, normalise, visible


@pytest.mark.parametrize(
    "spelling",
    [
        "How do I reset my router?",
        "  how do i  reset my\trouter ",
        "HOW DO I RESET MY ROUTER?!",
        "“How do I reset my router?”",
        "Ｈｏｗ do I reset my router",
        "How do I re\u200bset my rou\u00adter?",
        "How do I reset my router\u202e?",
        "How do I reset my router\U000e0041\U000e0042…",
        "How\ufe0f do I reset my ro\u034futer.",
    ],
)
def test_spellings_of_one_question_are_one_key(spelling: str) -> None:
    assert normalise(spelling) == "how do i reset my router"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("what is c", "what is c++"),
        ("what is c#?", "what is c"),
        ("what is 5!", "what is 5"),
        ("how much is 3.5 kg", "how much is 35 kg"),
        ("what is net", "what is .net"),
        ("is it can't or cant", "is it can't or can't"),
    ],
)
def test_marks_that_carry_meaning_stay(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def test_quotes_and_dashes_have_one_face() -> None:
    assert normalise("what’s the ‘best’ A–Z list") == "what's the 'best' a-z list"


def test_what_a_reader_sees_keeps_case_and_lines() -> None:
    assert visible("Un\u200bsafe\nＡnd “so”") == 'Unsafe\nAnd "so"'


@given(st.text(max_size=60))
def test_the_spelling_of_a_spelling_is_itself(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.text(max_size=60))
def test_a_spelling_has_no_control_or_invisible_characters_and_single_spaces(text: str) -> None:
    found = normalise(text)
    assert found == " ".join(found.split())
    assert not any(character in found for character in "\n\r\t\u200b\u202e\u00ad\ufe0f")


@pytest.mark.parametrize("hostile", ["a" + "\u0300\u0316" * 8_000, "!?" * 8_000, '"' * 16_000, "\ufdfa" * 16_000])
def test_hostile_texts_take_no_long_time(hostile: str) -> None:
    started = time.perf_counter()
    normalise(hostile)
    assert time.perf_counter() - started < 2.0


def test_no_letter_carries_more_marks_than_a_language_gives_it() -> None:
    assert len(visible("a" + "\u0300\u0316" * 100 + "b")) <= 2 + STACKED_MARKS
    assert normalise("Tiê\u0301ng Vie\u0323\u0302t") == "tiếng việt"


def test_no_more_than_the_limit_is_looked_at() -> None:
    assert normalise("a" * TEXT_CHARACTERS_MAX + "b") == "a" * TEXT_CHARACTERS_MAX
