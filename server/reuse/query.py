"""The query of a request: its one spelling for the exact tier, and whether it may be matched by meaning at all.

Every rule here is a reason not to match by meaning; the exact tier answers regardless. Lists are English, as the guards
are (docs/explanation/reuse-decision.md, "Languages").
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from server.reuse.guards import is_other_language, readable
from server.reuse.guards.characters import words
from server.reuse.policy import DEFAULT_POLICY, ReusePolicy

#: Words that point at an earlier turn. With such a turn before it, a query that holds one does not stand for itself.
POINTING: Final = frozenset(
    words(
        "he him his she her hers it its they them their theirs this that these those there then here one ones both "
        "either neither former latter above previous earlier same again else instead such said mentioned"
    )
)
#: Openings of a follow-up, whatever comes after them.
CONTINUING: Final = frozenset(
    words(
        "and or but so also then plus because what's continue more next why how when where who which yes no ok okay "
        "thanks sure please go elaborate explain shorter longer simpler again"
    )
)
FOLLOW_UP_PHRASES: Final = (
    "what about",
    "how about",
    "what if",
    "tell me more",
    "go on",
    "in that case",
    "for example",
)
#: A follow-up is short; a query of so many words that opens like one is taken for itself.
FOLLOW_UP_WORDS_MAX: Final = 4

#: Words that tie an answer to the hour it was given.
MOMENTARY: Final = frozenset(words("today tonight tomorrow yesterday currently nowadays latest newest"))
MOMENTARY_PHRASES: Final = re.compile(
    r"\b(?:right now|just now|at the moment|at present|as of now|up to date|so far|breaking news|what time is it|"
    r"this (?:morning|afternoon|evening|week|weekend|month|quarter|year|season)|"
    r"what(?:'s| is) the (?:time|date|day)\b(?! of)|"
    r"current (?:price|rate|time|date|day|weather|temperature|score|status|version|president|ceo|exchange|value|news|"
    r"population|balance|events?)|"
    r"(?:price|weather|rate|score|status|news|forecast)s? (?:\w{1,20} ){0,4}now)\b"
)
WORD: Final = re.compile(r"[a-z]+(?:'[a-z]+)?")


def canonical_query(text: str) -> str:
    """Return *text* in the one spelling the exact tier compares: NFC, LF line ends, no white space around it.

    Nothing else is folded, because the exact tier promises the same question, not a similar one.
    """
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").strip()).strip()


def may_match_by_meaning(query: str, *, has_earlier_turns: bool, policy: ReusePolicy = DEFAULT_POLICY) -> str | None:
    """Return None when *query* may be matched by meaning, else the reason why not: `query_too_long`,
    `query_without_words`, `query_language`, `follow_up` (leans on an earlier turn) or `time_sensitive`.

    Work is bounded: nothing of a query beyond the policy's `query_characters_max` is looked at.
    """
    if len(query) > policy.query_characters_max:
        return "query_too_long"
    text = readable(query).lower()
    if not any(character.isalnum() for character in text):
        return "query_without_words"
    if policy.other_languages == "exact_only" and is_other_language(text):
        return "query_language"
    if has_earlier_turns and is_follow_up(text):
        return "follow_up"
    if policy.time_sensitive == "exact_only" and is_momentary(text):
        return "time_sensitive"
    return None


def is_follow_up(text: str) -> bool:
    """Say whether *text* (lower case) points at something said before, or opens like a continuation."""
    words = WORD.findall(text)
    if not words:
        return True
    if not POINTING.isdisjoint(words):
        return True
    if words[0] in ("and", "or", "but", "so", "also", "then", "plus") or text.lstrip().startswith(FOLLOW_UP_PHRASES):
        return True
    return len(words) <= FOLLOW_UP_WORDS_MAX and words[0] in CONTINUING


def is_momentary(text: str) -> bool:
    """Say whether the right answer to *text* (lower case) changes by the hour or the day."""
    return not MOMENTARY.isdisjoint(WORD.findall(text)) or MOMENTARY_PHRASES.search(text) is not None
