"""Text as a reader sees it: what is invisible removed, what only looks different made equal, what lies marked.

Guards compare this form and never the raw text: "un\u200bsafe", "ｕｎｓａｆｅ" and "unsafe" are one word to a reader.
"""

from __future__ import annotations

import unicodedata
from typing import Final

#: Scripts whose letters the guards can read; everything else is another language or a disguise.
LATIN: Final = "LATIN"
#: Punctuation with several faces, told one way.
FACES: Final = {
    ord(face): one
    for one, faces in {"'": "‘’‛ʼʹ′´", '"': "“”„‟″«»", "-": "‐‑‒–—―−﹣", "/": "⁄∕", "*": "×∗·", ":": "∶"}.items()
    for face in faces
} | {0xA0: " ", 0x202F: " ", 0x2009: " ", 0x3000: " "}
#: Letters that pass for ASCII letters and that no normal form maps to them: small capitals, IPA and phonetic letters.
PHONETIC: Final = ((0x0250, 0x02AF), (0x1D00, 0x1DBF), (0xA720, 0xA7FF), (0xAB30, 0xAB6F))


def readable(text: str) -> str:
    """Return *text* in NFKC without invisible characters and accents, with one face for each quote and dash."""
    if text.isascii():
        return text if text.isprintable() else "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)
    text = unicodedata.normalize("NFKC", text).translate(FACES)
    if text.isascii():
        return text
    kept: list[str] = []
    for character in unicodedata.normalize("NFD", text):
        category = unicodedata.category(character)
        # Format characters (zero width, bidi, soft hyphen, tags) and marks say nothing that a guard compares.
        if category in ("Cf", "Mn", "Me") or character in "\u115f\u1160\u3164\uffa0":
            continue
        if category == "No":
            # "❶" and "፩" are numbers that no normal form spells in digits; embedders read them all as one unknown word.
            value = unicodedata.numeric(character, None)
            kept.append(character if value is None else f" {value:g} ")
            continue
        kept.append(" " if category in ("Cc", "Zs", "Zl", "Zp") and character not in "\n\t" else character)
    return unicodedata.normalize("NFC", "".join(kept))


def words(table: str) -> list[str]:
    """Split a word list written as text, which reads better than a column of quoted strings."""
    return table.split()


def script_of(character: str) -> str:
    """Return the script of a letter by its Unicode name (LATIN, CYRILLIC, CJK, …), or "" for anything else."""
    if character.isascii():
        return LATIN if character.isalpha() else ""
    if not character.isalpha():
        return ""
    return unicodedata.name(character, "UNNAMED").split(" ", 1)[0]


def is_disguised(word: str) -> bool:
    """Say whether *word* mixes Latin letters with another script's, or is of letters that imitate Latin ones."""
    if word.isascii():
        return False
    if any(low <= ord(character) <= high for character in word for low, high in PHONETIC):
        return True
    scripts = {script for character in word if (script := script_of(character))}
    return LATIN in scripts and len(scripts) > 1
