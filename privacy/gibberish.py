"""Whether a text reads like an English question, or carries a tail that a machine put together (CacheAttack suffixes).

Such a tail is searched for so that a poisoned text lands near many questions of others; it looks like pieces of words,
odd marks and words without the small words between them. What is counted here is coarse on purpose: the rule must
not know a language model. A tail of fluent English, or one of a few words, passes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from privacy.letters import COMMON_WORDS, spelling_cost

#: Tokens of a window, and the oddness at which a window is refused. Measured: docs/explanation/privacy-attacks.md.
WINDOW_TOKENS: Final = 8
WINDOW_ODDNESS_MAX: Final = 9
#: Words in a row of which none is common: people put small words between their nouns, random words have none.
WORDS_WITHOUT_COMMON_MAX: Final = 6
#: Marks in one long token that make it noise by itself.
NOISE_CHARACTERS: Final = 14
NOISE_MARKS: Final = 4
#: Cost per letter, in bits, from which a word is odd and very odd.
ODD_SPELLING: Final = 5.2
VERY_ODD_SPELLING: Final = 6.2
#: How often one word may stand in a text, in a row and in all, besides common ones.
SAME_WORD_IN_A_ROW_MAX: Final = 2
SAME_WORD_MAX: Final = 5
#: Tokens that are looked at.
TOKENS_MAX: Final = 512
#: One word longer than this is none.
WORD_CHARACTERS_MAX: Final = 28

EDGES: Final = "\"'?.,!:;()[]{}"
#: Words with their apostrophes and hyphens, numbers with their units, and initials: what a question is made of.
PLAIN: Final = re.compile(r"[A-Za-z]{1,28}(?:['/&-][A-Za-z]{1,28}){0,4}")
NUMBER: Final = re.compile(r"[$€£#+-]?\d{1,12}(?:[.,:/-]\d{1,6}){0,4}(?:[%°+]|st|nd|rd|th|s|x|[A-Za-z]{1,4})?")
NAME: Final = re.compile(
    r"[A-Za-z]{1,12}[.-]?\d{1,5}[A-Za-z]{0,2}|[A-Za-z]{1,10}(?:\+\+|#)|\.?[A-Za-z]{1,12}(?:\.[A-Za-z]{1,6}){1,3}"
)


def is_gibberish(text: str) -> bool:
    """Say whether *text* (as a reader sees it, case kept) holds a stretch that does not read like English.

    Works on at most `TOKENS_MAX` tokens, in time linear in the text.
    """
    tokens = text.split()[:TOKENS_MAX]
    odd = [oddness(token) for token in tokens]
    if any(is_noise(token) for token in tokens) or _is_repetitive(tokens):
        return True
    return _worst_window(odd) >= WINDOW_ODDNESS_MAX or _longest_row(odd) > WORDS_WITHOUT_COMMON_MAX


def oddness(token: str) -> float:
    """Return 0 for a common English word, about 1 for any other word or number, up to 4 for what is neither."""
    word = token.strip(EDGES)
    if not word:
        return 1.0 if len(token) <= 2 else 2.0
    if word.lower() in COMMON_WORDS:
        return 0.0
    if NUMBER.fullmatch(word):
        return 1.0
    if PLAIN.fullmatch(word):
        return max(_word_oddness(part) for part in re.split(r"['/&-]", word))
    if NAME.fullmatch(word):
        return 1.25
    return 2.0 + _strange_marks(word)


def _word_oddness(word: str) -> float:
    if word.lower() in COMMON_WORDS:
        return 0.0
    if len(word) > WORD_CHARACTERS_MAX:
        return 4.0
    if word.isupper() and len(word) <= 5:
        return 1.0
    cost = spelling_cost(word.lower())
    odd = 1.0 if len(word) < 4 or cost < ODD_SPELLING else 2.0 if cost < VERY_ODD_SPELLING else 3.0
    return odd + 0.75 * (not (word.islower() or word.istitle() or word.isupper()))


def _strange_marks(word: str) -> float:
    strange = sum(not character.isalnum() or not character.isascii() for character in word[:WORD_CHARACTERS_MAX])
    return min(2.0, strange / 2 + (len(word) > WORD_CHARACTERS_MAX))


def is_noise(token: str) -> bool:
    """Say whether *token* is one long string of letters and marks that no word, name, number or sum looks like."""
    word = token.strip(EDGES)
    marks = sum(not (character.isalnum() or character in "'-/&.,") for character in word)
    return len(word) >= NOISE_CHARACTERS and marks >= NOISE_MARKS


def _longest_row(odd: Sequence[float]) -> int:
    longest = row = 0
    for value in odd:
        row = row + 1 if value else 0
        longest = max(longest, row)
    return longest


def _worst_window(odd: Sequence[float]) -> float:
    total = sum(odd[:WINDOW_TOKENS])
    worst = total
    for enters, leaves in zip(odd[WINDOW_TOKENS:], odd, strict=False):
        total += enters - leaves
        worst = max(worst, total)
    return worst


def _is_repetitive(tokens: Sequence[str]) -> bool:
    counts: dict[str, int] = {}
    row, previous = 0, ""
    for token in tokens:
        word = token.strip(EDGES).lower()
        row = row + 1 if word == previous else 1
        previous = word
        counts[word] = counts.get(word, 0) + (word not in COMMON_WORDS)
        if word and word.isalpha() and (row > SAME_WORD_IN_A_ROW_MAX or counts[word] > SAME_WORD_MAX):
            return True
    return False
