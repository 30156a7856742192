"""What the guards keep of a text: taken once, stored with the entry, compared with any other text's in microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from crypto.canonical import CanonicalValue, JsonValue
from crypto.errors import EncodingError

from .characters import LATIN, is_disguised, readable, script_of, words
from .dates import read_dates
from .lexicon import FOREIGN, MEASURES
from .order import SYMMETRIC, Ordered, is_passive, read_order
from .polarity import read_polarity
from .quantities import read_quantities
from .things import read_codes, read_names
from .tokens import Tokens, cut

#: Raised whenever the same text may give other facts; stored facts of another version are taken anew from the text.
FACTS_VERSION: Final = 1
#: Longer texts are not read, and their facts doubt everything: no caller can buy more work with a longer text.
CHARACTERS_MAX: Final = 8_000
#: Sentence encoders read the first 256 word pieces or so and drop the rest unseen. A text of no more UTF-8 bytes than
#: this fits; a longer one must agree with the other text in every content word.
SEEN_WHOLE_BYTES: Final = 400
FOREIGN_WORDS: Final = frozenset(FOREIGN.split())
FOREIGN_WORDS_MIN: Final = 2
OTHER_SCRIPT_LETTERS_SHARE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything two texts are compared by. Sets are of canonical spellings; *stems* are content words in order."""

    is_whole: bool = True
    is_long: bool = False
    is_disguised: bool = False
    is_other_language: bool = False
    is_symmetric: bool = False
    is_passive: bool = False
    question: str = ""
    negations: int = 0
    stems: tuple[str, ...] = ()
    content: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    numbers_perhaps: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()
    units: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    implied: frozenset[str] = frozenset()
    poles: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()
    order: frozenset[Ordered] = frozenset()

    def to_json(self) -> dict[str, CanonicalValue]:
        """Return the stored form: canonical, without what is empty or follows from the rest."""
        flags = "".join(letter for letter, name in FLAGS.items() if getattr(self, name))
        value: dict[str, CanonicalValue] = {"v": FACTS_VERSION, "flags": flags}
        if self.question:
            value["question"] = self.question
        if self.negations:
            value["negations"] = self.negations
        if self.stems:
            value["stems"] = " ".join(self.stems)
        for name in SETS:
            if items := getattr(self, name):
                value[name] = sorted(items)
        if self.order:
            value["order"] = [list(pair) for pair in sorted(self.order)]
        return value

    @classmethod
    def from_json(cls, value: JsonValue) -> Facts:
        """Read the stored form; what another version wrote reads as `UNREAD`, which doubts every match.

        Raises `EncodingError` for anything that no version wrote.
        """
        if not isinstance(value, Mapping) or type(value.get("v")) is not int:
            raise EncodingError("stored facts are not an object with a version")
        if value["v"] != FACTS_VERSION:
            return UNREAD
        flags, stems = value.get("flags"), value.get("stems", "")
        question, negations = value.get("question", ""), value.get("negations", 0)
        if not (isinstance(flags, str) and isinstance(stems, str) and isinstance(question, str)):
            raise EncodingError("stored facts hold a field that should be a string and is not")
        pairs = value.get("order", [])
        if type(negations) is not int or not isinstance(pairs, list):
            raise EncodingError("stored facts hold a count or an order of the wrong type")
        words = tuple(stems.split(" ")) if stems else ()
        sets = [frozenset(_strings(value.get(name, []))) for name in SETS]
        return cls(
            is_whole="w" in flags,
            is_long="l" in flags,
            is_disguised="d" in flags,
            is_other_language="o" in flags,
            is_symmetric="s" in flags,
            is_passive="p" in flags,
            question=question,
            negations=negations,
            stems=words,
            content=frozenset(words),
            order=frozenset(_ordered(pair) for pair in pairs),
            numbers=sets[0],
            numbers_perhaps=sets[1],
            dates=sets[2],
            units=sets[3],
            denied=sets[4],
            implied=sets[5],
            poles=sets[6],
            names=sets[7],
            codes=sets[8],
        )


FLAGS: Final = {
    "w": "is_whole",
    "l": "is_long",
    "d": "is_disguised",
    "o": "is_other_language",
    "s": "is_symmetric",
    "p": "is_passive",
}
SETS: Final = ("numbers", "numbers_perhaps", "dates", "units", "denied", "implied", "poles", "names", "codes")
UNREAD: Final = Facts(is_whole=False, is_long=True)


def facts_of(text: str) -> Facts:
    """Read *text* once. A text of more than `CHARACTERS_MAX` characters is not read: its facts doubt every match."""
    if len(text) > CHARACTERS_MAX:
        return UNREAD
    seen = readable(text)
    tokens = cut(seen)
    quantities = read_quantities(tokens)
    polarity = read_polarity(tokens)
    stems = tuple([stem for stem in tokens.stems if stem])
    return Facts(
        is_long=len(text) > SEEN_WHOLE_BYTES
        or (not text.isascii() and len(text.encode("utf-8", "replace")) > SEEN_WHOLE_BYTES),
        is_disguised=not seen.isascii() and any(is_disguised(token) for token in tokens.raw),
        is_other_language=_is_other_language(seen, tokens.low),
        is_symmetric=not SYMMETRIC.isdisjoint(tokens.low),
        is_passive=is_passive(tokens),
        question=_question(tokens),
        negations=polarity.negations,
        stems=stems,
        content=frozenset(stems),
        numbers=frozenset(quantities.numbers),
        numbers_perhaps=frozenset(quantities.perhaps),
        dates=frozenset(quantities.dates | read_dates(tokens)),
        units=frozenset(quantities.units),
        denied=frozenset(polarity.denied),
        implied=frozenset(polarity.implied),
        poles=frozenset(polarity.poles),
        names=frozenset(read_names(tokens)),
        codes=frozenset(read_codes(seen)),
        order=frozenset(quantities.pairs | read_order(tokens)),
    )


def is_other_language(text: str) -> bool:
    """Say whether *text* is plainly not English: letters of another script, or more words of another language."""
    seen = readable(text[:CHARACTERS_MAX])
    return _is_other_language(seen, cut(seen).low)


def _is_other_language(seen: str, low: list[str]) -> bool:
    if not seen.isascii():
        letters = [character for character in seen if character.isalpha()]
        others = sum(script_of(character) != LATIN for character in letters)
        if others > OTHER_SCRIPT_LETTERS_SHARE * len(letters):
            return True
    foreign = sum(token in FOREIGN_WORDS for token in low)
    return foreign >= FOREIGN_WORDS_MIN and foreign > sum(token in ENGLISH_WORDS for token in low)


ENGLISH_WORDS: Final = frozenset(
    words(
        "the a an and or of to in is are was were do does did how what why when where who which can could should "
        "would will i my you your it this that with for from not on at if be have has"
    )
)


def _question(tokens: Tokens) -> str:
    """Return what is asked for: who, when, how many, …; "yes" for a yes-or-no question, "" when nothing says."""
    marks = tokens.marks[:12]
    for position, mark in enumerate(marks):
        if mark.question is not None and (mark.question != "yes" or position == 0):
            if mark.question == "how" and position + 1 < len(tokens.low) and tokens.low[position + 1] in MEASURES:
                return f"how {tokens.low[position + 1]}"
            return mark.question
    return ""


def _strings(value: JsonValue) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise EncodingError("stored facts hold a set that is not a list of strings")
    return [str(item) for item in value]


def _ordered(value: JsonValue) -> Ordered:
    parts = _strings(value)
    if len(parts) != 3:
        raise EncodingError("stored facts hold an order that is not of three words")
    return parts[0], parts[1], parts[2]
