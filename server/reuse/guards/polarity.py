"""Negation and opposites of a text: what it denies, and on which side of which axis it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from .axes import PHRASAL_ONLY, PHRASAL_VERBS, flipped
from .characters import words
from .lexicon import lexicon
from .tokens import Tokens, is_number

#: Between a negation and the word it turns round ("not very safe"); more than this and the negation is only counted.
BETWEEN: Final = frozenset(
    words("very so that really fully entirely completely yet always quite all too being been be it a an")
)
REACH: Final = 3
#: Before the stem of a state that a negation turned round, among the stems denied.
TURNED: Final = "~"
#: A question turns words round: "isn't Norway safe" puts the negation before the subject.
TURNED_ROUND: Final = frozenset(words("isn't aren't wasn't weren't isnt arent wasnt werent"))
TURNED_REACH: Final = 5
#: Who does not know is asking; that is no denial.
UNSURE: Final = frozenset(words("know understand sure figure certain"))
ASKING: Final = frozenset(words("why how what where when who which if whether out about . , ?"))
#: Longer words that begin with "un" mostly deny something.
SHORT_UN: Final = 6
#: "doesn't work" is "broken", although "work" alone is on no axis.
WORKING: Final = frozenset(("work", "working", "works", "worked", "function", "functioning"))
WORKING_POLE_OF: Final = "working"


@dataclass(slots=True)
class Polarity:
    """*negations* counts what denies, *denied* are the stems denied, *implied* the words that deny in other words."""

    negations: int = 0
    denied: set[str] = field(default_factory=set)
    implied: set[str] = field(default_factory=set)
    poles: set[str] = field(default_factory=set)


def read_polarity(tokens: Tokens) -> Polarity:
    """Read negations and poles; a negation right before a state flips the state and is then not counted."""
    found = Polarity()
    low, marks = tokens.low, tokens.marks
    flips: dict[int, tuple[str, ...]] = {}
    for position, (word, mark) in enumerate(zip(low, marks, strict=True)):
        if mark.is_implicit_negation or (word.startswith("un") and len(word) > SHORT_UN):
            found.implied.add(word)
        elif word == "yet" and low[position + 1 : position + 2] == ["to"]:
            found.implied.add("yet to")
        if not (mark.is_negation or word.endswith("n't")) or _says_nothing(low, position):
            continue
        place = _flippable(tokens, position)
        if place is not None and low[place] in WORKING:
            found.implied.add(low[place])
        if place is None or place in flips:
            found.negations += 1
            found.denied.update([stem for stem in tokens.stems[position + 1 : position + 2 + REACH] if stem][:1])
        else:
            flips[place] = _flipped_poles(tokens, place)
            found.denied.add(TURNED + tokens.stems[place])
    for position, mark in enumerate(marks):
        if position in flips:
            found.poles.update(flips[position])
        elif mark.poles and (low[position] not in PHRASAL_ONLY or (position and low[position - 1] in PHRASAL_VERBS)):
            found.poles.update(mark.poles)
    return found


def _says_nothing(low: list[str], position: int) -> bool:
    """Say whether a negation denies nothing here: "or not", "not only … but", "no. 5", "I don't know how to"."""
    word = low[position]
    behind = low[position + 1] if position + 1 < len(low) else ""
    before = low[position - 2 : position] if position > 1 else ["", *low[:position]]
    if word == "not" and (before[-1] == "or" or before == ["or", "why"]):
        return True
    if word == "not" and behind == "only":
        return "but" in low[position + 2 :]
    if word == "no":
        following = low[position + 2] if behind == "." and position + 2 < len(low) else behind
        return following in ("reason", "matter") or (following != "" and is_number(following))
    return behind in UNSURE and (position + 2 >= len(low) or not ASKING.isdisjoint(low[position + 2 : position + 4]))


def _flippable(tokens: Tokens, position: int) -> int | None:
    """Return the place of the state that the negation at *position* turns round, if there is one within reach."""
    if tokens.low[position] in TURNED_ROUND:
        for place in range(position + 1, min(position + 1 + TURNED_REACH, len(tokens.low))):
            if tokens.low[place] in WORKING or any(pole[0] == "s" for pole in tokens.marks[place].poles):
                return place
        return None
    for place in range(position + 1, min(position + 1 + REACH, len(tokens.low))):
        if tokens.low[place] in WORKING or any(pole[0] == "s" for pole in tokens.marks[place].poles):
            return place
        if tokens.low[place] not in BETWEEN:
            return None
    return None


def _flipped_poles(tokens: Tokens, place: int) -> tuple[str, ...]:
    word = WORKING_POLE_OF if tokens.low[place] in WORKING else tokens.low[place]
    return tuple(flipped(pole) if pole[0] == "s" else pole for pole in lexicon()[word].poles)
