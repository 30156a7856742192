"""Proper names and code identifiers of a text."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from .lexicon import NOTHING, Word, lexicon
from .tokens import Tokens

#: Above this share of capitals a text is a headline or shouted, and capitals name nothing.
CAPITALS_SHARE_MAX: Final = 0.6
#: Whether a text can hold code at all; each alternative has a fixed length, so the search is linear.
CODE_SIGN: Final = re.compile(
    r"[_\\/:#@`.=()<>{}$&|~]\S|\S[_\\@`]|[a-z][A-Z]|\d[A-Za-z]|[A-Za-z]\d|--|\+\+|\w-\d|[A-Za-z]#|(?:^|\s)-[A-Za-z]"
)
#: Digits with letters behind them are a quantity ("16gb", "5pm", "1,000k"), which the numbers read.
QUANTITY: Final = re.compile(r"[-$€£]?\d[\d.,:]*[A-Za-z]{0,4}%?")
STRIPPED: Final = "\"'`,.;:?!()[]{}<>"
CHUNK_CHARACTERS_MAX: Final = 200


def read_names(tokens: Tokens) -> set[str]:
    """Return the stems of proper names: those the lexicon knows, and capitals where capitals mean something."""
    found = {mark.name for mark in tokens.marks if mark.name is not None}
    if tokens.raw == tokens.low:
        return found
    words = [word for word in tokens.raw if word[0].isalpha()]
    capitals = sum(word[0].isupper() for word in words)
    if not capitals or (capitals > 1 and capitals >= CAPITALS_SHARE_MAX * len(words) and len(words) >= 3):
        return found
    begins = True
    for word, low, mark, content in zip(tokens.raw, tokens.low, tokens.marks, tokens.stems, strict=True):
        if not word[0].isalpha():
            begins = begins or word in '.?!:"'
            continue
        is_acronym = len(word) > 1 and word.isupper()
        if word[0].isupper() and content and (is_acronym or not begins) and not _is_other(low, mark):
            found.add(content)
        begins = False
    return found


def read_codes(text: str) -> set[str]:
    """Return identifiers, paths, flags, versions and codes in lower case, as they stand between white space."""
    if CODE_SIGN.search(text) is None:
        return set()
    found: set[str] = set()
    for chunk in text.split():
        piece = chunk[:CHUNK_CHARACTERS_MAX].strip(STRIPPED)
        if len(piece) > 1 and _is_code(piece) and lexicon().get(piece.lower(), NOTHING).name is None:
            found.add(piece.lower().removesuffix("()"))
    return found


def _is_other(low: str, mark: Word) -> bool:
    """Say whether a capital is explained by the calendar, a number or a unit."""
    return (
        mark.month is not None
        or mark.weekday is not None
        or mark.moment is not None
        or mark.number is not None
        or mark.ordinal is not None
        or mark.unit is not None
        or low in ("i", "i'm", "i've", "i'd", "i'll", "ok", "ii", "iii")
    )


def _is_code(piece: str) -> bool:
    letters = any(character.isalpha() for character in piece)
    digits = any(character.isdigit() for character in piece)
    if not letters:
        return False
    inner = piece[1:-1]
    if (
        any(sign in inner for sign in "_\\@=")
        or "::" in piece
        or "->" in piece
        or piece.endswith(("++", "#"))
        or piece[0] in "$@#~"
    ):
        return True
    if (piece[0] == "-" and piece[1:2].isalpha()) or piece.startswith("--"):
        return True
    if any(a.islower() and b.isupper() for a, b in pairwise(piece)):
        return not piece[0].isupper() or piece.isalnum()
    if "/" in inner and (inner.count("/") > 1 or piece[0] in "/~."):
        return True
    if "." in inner:
        return _has_suffix(piece)
    return digits and not QUANTITY.fullmatch(piece)


def _has_suffix(piece: str) -> bool:
    """Say whether *piece* ends like a file, a host or a version: letters or digits right behind its last point."""
    head, _, tail = piece.rpartition(".")
    return bool(head) and 0 < len(tail) <= 5 and tail.isalnum()
