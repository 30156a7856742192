"""What a text puts before what: "CSV to JSON" is not "JSON to CSV", and "a before b" is "b after a"."""

from __future__ import annotations

from typing import Final

from .characters import words
from .tokens import Tokens

Pair = tuple[str, str]
#: The word a comparison is made with stands between the two things compared, so it is stepped over.
COMPARING: Final = frozenset(words("better worse rather other less more"))
#: Where these stand, order says nothing.
SYMMETRIC: Final = frozenset(words("and or between vs versus difference same both together compare comparison"))
CONTENT_MAX_DIFFERENT: Final = 3


def read_order(tokens: Tokens) -> set[Pair]:
    """Return pairs (earlier, later) of the content words around each word that orders them."""
    found: set[Pair] = set()
    waiting: list[tuple[str, str]] = []
    last = before_last = ""
    last_word = ""
    for token, mark, content in zip(tokens.low, tokens.marks, tokens.stems, strict=True):
        if mark.leads is not None:
            left = last
            if token == "than" and before_last and (last_word.endswith("er") or last_word in COMPARING):
                left = before_last
            if left:
                waiting.append((left, mark.leads))
        elif content:
            for left, direction in waiting:
                if left != content:
                    found.add((left, content) if direction == ">" else (content, left))
            waiting.clear()
            before_last, last = last, content
        if content:
            last_word = token
    return found


def is_reversed(left: frozenset[Pair], right: frozenset[Pair]) -> bool:
    """Say whether some pair of *left* stands the other way round in *right*, and in neither text both ways."""
    return any(
        (later, earlier) in right and (earlier, later) not in right and (later, earlier) not in left
        for earlier, later in left
    )


def is_exchanged(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    """Say whether two sequences of content words are equal but for two that changed places, with others between them."""
    if len(left) != len(right) or len(left) < 2:
        return False
    different = [place for place, (a, b) in enumerate(zip(left, right, strict=True)) if a != b]
    if len(different) != 2:
        return False
    first, second = different
    if left[first] != right[second] or left[second] != right[first]:
        return False
    return second - first > 1 or len(left) == 2
