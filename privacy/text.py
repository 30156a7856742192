"""The one spelling of a question in the pool: a public function of one text, which looks at no other text.

Votes are counted by this spelling, it is what a release publishes, and what is answered anew. Two organisations that
ask the same question therefore vote for one key when their texts differ in case, spacing, quotes or closing marks only.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

#: Characters of a text that are looked at, beyond any question that the gate lets in.
TEXT_CHARACTERS_MAX: Final = 16_384
#: Punctuation with several faces, told one way.
FACES: Final = {
    ord(face): one
    for one, faces in {"'": "‘’‛ʼʹ′´", '"': "“”„‟″«»", "-": "‐‑‒–—―−﹣", "/": "⁄∕", "*": "×∗", ":": "∶"}.items()
    for face in faces
}
#: Code points that show nothing and that Unicode does not count as format characters.
INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
#: More marks on one letter than any language writes; canonical ordering takes quadratic time over a long row of them.
STACKED_MARKS: Final = 4
#: Rounds after which normalisation has settled (two suffice for every character; more would be a bug of ours).
ROUNDS_MAX: Final = 6


def visible(text: str) -> str:
    """Return what a reader sees of *text*: NFKC, without invisible and direction characters, one face per quote and dash.

    Line ends, case and spacing stay. Only the first `TEXT_CHARACTERS_MAX` characters are looked at.
    """
    text = text[:TEXT_CHARACTERS_MAX]
    if not text.isascii():
        # Before NFKC too, which would take "´" for a space with an accent on it.
        text = unicodedata.normalize("NFKC", _bounded_marks(text.translate(FACES)))
        text = INVISIBLE.sub("", text.translate(FACES))
        text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return text


def normalise(text: str) -> str:
    """Return the pool's spelling of *text*: `visible`, casefolded, single spaces, without closing marks or outer quotes.

    Marks inside the text stay, because they may carry its meaning ("C++", "3.5", ".net"). Applied to its own result it
    changes nothing. The order of rules is part of the pool's keys: a change of it makes other keys.
    """
    for _ in range(ROUNDS_MAX):
        settled = _fold(text)
        if settled == text:
            break
        text = settled
    return text


def _fold(text: str) -> str:
    text = visible(text).casefold()
    text = "".join(" " if unicodedata.category(character) in ("Cc", "Zl", "Zp") else character for character in text)
    text = " ".join(text.split())
    return _without_frame(text)


def _without_frame(text: str) -> str:
    """Drop closing marks and quotes round the whole; a `!` behind a digit is a factorial and stays."""
    while text:
        last = text[-1]
        if last in "?.,;: " or (last == "!" and not text[-2:-1].isdigit()):
            text = text.rstrip("?.,;: ") if last != "!" else text[:-1]
        elif len(text) > 1 and last in "\"'" and text[0] == last and text.count(last) == 2:
            text = text[1:-1].strip()
        else:
            break
    return text


def _bounded_marks(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= STACKED_MARKS:
            kept.append(character)
    return "".join(kept)
