"""Doubts between two texts, by name. Doubt means miss: no guard says that two texts agree, only that they may not."""

from __future__ import annotations

from typing import Final

from .facts import Facts
from .forms import are_opposite_forms, is_prefixed
from .order import CONTENT_MAX_DIFFERENT, is_exchanged, is_reversed

#: In force whatever the policy says: a text that was not read, is disguised, or has an end the encoder did not see.
ALWAYS_GUARDS: Final = ("unread", "disguise", "tail")
#: In force by default.
HARD_GUARDS: Final = ("number", "date", "unit", "negation", "opposite", "entity_clash", "reversal", "code")
#: Recorded with each lookup, and a veto only where a policy names them.
OPTIONAL_GUARDS: Final = ("entity", "question", "extent")

PRECISE_QUESTIONS: Final = frozenset(
    (
        "who",
        "when",
        "where",
        "why",
        "how many",
        "how much",
        "how long",
        "how old",
        "how far",
        "how often",
        "how big",
        "how tall",
        "how fast",
    )
)
#: So many content words more than the other text has, and more than it has at all: something was added.
EXTENT_WORDS: Final = 6


def doubts(left: Facts, right: Facts) -> tuple[str, ...]:
    """Name every doubt that *left* and *right* may share an answer, in a fixed order; symmetric in its arguments."""
    if not (left.is_whole and right.is_whole):
        return ("unread",)
    found: list[str] = []
    if left.is_disguised or right.is_disguised:
        found.append("disguise")
    if (left.is_long or right.is_long) and left.content != right.content:
        found.append("tail")
    if left.numbers != right.numbers and _numbers_differ(left, right):
        found.append("number")
    if left.dates != right.dates:
        found.append("date")
    if left.units != right.units and ((left.units and right.units) or left.numbers or right.numbers):
        found.append("unit")
    only_left, only_right = left.content - right.content, right.content - left.content
    if (left.negations or right.negations) and _negations_differ(left, right):
        found.append("negation")
    if _are_opposed(left.poles, right.poles) or (
        only_left
        and only_right
        and (
            are_opposite_forms(only_left, only_right)
            or are_opposite_forms(only_right, only_left)
            or (left.negations == right.negations and is_prefixed(left, right))
        )
    ):
        found.append("opposite")
    _doubt_things(left, right, found)
    if _is_turned_round(left, right, len(only_left) + len(only_right)):
        found.append("reversal")
    if left.question != right.question and _questions_differ(left.question, right.question):
        found.append("question")
    if (
        max(len(only_left) - len(right.content), len(only_right) - len(left.content)) >= 0
        and max(len(only_left), len(only_right)) >= EXTENT_WORDS
    ):
        found.append("extent")
    return tuple(found)


def _numbers_differ(left: Facts, right: Facts) -> bool:
    return bool(
        left.numbers - right.numbers - right.numbers_perhaps or right.numbers - left.numbers - left.numbers_perhaps
    )


def _negations_differ(left: Facts, right: Facts) -> bool:
    """Compare how often each text denies, and what; one "not" may face a word such as "fails" in the other text."""
    if left.negations % 2 == right.negations % 2:
        return bool(
            left.negations
            and right.negations
            and (left.denied - right.denied) & right.content
            and (right.denied - left.denied) & left.content
        )
    fewer, more = (left, right) if left.negations < right.negations else (right, left)
    return fewer.negations > 0 or more.negations > 1 or not fewer.implied - more.implied


def _are_opposed(left: frozenset[str], right: frozenset[str]) -> bool:
    """Say whether two sets of poles contradict each other on some axis."""
    if left == right:
        return False
    for pole in left - right:
        axis, other = pole[:-1], pole[:-1] + ("-" if pole[-1] == "+" else "+")
        if other in right and (other not in left or axis[0] != "p"):
            return True
    for pole in right - left:
        axis, other = pole[:-1], pole[:-1] + ("-" if pole[-1] == "+" else "+")
        if other in left and (other not in right or axis[0] != "p"):
            return True
    return False


def _doubt_things(left: Facts, right: Facts, found: list[str]) -> None:
    """Add doubts about names and codes: a clash is one that each text has and the other lacks."""
    only_left, only_right = left.names - right.content, right.names - left.content
    if only_left and only_right:
        found.append("entity_clash")
    if left.codes != right.codes and left.codes - right.codes and right.codes - left.codes:
        found.append("code")
    if only_left or only_right:
        found.append("entity")


def _is_turned_round(left: Facts, right: Facts, different: int) -> bool:
    if different > CONTENT_MAX_DIFFERENT:
        return False
    if left.order != right.order and is_reversed(left.order, right.order):
        return True
    return (
        not different
        and left.stems != right.stems
        and not (left.is_symmetric or right.is_symmetric or left.is_passive != right.is_passive)
        and is_exchanged(left.stems, right.stems)
    )


def _questions_differ(left: str, right: str) -> bool:
    if left in PRECISE_QUESTIONS and right in PRECISE_QUESTIONS:
        return True
    return (left in PRECISE_QUESTIONS and right in ("yes", "how")) or (
        right in PRECISE_QUESTIONS and left in ("yes", "how")
    )
