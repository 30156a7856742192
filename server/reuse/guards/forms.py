"""Opposites that show in the form of a word: a beginning or an ending that turns it round."""

from __future__ import annotations

from typing import Final

from .facts import Facts
from .polarity import TURNED

#: Beginnings of which one is the opposite of the other before the same rest ("hypertension", "hypotension").
OPPOSED_BEGINNINGS: Final = (
    ("hyper", "hypo"), ("pre", "post"), ("over", "under"), ("intra", "inter"), ("macro", "micro"), ("up", "down"),
       ("pro", "anti"), ("endo", "exo"), ("homo", "hetero"), ("mono", "poly"), ("im", "ex"), ("in", "ex"), ("in", "out"),
)  # fmt: skip
#: Endings of which one is the other's opposite.
OPPOSED_ENDINGS: Final = (("ful", "less"), ("proof", "prone"))
#: Beginnings that turn a word into its opposite when the other text has the word without it.
NEGATING_PREFIXES: Final = ("un", "in", "im", "il", "ir", "dis", "non", "mis", "anti", "de")
#: Every beginning that some opposite has, for one quick look.
BEGINNINGS: Final = tuple({beginning for pair in OPPOSED_BEGINNINGS for beginning in pair})


def are_opposite_forms(left: frozenset[str], right: frozenset[str]) -> bool:
    """Say whether a word of *left* becomes a word of *right* by an opposite beginning or ending ("hyper", "hypo")."""
    for word in left:
        if word.startswith(BEGINNINGS):
            for one, other in OPPOSED_BEGINNINGS:
                if word.startswith(one) and len(word) > len(one) + 2 and other + word[len(one) :] in right:
                    return True
                if word.startswith(other) and len(word) > len(other) + 2 and one + word[len(other) :] in right:
                    return True
        for one, other in OPPOSED_ENDINGS:
            if word.endswith(one) and word[: -len(one)] + other in right:
                return True
    return False


def is_prefixed(left: Facts, right: Facts) -> bool:
    """Say whether a word of one text is a word of the other with "un", "dis" or the like before it.

    A word that its own text turns round ("not safe") is no contradiction to its opposite.
    """
    for these, others in ((left, right), (right, left)):
        for word in these.content - others.content:
            if word.startswith(NEGATING_PREFIXES):
                for prefix in NEGATING_PREFIXES:
                    rest = word[len(prefix) :]
                    is_other = word.startswith(prefix) and len(rest) > 2 and rest in others.content
                    if is_other and TURNED + rest not in others.denied:
                        return True
    return False
