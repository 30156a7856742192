"""What a text puts before what: "CSV to JSON" is not "JSON to CSV", and "a before b" is "b after a"."""

from __future__ import annotations

from typing import Final, TypeAlias

from .characters import words
from .tokens import Tokens

#: The kind of order, what comes first, what comes second.
Ordered: TypeAlias = tuple[str, str, str]
#: The word a comparison is made with stands between the two things compared, so it is stepped over.
COMPARING: Final = frozenset(words("better worse rather other less more"))
#: Where these stand, order says nothing.
SYMMETRIC: Final = frozenset(words("and or between vs versus difference same both together compare comparison"))
CONTENT_MAX_DIFFERENT: Final = 3
BEING: Final = frozenset(words("is are was were be been being am get gets got getting have has had"))
PARTICIPLES: Final = ("ed", "en", "wn", "ne", "ught", "nt", "ld", "de")


def read_order(tokens: Tokens) -> set[Ordered]:
    """Return the content words around each word that orders them."""
    found: set[Ordered] = set()
    waiting: list[tuple[str, str]] = []
    last = before_last = ""
    last_word = ""
    for spelled, mark, content in zip(tokens.low, tokens.marks, tokens.stems, strict=True):
        if mark.leads is not None:
            left = last
            if spelled == "than" and before_last and (last_word.endswith("er") or last_word in COMPARING):
                left = before_last
            if left:
                waiting.append((left, mark.leads))
        elif content:
            for left, lead in waiting:
                if left != content:
                    kind = lead[:-1]
                    found.add((kind, left, content) if lead[-1] == ">" else (kind, content, left))
            waiting.clear()
            before_last, last = last, content
        if content:
            last_word = spelled
    return found


def is_reversed(left: frozenset[Ordered], right: frozenset[Ordered]) -> bool:
    """Say whether some pair of *left* stands the other way round in *right*, and in neither text both ways."""
    return any(
        (kind, later, earlier) in right and (kind, earlier, later) not in right and (kind, later, earlier) not in left
        for kind, earlier, later in left
    )


def is_exchanged(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    """Say whether two sequences of content words are equal but for two, not neighbours, that changed places."""
    if len(left) != len(right) or len(left) < 3:
        return False
    different = [place for place, (a, b) in enumerate(zip(left, right, strict=True)) if a != b]
    if len(different) != 2:
        return False
    first, second = different
    if left[first] != right[second] or left[second] != right[first]:
        return False
    return second - first > 1


def is_passive(tokens: Tokens) -> bool:
    """Say whether *tokens* hold a passive ("was denied", "sent by"), which turns doer and deed round without harm."""
    low = tokens.low
    for place, spelled in enumerate(low):
        if spelled in BEING and any(word.endswith(PARTICIPLES) for word in low[place + 1 : place + 3]):
            return True
        if spelled == "by":
            return True
    return False
