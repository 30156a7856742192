"""A text cut into tokens, each with what the lexicon knows of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .lexicon import BITS, NOTHING, Word, lexicon
from .names import SPELLINGS_OF_TWO_WORDS

#: A number with what clings to it (-3.5, 1,000, 17:30, 1e3, 16gb), a word, or one symbol. Every part that repeats is
#: followed by nothing that could fail, so matching takes linear time on any text.
TOKEN: Final = re.compile(
    r"(?:(?<![\w.)\]])-)?\d+(?:[.,:]\d+)*(?:[eE][+-]?\d{1,2}(?!\w))?(?:'?[^\W\d_]+)?|[^\W\d_]+(?:'[^\W\d_]+)*|[^\w\s]|_"
)
NAMES_OF_TWO_BEGIN: Final = frozenset(spelling.split("_")[0] for spelling in SPELLINGS_OF_TWO_WORDS)
LAST_LETTERS: Final = ("s", "g", "d", "y", "e")
ENDINGS: Final = ("'s", "ings", "ing", "edly", "ied", "ies", "sses", "ed", "es", "ly", "s")


@dataclass(slots=True)
class Tokens:
    """Parallel lists: as written, in lower case, what the lexicon knows, and the stem ("" for what has no content)."""

    raw: list[str]
    low: list[str]
    marks: list[Word]
    stems: list[str]


def cut(text: str) -> Tokens:
    """Cut *text*, which `characters.readable` has seen, into tokens; names of two words become one token."""
    table = lexicon()
    raw = TOKEN.findall(text)
    low = [BITS.get(token) or token.lower() for token in raw]
    if "'s" in text:
        low = [_bare(token, table) for token in low]
    if not NAMES_OF_TWO_BEGIN.isdisjoint(low):
        raw, low = _joined(raw, low)
    marks = [table.get(token, NOTHING) for token in low]
    stems = [_content(token, mark) for token, mark in zip(low, marks, strict=True)]
    return Tokens(raw, low, marks, stems)


def stem(word: str) -> str:
    """Return a light stem: enough to match plurals and verb forms, too little to join different words."""
    if not word.endswith(LAST_LETTERS):
        return word
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not (ending == "s" and word[-2] in "su"):
            word = word[: -len(ending)]
            if ending in ("ies", "ied"):
                return word + "y"
            if ending == "sses":
                return word + "ss"
            if ending in ("ing", "ings", "ed") and word[-1] == word[-2] and word[-1] not in "lsz":
                return word[:-1]
            break
    return word[:-1] if len(word) > 3 and word[-1] == "e" else word


def is_number(token: str) -> bool:
    """Say whether a token is a number, perhaps with something clinging to it."""
    return token[0].isdecimal() or (token[0] == "-" and len(token) > 1)


def _bare(token: str, table: dict[str, Word]) -> str:
    """Drop a possessive: whose it is, is said by the order of words."""
    return token[:-2] if token.endswith("'s") and len(token) > 3 and token not in table else token


def _content(token: str, mark: Word) -> str:
    if mark.is_function or mark.is_negation:
        return ""
    if mark.name is not None:
        return mark.name
    if token[0].isalpha():
        return stem(token)
    return token if is_number(token) else ""


def _joined(raw: list[str], low: list[str]) -> tuple[list[str], list[str]]:
    joined_raw: list[str] = []
    joined_low: list[str] = []
    for written, token in zip(raw, low, strict=True):
        if joined_low and f"{joined_low[-1]}_{token}" in SPELLINGS_OF_TWO_WORDS:
            joined_low[-1] += f"_{token}"
            joined_raw[-1] += f" {written}"
        else:
            joined_low.append(token)
            joined_raw.append(written)
    return joined_raw, joined_low
