"""The gate before a vote: what may never become a key of the pool, whoever and however many ask it.

Defence in depth: the guarantee comes from the mechanism, which counts organisations. The gate keeps out what should not
be counted at all, and what was built to be counted. It looks at one text and nothing else, so keys stay a public
function of each text (docs/explanation/privacy-attacks.md tells what it catches, and what it does not).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from privacy.gibberish import is_gibberish
from privacy.personal import find_personal
from privacy.text import normalise, visible

#: About 512 word pieces: longer questions are nobody else's.
QUESTION_CHARACTERS_MAX: Final = 2_000
QUESTION_WORDS_MAX: Final = 256
#: Shorter questions have no one meaning.
QUESTION_CHARACTERS_MIN: Final = 10
QUESTION_WORDS_MIN: Final = 3

#: What belongs to programs that read the text, not to people: tags, fences, templates of chats, escapes.
MARKUP: Final = re.compile(
    r"</?[a-z!][a-z0-9-]{0,20}(?:\s[^<>]{0,200})?/?>|<\||\|>|```|\[/?INST\]|<<SYS>>|\{\{ ?[a-z_.]{1,40} ?\}\}|"
    r"\$\{|\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|!\[[^\]\n]{0,200}\]\(|\]\(",
    re.I,
)
#: Orders to a model rather than questions to it.
INSTRUCTION: Final = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b.{0,30}\b(?:instructions?|prompts?|rules|above|previous|prior)\b|"
    r"\b(?:system|developer) (?:prompt|message)\b|\byou are now\b|\b(?:you|must|please|now) (?:must )?act as\b|"
    r"\bpretend (?:to be|you)\b|\b(?:respond|reply|answer)\b.{0,20}\b(?:only|exactly|always|solely)\b|\brepeat after me\b|"
    r"^(?:system|assistant|user|human) ?:",
    re.I,
)
#: Scripts whose letters can be taken for Latin ones.
IMITATING: Final = frozenset(
    ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "OLD", "GOTHIC", "DESERET")
)
#: Letters that pass for ASCII letters and that no normal form maps to them: phonetic letters and small capitals.
PHONETIC: Final = ((0x0250, 0x02AF), (0x1D00, 0x1DBF), (0xA720, 0xA7FF), (0xAB30, 0xAB6F))
#: Greek letters that units are written with, in words of Latin ones.
UNIT_LETTERS: Final = "μΩ"
WORD: Final = re.compile(r"[^\W\d_]+")


def refuse(text: str) -> str | None:
    """Return None when *text*, as its author wrote it, may be voted for, else the reason why not.

    Reasons, in the order of the checks: `too_long`, `not_one_line`, `too_short`, `homoglyph`, `language`, `markup`,
    `instruction`, those of `personal.find_personal`, `gibberish`. Nothing beyond `QUESTION_CHARACTERS_MAX` characters is
    looked at. The author's spelling and the pool's are both judged, so that what passes here still does when it is released.
    """
    if len(text) > QUESTION_CHARACTERS_MAX:
        return "too_long"
    if is_of_many_lines(text):
        return "not_one_line"
    return _refuse_seen(" ".join(visible(text).split())) or _refuse_seen(normalise(text))


def _refuse_seen(seen: str) -> str | None:
    return _refuse_form(seen) or find_personal(seen) or ("gibberish" if is_gibberish(seen) else None)


def _refuse_form(seen: str) -> str | None:
    words = seen.split()
    if len(seen) > QUESTION_CHARACTERS_MAX or len(words) > QUESTION_WORDS_MAX:
        return "too_long"
    if len(seen) < QUESTION_CHARACTERS_MIN or len(words) < QUESTION_WORDS_MIN:
        return "too_short"
    if has_homoglyphs(seen):
        return "homoglyph"
    if not is_mostly_latin(seen):
        return "language"
    if MARKUP.search(seen):
        return "markup"
    return "instruction" if INSTRUCTION.search(seen) else None


def is_of_many_lines(text: str) -> bool:
    """Say whether *text* holds a line end or another control character between its first and last visible ones."""
    return any(
        unicodedata.category(character) in ("Cc", "Zl", "Zp") and character != "\t" for character in text.strip()
    )


def has_homoglyphs(text: str) -> bool:
    """Say whether a word of *text* mixes scripts, imitates Latin letters, or stands in an imitating script between
    Latin words. A single letter ("μ", "π") is a symbol and no imitation.
    """
    if text.isascii():
        return False
    words = [(word, scripts_of(word)) for word in WORD.findall(text)]
    has_latin = any(scripts == {"LATIN"} for _, scripts in words)
    for word, scripts in words:
        if any(low <= ord(character) <= high for character in word for low, high in PHONETIC):
            return True
        if "LATIN" in scripts and len(scripts) > 1:
            return True
        if has_latin and len(word) > 1 and scripts & IMITATING:
            return True
    return False


def scripts_of(word: str) -> frozenset[str]:
    """Return the scripts of the letters of *word*, by the first word of their Unicode names."""
    return frozenset(
        "LATIN" if character.isascii() else unicodedata.name(character, "UNNAMED").split(" ", 1)[0]
        for character in word
        if character not in UNIT_LETTERS
    )


def is_mostly_latin(text: str) -> bool:
    """Say whether at least three quarters of the letters of *text* are ASCII: the rules of this package read English."""
    letters = sum(character.isalpha() for character in text)
    return letters > 0 and 4 * sum(character.isascii() and character.isalpha() for character in text) >= 3 * letters
