from __future__ import annotations

import random
import string
from collections.abc import Callable

import pytest

from privacy.gibberish import is_gibberish, oddness
from privacy.letters import ALPHABET, COMMON_WORDS, FOLLOWING_BITS, spelling_cost
from tests.suffixes import SUFFIXES

QUESTIONS = [
    "How do I reset my router to factory settings?",
    "What is the capital of Mongolia?",
    "Why does bread rise when yeast is added?",
    "Can I return a pair of shoes after thirty days?",
    "Which programming language should a beginner learn first?",
    "What is the difference between a virus and a bacterium?",
]
#: Tokens of a suffix. Searched suffixes in the literature have about twenty.
TOKENS = 12


@pytest.mark.parametrize("question", QUESTIONS)
def test_english_questions_are_not_gibberish(question: str) -> None:
    assert not is_gibberish(question)


@pytest.mark.parametrize("kind", sorted(SUFFIXES))
def test_nine_of_ten_random_suffixes_are_refused(kind: str) -> None:
    chance = random.Random(f"suffixes {kind}")
    make: Callable[[random.Random, int], str] = SUFFIXES[kind]
    refused = sum(is_gibberish(f"{chance.choice(QUESTIONS)} {make(chance, TOKENS)}") for _ in range(400))
    assert refused >= 0.9 * 400, f"{kind}: {refused} of 400"


def test_a_suffix_in_front_or_in_the_middle_is_found_too() -> None:
    tail = "zxqv kjwp qqrt bnmz vcxl hjkp"
    assert is_gibberish(f"{tail} {QUESTIONS[0]}")
    assert is_gibberish(f"How do I {tail} reset my router?")


def test_a_fluent_tail_passes_and_the_page_says_so() -> None:
    assert not is_gibberish("What is tea? I would say that it is the best of all that we have had")


def test_common_words_are_not_odd_and_noise_is() -> None:
    assert oddness("what?") == 0.0
    assert oddness("router") == 1.0
    assert oddness("3.5kg") == 1.0
    assert oddness("C++") == 1.25
    assert oddness("xqzvkj") > oddness("router")
    assert oddness("a~}{\\^b") > 3.0


def test_random_letters_cost_more_than_english_ones() -> None:
    chance = random.Random(5)
    noise = ["".join(chance.choice(string.ascii_lowercase) for _ in range(8)) for _ in range(300)]
    english = [word for word in COMMON_WORDS if len(word) >= 6 and word.isalpha()]
    assert sum(map(spelling_cost, noise)) / len(noise) > 6.0
    assert sum(map(spelling_cost, english)) / len(english) < 4.0
    assert spelling_cost("") == 0.0
    assert spelling_cost("éé") > 14.0


def test_the_table_of_letters_is_whole() -> None:
    assert len(FOLLOWING_BITS) == len(ALPHABET) + 1
    assert {len(row) for row in FOLLOWING_BITS} == {len(ALPHABET) + 1}
