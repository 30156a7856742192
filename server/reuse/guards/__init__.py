"""Guards: what a similarity of sentences cannot see, compared as facts (docs/explanation/reuse-decision.md)."""

from server.reuse.guards.characters import readable
from server.reuse.guards.facts import FACTS_VERSION, UNREAD, Facts, facts_of, is_other_language
from server.reuse.guards.verdicts import ALWAYS_GUARDS, HARD_GUARDS, OPTIONAL_GUARDS, doubts

__all__ = [
    "ALWAYS_GUARDS",
    "FACTS_VERSION",
    "HARD_GUARDS",
    "OPTIONAL_GUARDS",
    "UNREAD",
    "Facts",
    "doubts",
    "facts_of",
    "is_other_language",
    "readable",
]
